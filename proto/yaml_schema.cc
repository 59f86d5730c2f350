#include "proto/yaml_schema.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "vernier/v1/options.pb.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

// "OnOverlong" -> "ON_OVERLONG_"
std::string EnumPrefix(const EnumDescriptor* descriptor) {
  std::string prefix;
  for (const char c : descriptor->name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return absl::StrCat(prefix, "_");
}

}  // namespace

const FieldDescriptor* ShorthandField(const Descriptor* descriptor) {
  for (int i = 0; i < descriptor->field_count(); ++i) {
    if (descriptor->field(i)->options().GetExtension(v1::shorthand)) return descriptor->field(i);
  }
  return nullptr;
}

std::string ShortEnumName(const EnumValueDescriptor* value) {
  return absl::AsciiStrToLower(absl::StripPrefix(value->name(), EnumPrefix(value->type())));
}

const EnumValueDescriptor* FindShortEnum(const EnumDescriptor* descriptor, absl::string_view name) {
  for (int i = 0; i < descriptor->value_count(); ++i) {
    const EnumValueDescriptor* value = descriptor->value(i);
    if (value->number() != 0 && ShortEnumName(value) == name) return value;
  }
  return nullptr;
}

std::vector<std::string> ShortEnumNames(const EnumDescriptor* descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor->value_count(); ++i) {
    if (descriptor->value(i)->number() != 0) names.push_back(ShortEnumName(descriptor->value(i)));
  }
  return names;
}

}  // namespace vernier
