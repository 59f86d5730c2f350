// Fills messages from a YAML tree and gathers every error on the way. Internal to yaml.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "proto/yaml_tree.h"

namespace vernier {

// Thread-compatible.
class YamlReader {
 public:
  // Merges a map, or a plain value through the shorthand field, into `message`. `path` names `message` in
  // errors.
  void ReadMessage(const std::string& path, const YamlNode& node, google::protobuf::Message& message);
  // Sets a singular field, appends to a list, adds to a map. `line`: of the field's name.
  void ReadField(const std::string& path, int line, const YamlNode& node,
                 const google::protobuf::FieldDescriptor* field, google::protobuf::Message& message);
  // Sets one singular value or, for a repeated field, appends one.
  void ReadValue(const std::string& path, int line, const YamlNode& node,
                 const google::protobuf::FieldDescriptor* field, google::protobuf::Message& message);
  void Error(absl::string_view path, int line, absl::string_view what);

  // InvalidArgument: all errors so far, one a line, each starting with `prefix`.
  absl::Status status(absl::string_view prefix) const;

 private:
  void ReadMap(const std::string& path, const YamlNode& node, const google::protobuf::FieldDescriptor* field,
               google::protobuf::Message& message);

  std::vector<std::string> errors_;
  int num_errors_ = 0;
};

// `"rnak" is not a field of Lora; did you mean "rank"?`, or a list of the fields when none is near.
std::string UnknownField(absl::string_view name, const google::protobuf::Descriptor* descriptor);

}  // namespace vernier
