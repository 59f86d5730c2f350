// Cuts text into the words that the model works on, step by step.
// Source: the `tokenizers` library, whose steps these are.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/aligned_text.h"
#include "worker/data/text/cpu_budget.h"
#include "worker/data/text/split_pattern.h"

namespace vernier::data {

// What happens to the matches of a split's pattern.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  SplitPattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the pattern describes the words, not what lies between
};

// Every character that `matches` holds for is a match.
struct CharacterStep {
  bool (*matches)(char32_t) = nullptr;
  SplitBehavior behavior = SplitBehavior::kIsolated;
};

// Runs of word characters and runs of others are words; white space is dropped.
struct WordRunsStep {};

// Where Metaspace puts a space before a piece that begins with none.
enum class PrependScheme { kNever, kFirst, kAlways };  // first: the piece at the beginning of the whole text

// Spaces become `replacement`, which begins the words when they are cut there.
struct MetaspaceStep {
  std::string replacement;
  PrependScheme scheme = PrependScheme::kAlways;
  bool split = true;
};

// GPT-2's byte level. Its alphabet is written out only when a later step has to see it (`writes_symbols`);
// otherwise words stay bytes.
struct ByteLevelStep {
  bool prefix_space = false;
  std::optional<SplitPattern> pattern;
  bool writes_symbols = false;
};

using PreTokenizerStep = std::variant<SplitStep, CharacterStep, WordRunsStep, MetaspaceStep, ByteLevelStep>;

// GPT-2's split, which ByteLevel does unless told not to.
extern const absl::string_view kGpt2Pattern;
// Digits: what Rust calls numeric.
extern const absl::string_view kNumericPattern;

// A stretch [begin, end) of a text.
struct TextPiece {
  size_t begin = 0, end = 0;
};

// Immutable, thread-safe. Movable.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // the whole text is one word
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // Words are raw bytes for a vocabulary in the byte-level alphabet.
  bool gives_bytes() const;
  bool empty() const { return steps_.empty(); }

  // Changes `text` as the steps ask for; `words` are the pieces of it, in order, none empty.
  absl::Status Split(AlignedText& text, CpuBudget& budget, std::vector<TextPiece>* words) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace vernier::data
