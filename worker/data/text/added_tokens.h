// Tokens that a tokenizer matches whole in the text, before anything else: special ones and those added
// later.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
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

// Finds patterns in a text: leftmost first, the longest of those that start there. An Aho-Corasick automaton:
// linear in the text whatever it and the patterns have in common. Immutable, thread-safe.
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
  void Find(absl::string_view text, std::vector<AddedTokenMatch>* found) const;

 private:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kDead = UINT32_MAX;  // nothing that starts further left can still match
  // What has been read of patterns; the root is nothing.
  struct State {
    uint32_t fail = kRoot;  // the longest end of what was read that begins a pattern; kDead behind a match
    int pattern = -1;       // that ends here, or -1
  };
  struct Hit {
    int pattern = -1;
    size_t end = 0;
  };

  // The edge that made a state.
  struct Step {
    uint32_t from = 0, to = 0;
    uint32_t depth = 0;  // of `to`: bytes read
    unsigned char byte = 0;
  };

  void AddFailures(std::vector<Step> steps);
  // The state after `byte`, or kDead.
  uint32_t Next(uint32_t state, unsigned char byte) const;
  // The first match that begins at `at` or behind.
  Hit Search(absl::string_view text, size_t at) const;

  std::vector<Pattern> patterns_;
  std::vector<State> states_{1};
  absl::flat_hash_map<uint64_t, uint32_t> edges_;  // (state, byte) -> state
  std::array<bool, 256> starts_{};                 // bytes that lead away from the root
};

}  // namespace vernier::data
