// A set of byte strings, each with a number, to look up prefixes of a text in.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// Thread-safe once built. Movable.
class ByteTrie {
 public:
  static constexpr int32_t kNone = -1;

  // Of equal strings the first counts. `key` is not empty, `value` not below 0.
  void Add(absl::string_view key, int32_t value) {
    uint32_t node = 0;
    for (const char byte : key) {
      const auto [edge, is_new] = edges_.try_emplace(Edge(node, byte), static_cast<uint32_t>(values_.size()));
      if (is_new) values_.push_back(kNone);
      node = edge->second;
    }
    if (values_[node] == kNone) values_[node] = value;
  }

  // Calls `visit(length, value)` for every key that begins `text`, the shortest first. Returns how many bytes
  // it had to look at.
  template <typename Visit>
  size_t ForEachPrefix(absl::string_view text, Visit visit) const {
    uint32_t node = 0;
    for (size_t at = 0; at < text.size(); ++at) {
      const auto edge = edges_.find(Edge(node, text[at]));
      if (edge == edges_.end()) return at + 1;
      node = edge->second;
      if (values_[node] != kNone) visit(at + 1, values_[node]);
    }
    return text.size();
  }

  void reserve(size_t num_bytes) { edges_.reserve(num_bytes); }

 private:
  static uint64_t Edge(uint32_t node, char byte) {
    return uint64_t{node} << 8 | static_cast<unsigned char>(byte);
  }

  absl::flat_hash_map<uint64_t, uint32_t> edges_;  // (node, byte) -> node; node 0 is the root
  std::vector<int32_t> values_{kNone};             // of each node
};

}  // namespace vernier::data
