#include "proto/yaml.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/yaml_reader.h"
#include "proto/yaml_schema.h"
#include "proto/yaml_tree.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Which item of a list of messages `segment` names: by its `id` field, or by position from 0. Null: none.
Message* FindItem(Message& message, const FieldDescriptor* field, const std::string& segment) {
  const Reflection* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, field);
  const FieldDescriptor* id = field->message_type()->FindFieldByName("id");
  for (int i = 0; id != nullptr && i < size; ++i) {
    Message* item = reflection->MutableRepeatedMessage(&message, field, i);
    if (item->GetReflection()->GetString(*item, id) == segment) return item;
  }
  int index;
  if (!absl::SimpleAtoi(segment, &index) || index < 0 || index >= size) return nullptr;
  return reflection->MutableRepeatedMessage(&message, field, index);
}

// The entry of a map whose key is written `key`, made when missing.
Message* MapEntry(YamlReader& reader, const std::string& path, Message& message, const FieldDescriptor* field,
                  const std::string& key) {
  const Reflection* reflection = message.GetReflection();
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.scalar = key;
  std::unique_ptr<Message> wanted(
      reflection->GetMessageFactory()->GetPrototype(field->message_type())->New());
  reader.ReadValue(path, 0, node, field->message_type()->map_key(), *wanted);
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    Message* entry = reflection->MutableRepeatedMessage(&message, field, i);
    std::unique_ptr<Message> found(entry->New());
    found->CopyFrom(*entry);
    found->GetReflection()->ClearField(found.get(), field->message_type()->map_value());
    if (google::protobuf::util::MessageDifferencer::Equals(*found, *wanted)) return entry;
  }
  Message* entry = reflection->AddMessage(&message, field);
  entry->CopyFrom(*wanted);
  return entry;
}

void SetAt(YamlReader& reader, const std::string& path, absl::Span<const std::string> segments,
           const YamlNode& value, Message& message) {
  const Descriptor* descriptor = message.GetDescriptor();
  const FieldDescriptor* field = descriptor->FindFieldByName(segments[0]);
  if (field == nullptr) return reader.Error(path, 0, UnknownField(segments[0], descriptor));
  const Reflection* reflection = message.GetReflection();
  const absl::Span<const std::string> rest = segments.subspan(1);
  if (rest.empty()) {
    // A plain value sets the shorthand field and leaves its neighbours; anything else replaces all.
    const bool keeps = value.kind == YamlNode::Kind::kScalar && !field->is_repeated() &&
                       field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!keeps) reflection->ClearField(&message, field);
    return reader.ReadField(path, 0, value, field, message);
  }
  if (field->is_map()) {
    // Keys may hold points ("model.layers.0"), so the rest of the path is the key.
    Message* entry = MapEntry(reader, path, message, field, absl::StrJoin(rest, "."));
    return reader.ReadValue(path, 0, value, field->message_type()->map_value(), *entry);
  }
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return reader.Error(path, 0,
                        absl::StrCat("\"", segments[0], "\" has no fields of its own; set ", segments[0],
                                     field->is_repeated() ? "=[...]" : "=..."));
  }
  if (!field->is_repeated())
    return SetAt(reader, path, rest, value, *reflection->MutableMessage(&message, field));
  Message* item = FindItem(message, field, rest[0]);
  if (item == nullptr) {
    return reader.Error(path, 0,
                        absl::StrCat("there is no \"", Excerpt(rest[0]), "\" in ", segments[0],
                                     ", which has ", reflection->FieldSize(message, field),
                                     " items; name one by its id or its position from 0"));
  }
  if (rest.size() == 1) {
    item->Clear();
    return reader.ReadMessage(path, value, *item);
  }
  SetAt(reader, path, rest.subspan(1), value, *item);
}

std::string Prefix(absl::string_view source) { return source.empty() ? "" : absl::StrCat(source, ": "); }

}  // namespace

absl::Status ParseYaml(absl::string_view yaml, absl::string_view source, Message& message) {
  const absl::StatusOr<YamlTree> tree = YamlTree::Parse(yaml);
  if (!tree.ok()) return absl::InvalidArgumentError(absl::StrCat(Prefix(source), tree.status().message()));
  if (tree->root().kind == YamlNode::Kind::kNull) return absl::OkStatus();
  YamlReader reader;
  reader.ReadMessage("", tree->root(), message);
  return reader.status(Prefix(source));
}

absl::Status SetField(absl::string_view assignment, Message& message) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(assignment, absl::MaxSplits('=', 1));
  const std::string& path = parts.first;
  const std::string& text = parts.second;
  if (path.empty() || assignment.find('=') == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Excerpt(assignment), "\" is no assignment; write it as train.tuning.lora.rank=16"));
  }
  VN_ASSIGN_OR_RETURN(const YamlTree tree, [&]() -> absl::StatusOr<YamlTree> {
    absl::StatusOr<YamlTree> parsed = YamlTree::Parse(text);
    if (!parsed.ok()) return Annotate(parsed.status(), path);
    return parsed;
  }());
  const std::vector<std::string> segments = absl::StrSplit(path, '.');
  // `message` stays as it was when the assignment is wrong.
  std::unique_ptr<Message> changed(message.New());
  changed->CopyFrom(message);
  YamlReader reader;
  SetAt(reader, path, segments, tree.root(), *changed);
  VN_RETURN_IF_ERROR(reader.status(""));
  message.GetReflection()->Swap(&message, changed.get());
  return absl::OkStatus();
}

}  // namespace vernier
