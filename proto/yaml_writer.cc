// ToYaml: block style for messages, flow style for lists of plain values.
#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/time_util.h"
#include "proto/yaml.h"
#include "proto/yaml_schema.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Texts that YAML readers take for something else.
constexpr std::array<absl::string_view, 10> kSpecialWords = {"null", "true", "false", "yes", "no",
                                                             "on",   "off",  "y",     "n",   "inf"};

// Letters, digits and a few marks, starting with a letter or a path: all readers agree that it is this text.
bool IsPlainText(const std::string& text) {
  if (text.empty() || text == "nan" || text == "infinity") return false;
  const auto letter = [](char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); };
  const bool starts_well =
      letter(text[0]) || text[0] == '_' || text[0] == '/' || text.compare(0, 2, "./") == 0;
  const bool made_well = absl::c_all_of(text, [&](char c) {
    return letter(c) || absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
           c == '/' || c == '-';
  });
  return starts_well && made_well && !absl::c_linear_search(kSpecialWords, absl::AsciiStrToLower(text));
}

std::string Text(const std::string& text) {
  if (IsPlainText(text)) return text;
  // JSON's strings are YAML's double-quoted ones.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// The shortest text that reads back to the same number.
template <typename T>
std::string Number(T value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), end.ptr);
}

// One plain value: of a singular field, or item `index` of a list.
std::string Scalar(const Message& message, const FieldDescriptor* field, int index = -1) {
  const Reflection* r = message.GetReflection();
  const bool item = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(item ? r->GetRepeatedInt32(message, field, index) : r->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(item ? r->GetRepeatedInt64(message, field, index) : r->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(item ? r->GetRepeatedUInt32(message, field, index) : r->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(item ? r->GetRepeatedUInt64(message, field, index) : r->GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Number(item ? r->GetRepeatedFloat(message, field, index) : r->GetFloat(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Number(item ? r->GetRepeatedDouble(message, field, index) : r->GetDouble(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (item ? r->GetRepeatedBool(message, field, index) : r->GetBool(message, field)) ? "true"
                                                                                             : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return ShortEnumName(item ? r->GetRepeatedEnum(message, field, index) : r->GetEnum(message, field));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string value =
          item ? r->GetRepeatedString(message, field, index) : r->GetString(message, field);
      return Text(field->type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(value) : value);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  return field->is_repeated() ? message.GetReflection()->FieldSize(message, field) > 0
                              : message.GetReflection()->HasField(message, field);
}

// The only field that is set, when it is the shorthand one.
const FieldDescriptor* OnlyShorthand(const Message& message) {
  const FieldDescriptor* shorthand = ShorthandField(message.GetDescriptor());
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  return set.size() == 1 && set[0] == shorthand ? shorthand : nullptr;
}

void WriteFields(const Message& message, int indent, std::string& out);

// What stands after "name:" or "-": " value\n", or a block of its own.
void WriteMessageValue(const Message& message, int indent, std::string& out) {
  if (const auto* time = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(&message)) {
    absl::StrAppend(&out, " \"", google::protobuf::util::TimeUtil::ToString(*time), "\"\n");
  } else if (const FieldDescriptor* shorthand = OnlyShorthand(message)) {
    absl::StrAppend(&out, " ", Scalar(message, shorthand), "\n");
  } else {
    std::string block;
    WriteFields(message, indent + 2, block);
    absl::StrAppend(&out, block.empty() ? " {}\n" : "\n", block);
  }
}

void WriteMap(const Message& message, const FieldDescriptor* field, int indent, std::string& out) {
  const Reflection* reflection = message.GetReflection();
  const FieldDescriptor* key = field->message_type()->map_key();
  const FieldDescriptor* value = field->message_type()->map_value();
  std::vector<std::string> lines;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    std::string line = absl::StrCat(std::string(indent, ' '), Scalar(entry, key), ":");
    if (value->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      WriteMessageValue(entry.GetReflection()->GetMessage(entry, value), indent, line);
    } else {
      absl::StrAppend(&line, " ", Scalar(entry, value), "\n");
    }
    lines.push_back(std::move(line));
  }
  // The order inside a map is not defined.
  absl::c_sort(lines);
  absl::StrAppend(&out, "\n", absl::StrJoin(lines, ""));
}

void WriteList(const Message& message, const FieldDescriptor* field, int indent, std::string& out) {
  const Reflection* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, field);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    std::vector<std::string> items;
    for (int i = 0; i < size; ++i) items.push_back(Scalar(message, field, i));
    absl::StrAppend(&out, " [", absl::StrJoin(items, ", "), "]\n");
    return;
  }
  absl::StrAppend(&out, "\n");
  for (int i = 0; i < size; ++i) {
    std::string item;
    WriteMessageValue(reflection->GetRepeatedMessage(message, field, i), indent, item);
    // The first field of a block stands on the line of its dash.
    if (item[0] == '\n') item = absl::StrCat(" ", item.substr(1 + indent + 2));
    absl::StrAppend(&out, std::string(indent, ' '), "-", item);
  }
}

void WriteFields(const Message& message, int indent, std::string& out) {
  const Descriptor* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (!IsSet(message, field)) continue;
    absl::StrAppend(&out, std::string(indent, ' '), field->name(), ":");
    if (field->is_map()) {
      WriteMap(message, field, indent + 2, out);
    } else if (field->is_repeated()) {
      WriteList(message, field, indent + 2, out);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      WriteMessageValue(message.GetReflection()->GetMessage(message, field), indent, out);
    } else {
      absl::StrAppend(&out, " ", Scalar(message, field), "\n");
    }
  }
}

}  // namespace

std::string ToYaml(const Message& message) {
  std::string out;
  WriteFields(message, 0, out);
  return out.empty() ? "{}\n" : out;
}

}  // namespace vernier
