// Which keys a block of a row's queries can see.
#pragma once

#include <algorithm>
#include <cstdint>

namespace vernier::models {

// Queries [begin, begin + length) of the new tokens of a row see keys within [first_key, end_key) of all its
// tokens.
struct QueryBlock {
  int64_t begin = 0, length = 0;
  int64_t first_key = 0, end_key = 0;
  int64_t num_keys() const { return end_key - first_key; }
};

// Calls body(QueryBlock) for blocks of at most `block` of the `num_new` tokens that follow `past` others, in
// order. `window` as in AttentionRule.
template <typename Body>
void ForQueryBlocks(int64_t num_new, int64_t past, int64_t window, int64_t block, const Body& body) {
  for (int64_t begin = 0; begin < num_new; begin += block) {
    QueryBlock queries;
    queries.begin = begin;
    queries.length = std::min(block, num_new - begin);
    queries.first_key = window == 0 ? 0 : std::max<int64_t>(0, past + begin - window + 1);
    queries.end_key = past + begin + queries.length;
    body(queries);
  }
}

}  // namespace vernier::models
