// The schema only grows: what is in field_numbers.txt stays as it is for ever, because stored jobs, old
// clients and old agents speak it. The descriptors are read from the .proto files themselves, so no file is
// forgotten.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

constexpr char kGolden[] = VERNIER_SOURCE_DIR "/tests/unit/proto/field_numbers.txt";

std::string TypeOf(const FieldDescriptor* field) {
  if (field->is_map()) {
    return absl::StrCat("map<", TypeOf(field->message_type()->map_key()), ", ",
                        TypeOf(field->message_type()->map_value()), ">");
  }
  std::string type = field->type_name();
  if (field->message_type() != nullptr) type = field->message_type()->full_name();
  if (field->enum_type() != nullptr) type = field->enum_type()->full_name();
  if (field->is_repeated()) return absl::StrCat("repeated ", type);
  if (field->real_containing_oneof() != nullptr) {
    return absl::StrCat("oneof ", field->real_containing_oneof()->name(), " ", type);
  }
  return field->has_optional_keyword() ? absl::StrCat("optional ", type) : type;
}

void List(const EnumDescriptor* descriptor, std::set<std::string>& lines) {
  for (int i = 0; i < descriptor->value_count(); ++i) {
    lines.insert(absl::StrCat(descriptor->full_name(), ".", descriptor->value(i)->name(), " ",
                              descriptor->value(i)->number(), " value"));
  }
}

void List(const Descriptor* descriptor, std::set<std::string>& lines) {
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    lines.insert(
        absl::StrCat(descriptor->full_name(), ".", field->name(), " ", field->number(), " ", TypeOf(field)));
  }
  for (int i = 0; i < descriptor->nested_type_count(); ++i) {
    if (!descriptor->nested_type(i)->options().map_entry()) List(descriptor->nested_type(i), lines);
  }
  for (int i = 0; i < descriptor->enum_type_count(); ++i) List(descriptor->enum_type(i), lines);
}

// Of every message that is stored or sent. CMakeLists.txt has protoc write the set from all .proto files.
std::set<std::string> CurrentLines() {
  std::set<std::string> lines;
  const absl::StatusOr<std::string> bytes = ReadFile(VERNIER_SCHEMA);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  google::protobuf::FileDescriptorSet set;
  EXPECT_TRUE(bytes.ok() && set.ParseFromString(*bytes));
  google::protobuf::DescriptorPool pool;
  for (const google::protobuf::FileDescriptorProto& proto : set.file()) {  // imports come first
    const FileDescriptor* file = pool.BuildFile(proto);
    if (file == nullptr) {
      ADD_FAILURE() << proto.name() << " is not a sound file";
      continue;
    }
    if (absl::StartsWith(file->package(), "google.")) continue;
    for (int i = 0; i < file->message_type_count(); ++i) List(file->message_type(i), lines);
    for (int i = 0; i < file->enum_type_count(); ++i) List(file->enum_type(i), lines);
  }
  return lines;
}

TEST(FieldNumbersTest, NothingMovedWasRenamedOrRenumbered) {
  const std::set<std::string> now = CurrentLines();
  ASSERT_GT(now.size(), 200u);
  const absl::StatusOr<std::string> golden_text = ReadFile(kGolden);
  ASSERT_TRUE(golden_text.ok()) << golden_text.status();
  std::set<std::string> golden;
  for (absl::string_view line : absl::StrSplit(*golden_text, '\n', absl::SkipEmpty())) {
    if (line[0] != '#') golden.emplace(line);
  }

  std::vector<std::string> gone, added;
  std::set_difference(golden.begin(), golden.end(), now.begin(), now.end(), std::back_inserter(gone));
  std::set_difference(now.begin(), now.end(), golden.begin(), golden.end(), std::back_inserter(added));
  EXPECT_TRUE(gone.empty())
      << "These fields were removed, renamed, renumbered or got another type. Stored jobs and "
         "older peers still use them: put them back, and add a new field beside.\n"
      << absl::StrJoin(gone, "\n");
  EXPECT_TRUE(added.empty()) << "New fields. Once you are sure of their numbers, append these lines to\n"
                             << kGolden << " (never edit or delete a line there):\n"
                             << absl::StrJoin(added, "\n");
}

}  // namespace
}  // namespace vernier
