// The YAML form of a message: its JSON mapping with the relaxations of docs/design/0001-foundations.md,
// section 1.
//  - field names in snake_case; enum values lower-case without their prefix (`loss_on: assistant`);
//  - a plain value where a message with a (shorthand) field is expected sets that field (`model: smollm2`);
//  - an unknown field is an error that names its path, line and the nearest known field.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace vernier {

// Fills `message` from `yaml` (at most 4 MiB; anchors are expanded within that limit).
// InvalidArgument: every error found, one a line, each "path (line n): what; what to do". `source` names the
// text.
absl::Status ParseYaml(absl::string_view yaml, absl::string_view source, google::protobuf::Message& message);

// Sets one field by path, `train.tuning.lora.rank=16`; the value is YAML. Same errors as ParseYaml.
absl::Status SetField(absl::string_view assignment, google::protobuf::Message& message);

// Canonical YAML that ParseYaml reads back to an equal message; unset fields are left out.
std::string ToYaml(const google::protobuf::Message& message);

// JSON Schema (draft 2020-12) of the YAML form, for editors.
std::string JsonSchema(const google::protobuf::Descriptor* descriptor, absl::string_view title);

}  // namespace vernier
