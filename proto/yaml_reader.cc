#include "proto/yaml_reader.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/time_util.h"
#include "proto/yaml_schema.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;
using Kind = YamlNode::Kind;

// A file that is no job at all would else report each of its lines.
constexpr int kMaxErrors = 100;

std::string Child(const std::string& path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

std::string Quoted(const YamlNode& node) { return absl::StrCat("\"", Excerpt(node.scalar), "\""); }

// Either the value or what is wrong with the text.
template <typename T>
struct Parsed {
  std::optional<T> value;
  std::string problem;
};

template <typename T>
Parsed<T> ParseInteger(const YamlNode& node) {
  T value;
  if (absl::SimpleAtoi(node.scalar, &value)) return {value, ""};
  double number;
  if (!absl::SimpleAtod(node.scalar, &number) || std::isnan(number)) {
    return {std::nullopt, absl::StrCat(Quoted(node), " is not a whole number")};
  }
  // 1e5 is a whole number too; doubles beyond 2^53 are not exact.
  const double limit = std::min(0x1p53, static_cast<double>(std::numeric_limits<T>::max()));
  const double lowest = std::is_unsigned_v<T> ? 0 : -limit;
  if (std::abs(number) <= limit && number != std::floor(number)) {
    return {std::nullopt, absl::StrCat(Quoted(node), " is not a whole number")};
  }
  if (number < lowest || number > limit) {
    return {std::nullopt, absl::StrCat(Quoted(node), " is outside [", std::numeric_limits<T>::min(), ", ",
                                       std::numeric_limits<T>::max(), "]")};
  }
  return {static_cast<T>(number), ""};
}

Parsed<double> ParseNumber(const YamlNode& node) {
  double value;
  if (absl::SimpleAtod(node.scalar, &value)) return {value, ""};
  return {std::nullopt, absl::StrCat(Quoted(node), " is not a number")};
}

Parsed<bool> ParseBool(const YamlNode& node) {
  if (node.scalar == "true" || node.scalar == "True" || node.scalar == "TRUE") return {true, ""};
  if (node.scalar == "false" || node.scalar == "False" || node.scalar == "FALSE") return {false, ""};
  return {std::nullopt, absl::StrCat(Quoted(node), " is not true or false")};
}

Parsed<const google::protobuf::EnumValueDescriptor*> ParseEnum(const YamlNode& node,
                                                               const EnumDescriptor* descriptor) {
  if (const auto* value = FindShortEnum(descriptor, node.scalar)) return {value, ""};
  const std::vector<std::string> names = ShortEnumNames(descriptor);
  return {std::nullopt, absl::StrCat(Quoted(node), " is none of ", absl::StrJoin(names, ", "),
                                     DidYouMean(node.scalar, names))};
}

// What the field wants, for messages.
std::string Expected(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "a number";
    case FieldDescriptor::CPPTYPE_STRING:
      return "a text";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", absl::StrJoin(ShortEnumNames(field->enum_type()), ", "));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return absl::StrCat("fields of ", field->message_type()->name());
    default:
      return "a whole number";
  }
}

}  // namespace

std::string UnknownField(absl::string_view name, const Descriptor* descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor->field_count(); ++i) names.push_back(descriptor->field(i)->name());
  std::string hint = DidYouMean(name, names);
  if (hint.empty()) {
    hint = names.empty() ? "; it has no fields" : absl::StrCat("; known: ", absl::StrJoin(names, ", "));
  }
  return absl::StrCat("\"", Excerpt(name), "\" is not a field of ", descriptor->name(), hint);
}

void YamlReader::Error(absl::string_view path, int line, absl::string_view what) {
  if (++num_errors_ > kMaxErrors) return;
  std::string text(path);
  if (line > 0) absl::StrAppend(&text, path.empty() ? "" : " ", "(line ", line, ")");
  errors_.push_back(text.empty() ? std::string(what) : absl::StrCat(text, ": ", what));
}

absl::Status YamlReader::status(absl::string_view prefix) const {
  if (errors_.empty()) return absl::OkStatus();
  std::vector<std::string> lines;
  for (const std::string& error : errors_) lines.push_back(absl::StrCat(prefix, error));
  if (num_errors_ > kMaxErrors) {
    lines.push_back(absl::StrCat(prefix, "and ", num_errors_ - kMaxErrors, " more errors"));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

void YamlReader::ReadMessage(const std::string& path, const YamlNode& node, Message& message) {
  const Descriptor* descriptor = message.GetDescriptor();
  if (node.kind != Kind::kMap) {
    const FieldDescriptor* shorthand = ShorthandField(descriptor);
    if (node.kind == Kind::kScalar && shorthand != nullptr) {
      ReadValue(path, node.line, node, shorthand, message);
      return;
    }
    Error(path, node.line,
          absl::StrCat("expected fields of ", descriptor->name(), " (name: value), found ",
                       node.kind == Kind::kList   ? "a list"
                       : node.kind == Kind::kNull ? "nothing; write {} for all defaults"
                                                  : absl::StrCat("the plain value ", Quoted(node))));
    return;
  }
  absl::flat_hash_map<std::string, int> first_line;
  absl::flat_hash_map<const OneofDescriptor*, std::string> chosen;
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode& key = *node.items[i];
    if (key.kind != Kind::kScalar) {
      Error(path, key.line, "the name of a field is a plain text");
      continue;
    }
    const std::string child = Child(path, Excerpt(key.scalar));
    const FieldDescriptor* field = descriptor->FindFieldByName(key.scalar);
    if (field == nullptr) {
      Error(child, key.line, UnknownField(key.scalar, descriptor));
      continue;
    }
    if (const auto [first, is_new] = first_line.emplace(key.scalar, key.line); !is_new) {
      Error(child, key.line,
            absl::StrCat("is written twice (first on line ", first->second, "); remove one"));
      continue;
    }
    if (const OneofDescriptor* oneof = field->real_containing_oneof()) {
      if (const auto [other, is_new] = chosen.emplace(oneof, key.scalar); !is_new) {
        Error(child, key.line,
              absl::StrCat("only one of ", other->second, " and ", key.scalar, " can be set; remove one"));
        continue;
      }
    }
    ReadField(child, key.line, *node.items[i + 1], field, message);
  }
}

void YamlReader::ReadField(const std::string& path, int line, const YamlNode& node,
                           const FieldDescriptor* field, Message& message) {
  if (node.kind == Kind::kNull) {
    const bool has_fields = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated();
    Error(path, line,
          absl::StrCat("has no value; write ", has_fields ? "{} for all defaults" : "one",
                       " or remove the line"));
    return;
  }
  if (field->is_map()) {
    ReadMap(path, node, field, message);
  } else if (field->is_repeated()) {
    if (node.kind != Kind::kList) {
      Error(path, line, absl::StrCat("expected a list of values, [", Expected(field), ", ...]"));
      return;
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      ReadValue(absl::StrCat(path, "[", i, "]"), node.items[i]->line, *node.items[i], field, message);
    }
  } else {
    ReadValue(path, line, node, field, message);
  }
}

void YamlReader::ReadMap(const std::string& path, const YamlNode& node, const FieldDescriptor* field,
                         Message& message) {
  if (node.kind != Kind::kMap) {
    Error(path, node.line, "expected names with values, {name: value, ...}");
    return;
  }
  absl::flat_hash_map<std::string, int> first_line;
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode& key = *node.items[i];
    if (key.kind != Kind::kScalar) {
      Error(path, key.line, "a key is a plain text");
      continue;
    }
    const std::string child = absl::StrCat(path, "[\"", Excerpt(key.scalar), "\"]");
    if (const auto [first, is_new] = first_line.emplace(key.scalar, key.line); !is_new) {
      Error(child, key.line,
            absl::StrCat("is written twice (first on line ", first->second, "); remove one"));
      continue;
    }
    Message* entry = message.GetReflection()->AddMessage(&message, field);
    ReadValue(child, key.line, key, field->message_type()->map_key(), *entry);
    ReadValue(child, key.line, *node.items[i + 1], field->message_type()->map_value(), *entry);
  }
}

void YamlReader::ReadValue(const std::string& path, int line, const YamlNode& node,
                           const FieldDescriptor* field, Message& message) {
  const Reflection* reflection = message.GetReflection();
  const bool add = field->is_repeated();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    Message* child =
        add ? reflection->AddMessage(&message, field) : reflection->MutableMessage(&message, field);
    if (auto* time = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(child)) {
      if (!google::protobuf::util::TimeUtil::FromString(node.scalar, time)) {
        Error(path, line, absl::StrCat(Quoted(node), " is not a time; write it as 2026-01-31T12:00:00Z"));
      }
      return;
    }
    ReadMessage(path, node, *child);
    return;
  }
  if (node.kind != Kind::kScalar) {
    Error(path, line,
          absl::StrCat("expected ", Expected(field), ", found ",
                       node.kind == Kind::kNull   ? "nothing"
                       : node.kind == Kind::kList ? "a list"
                                                  : "fields"));
    return;
  }
  const auto set = [&](const auto& parsed, auto setter, auto adder) {
    if (!parsed.value) {
      Error(path, line, parsed.problem);
    } else if (add) {
      (reflection->*adder)(&message, field, *parsed.value);
    } else {
      (reflection->*setter)(&message, field, *parsed.value);
    }
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      set(ParseInteger<int32_t>(node), &Reflection::SetInt32, &Reflection::AddInt32);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      set(ParseInteger<int64_t>(node), &Reflection::SetInt64, &Reflection::AddInt64);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      set(ParseInteger<uint32_t>(node), &Reflection::SetUInt32, &Reflection::AddUInt32);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      set(ParseInteger<uint64_t>(node), &Reflection::SetUInt64, &Reflection::AddUInt64);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      set(ParseNumber(node), &Reflection::SetFloat, &Reflection::AddFloat);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      set(ParseNumber(node), &Reflection::SetDouble, &Reflection::AddDouble);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      set(ParseBool(node), &Reflection::SetBool, &Reflection::AddBool);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      set(ParseEnum(node, field->enum_type()), &Reflection::SetEnum, &Reflection::AddEnum);
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      Parsed<std::string> text{node.scalar, ""};
      if (field->type() == FieldDescriptor::TYPE_BYTES && !absl::Base64Unescape(node.scalar, &*text.value)) {
        text = {std::nullopt, "is not base64"};
      }
      set(text, &Reflection::SetString, &Reflection::AddString);
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;  // above
  }
}

}  // namespace vernier
