// JsonSchema: one definition a message; a message with a shorthand field is its fields or the plain value.
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/timestamp.pb.h"
#include "proto/yaml.h"
#include "proto/yaml_schema.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;
using Json = nlohmann::ordered_json;

class SchemaWriter {
 public:
  // Defines `descriptor` and what it refers to; returns a reference to it.
  Json Reference(const Descriptor* descriptor) {
    if (descriptor == google::protobuf::Timestamp::descriptor())
      return {{"type", "string"}, {"format", "date-time"}};
    const std::string& name = descriptor->name();
    if (!definitions_.contains(name)) {
      definitions_[name] = Json::object();  // before its fields: a message may hold itself
      definitions_[name] = Definition(descriptor);
    }
    return {{"$ref", absl::StrCat("#/$defs/", name)}};
  }

  const Json& definitions() const { return definitions_; }

 private:
  Json Definition(const Descriptor* descriptor) {
    Json object = {{"type", "object"}, {"additionalProperties", false}};
    Json properties = Json::object();
    for (int i = 0; i < descriptor->field_count(); ++i) {
      properties[descriptor->field(i)->name()] = Field(descriptor->field(i));
    }
    object["properties"] = std::move(properties);
    Json exclusive = Json::array();
    for (int i = 0; i < descriptor->real_oneof_decl_count(); ++i) {
      const OneofDescriptor* oneof = descriptor->oneof_decl(i);
      for (int a = 0; a < oneof->field_count(); ++a) {
        for (int b = a + 1; b < oneof->field_count(); ++b) {
          exclusive.push_back({{"not", {{"required", {oneof->field(a)->name(), oneof->field(b)->name()}}}}});
        }
      }
    }
    if (!exclusive.empty()) object["allOf"] = std::move(exclusive);
    if (const FieldDescriptor* shorthand = ShorthandField(descriptor)) {
      return {{"anyOf", Json::array({Value(shorthand), std::move(object)})}};
    }
    return object;
  }

  Json Field(const FieldDescriptor* field) {
    if (field->is_map()) {
      return {{"type", "object"}, {"additionalProperties", Value(field->message_type()->map_value())}};
    }
    if (field->is_repeated()) return {{"type", "array"}, {"items", Value(field)}};
    return Value(field);
  }

  Json Value(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return {{"type", "number"}};
      case FieldDescriptor::CPPTYPE_INT32:
        return {{"type", "integer"},
                {"minimum", std::numeric_limits<int32_t>::min()},
                {"maximum", std::numeric_limits<int32_t>::max()}};
      case FieldDescriptor::CPPTYPE_INT64:
        return {{"type", "integer"}};
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_UINT64:
        return {{"type", "integer"}, {"minimum", 0}};
      case FieldDescriptor::CPPTYPE_STRING:
        return {{"type", "string"}};
      case FieldDescriptor::CPPTYPE_ENUM:
        return {{"enum", ShortEnumNames(field->enum_type())}};
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Reference(field->message_type());
    }
    return Json::object();
  }

  Json definitions_ = Json::object();
};

}  // namespace

std::string JsonSchema(const Descriptor* descriptor, absl::string_view title) {
  SchemaWriter writer;
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", std::string(title)}};
  schema.update(writer.Reference(descriptor));
  schema["$defs"] = writer.definitions();
  return absl::StrCat(schema.dump(2), "\n");
}

}  // namespace vernier
