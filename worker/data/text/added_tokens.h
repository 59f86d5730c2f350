// Tokens that a tokenizer matches whole in the text, before anything else: special ones and those added
// later.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // takes the white space before it too
  bool rstrip = false;       // and after it
  bool normalized = false;   // matched in the normalised text, in its own normalised form
};

// A stretch of text: one added token, or text between them.
struct AddedTokenMatch {
  size_t begin = 0, end = 0;  // [begin, end)
  int token = -1;             // index of the pattern; -1: text
};

// Finds patterns in a text: leftmost first, the longest of those that start there. Immutable, thread-safe.
class AddedTokenMatcher {
 public:
  struct Pattern {
    std::string text;  // not empty
    bool single_word = false, lstrip = false, rstrip = false;
  };
  AddedTokenMatcher() = default;
  // Of equal texts the first counts.
  explicit AddedTokenMatcher(std::vector<Pattern> patterns);

  // Stretches that cover `text`, in order, none empty.
  std::vector<AddedTokenMatch> Find(absl::string_view text) const;

 private:
  // The longest pattern that starts at `at`, or -1.
  int LongestAt(absl::string_view text, size_t at) const;

  std::vector<Pattern> patterns_;
  // A trie of bytes: (node << 8 | byte) -> node; node 0 is the root.
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::vector<int> ends_;  // of each node, the pattern that ends there, or -1
  std::array<bool, 256> starts_{};
};

}  // namespace vernier::data
