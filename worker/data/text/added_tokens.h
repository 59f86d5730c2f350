// Tokens that a tokenizer matches whole in the text, before anything else: special ones and those added
// later.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/byte_trie.h"
#include "worker/data/text/cpu_budget.h"

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

  // Stretches that cover `text`, in order, none empty. InvalidArgument: the budget is spent; that takes
  // patterns and a text made for it, since each place costs at most the longest pattern.
  absl::Status Find(absl::string_view text, CpuBudget& budget, std::vector<AddedTokenMatch>* found) const;

 private:
  std::vector<Pattern> patterns_;
  ByteTrie trie_;
  std::array<bool, 256> starts_{};
};

}  // namespace vernier::data
