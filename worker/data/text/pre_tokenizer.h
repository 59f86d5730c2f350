// Cuts text into the words that BPE works on: a list of splits, then the byte level's own.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

// GPT-2's split, which ByteLevel does unless told not to.
extern const absl::string_view kGpt2Pattern;
// Digits: what Rust calls numeric.
extern const absl::string_view kNumericPattern;

// A word: `text` stands at `begin` of the text that was cut; behind a space that was put before it if
// `prefixed`.
struct Word {
  absl::string_view text;
  size_t begin = 0;
  bool prefixed = false;
};

// Immutable, thread-safe. Movable.
class PreTokenizer {
 public:
  // `prefix_space`: a piece that does not begin with a space gets one, after `steps`; `byte_level` cuts then.
  PreTokenizer(std::vector<SplitStep> steps, bool prefix_space, std::vector<SplitStep> byte_level)
      : steps_(std::move(steps)), prefix_space_(prefix_space), byte_level_(std::move(byte_level)) {}

  // `visit` sees every word in order, while `text` (valid UTF-8) lives and until it returns.
  absl::Status Split(absl::string_view text, CpuBudget& budget,
                     absl::FunctionRef<void(const Word&)> visit) const;

 private:
  std::vector<SplitStep> steps_;
  bool prefix_space_ = false;
  std::vector<SplitStep> byte_level_;
};

}  // namespace vernier::data
