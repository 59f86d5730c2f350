// YAML text as a bounded tree. Internal to the YAML form of messages (yaml.h).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;         // from 1
  bool quoted = false;  // a scalar in quotes or a block scalar: never a number, a boolean or null
  std::string scalar;
  std::vector<const YamlNode*> items;  // kList: the items; kMap: key, value, key, value, ...
  int64_t expanded_bytes = 0;          // of its text with every alias written out
};

// One YAML document. Aliases share nodes, so walking the tree may meet a node more than once; in all, a walk
// sees at most kMaxYamlBytes. Movable.
class YamlTree {
 public:
  static constexpr int64_t kMaxYamlBytes = int64_t{4} << 20;
  static constexpr int kMaxDepth = 64;

  // InvalidArgument, "(line n): what; what to do": not YAML, over a limit, an alias inside its own anchor, a
  // tag, more than one document. An empty text is a null node.
  static absl::StatusOr<YamlTree> Parse(absl::string_view text);

  const YamlNode& root() const { return *root_; }

 private:
  class Builder;
  std::deque<YamlNode> nodes_;  // a deque: nodes point at each other
  const YamlNode* root_ = nullptr;
};

}  // namespace vernier
