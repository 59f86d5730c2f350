// The normalizer of a tokenizer: changes text before it is cut, and remembers where everything came from.
// Source: the `tokenizers` library, whose steps these are.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/aligned_text.h"
#include "worker/data/text/cpu_budget.h"
#include "worker/data/text/precompiled_map.h"
#include "worker/data/text/split_pattern.h"
#include "worker/data/text/unicode_form.h"

namespace vernier::data {

struct LowercaseStep {};
struct StripAccentsStep {};  // removes marks; the text should be decomposed before
struct NmtStep {};           // removes controls, makes odd spaces plain
struct ByteSymbolsStep {};   // every byte becomes its symbol of the byte-level alphabet
struct StripStep {           // white space at the ends
  bool left = true, right = true;
};
struct PrependStep {
  std::string text;
};
struct ReplaceStep {
  SplitPattern pattern;
  std::string content;
};
struct PrecompiledStep {
  std::shared_ptr<const PrecompiledMap> map;  // shared by copies of the tokenizer's description
};
struct BertStep {
  bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;
};
using NormalizerStep = std::variant<UnicodeForm, LowercaseStep, StripAccentsStep, NmtStep, ByteSymbolsStep,
                                    StripStep, PrependStep, ReplaceStep, PrecompiledStep, BertStep>;

// Every byte of `text` as its symbol. Also a pre-tokenizer does this.
void AppendByteSymbols(absl::string_view text, size_t begin, size_t end, AlignedText::Editor& editor);

// Immutable, thread-safe. Movable.
class Normalizer {
 public:
  Normalizer() = default;  // changes nothing
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }
  // InvalidArgument: the budget is spent, or the text grows beyond measure.
  absl::Status Apply(AlignedText& text, CpuBudget& budget) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace vernier::data
