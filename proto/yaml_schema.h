// What the YAML form takes from descriptors: shorthand fields and short enum names. Internal to yaml.h.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace vernier {

// The (shorthand) field of `descriptor`, or null.
const google::protobuf::FieldDescriptor* ShorthandField(const google::protobuf::Descriptor* descriptor);

// `LOSS_ON_ASSISTANT` of LossOn is "assistant".
std::string ShortEnumName(const google::protobuf::EnumValueDescriptor* value);
// By short name. Null: none, or the unspecified zero, which is written by leaving the field out.
const google::protobuf::EnumValueDescriptor* FindShortEnum(const google::protobuf::EnumDescriptor* descriptor,
                                                           absl::string_view name);
// Every name that FindShortEnum knows.
std::vector<std::string> ShortEnumNames(const google::protobuf::EnumDescriptor* descriptor);

}  // namespace vernier
