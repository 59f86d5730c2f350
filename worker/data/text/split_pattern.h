// A pattern that cuts text into words: a literal, or a regular expression in the dialect that tokenizer.json
// is written in (Oniguruma's), matched by PCRE2.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/cpu_budget.h"

namespace vernier::data {

// The same expression for PCRE2 (UTF and UCP on). What the two engines read differently is rewritten, or
// refused: InvalidArgument names it and where.
absl::StatusOr<std::string> PatternForPcre2(absl::string_view pattern);

// Immutable, thread-safe. Movable.
class SplitPattern {
 public:
  // InvalidArgument: not a regular expression, one that is not supported, or longer than 16 KiB.
  static absl::StatusOr<SplitPattern> Regex(absl::string_view pattern);
  // Matches `text` itself. InvalidArgument: empty, or too long.
  static absl::StatusOr<SplitPattern> Literal(absl::string_view text);

  // Calls `found(begin, end)` for every match in `text` (valid UTF-8), left to right, without overlap; empty
  // matches too, except right behind another match. InvalidArgument: the budget is spent or the pattern needs
  // too much memory.
  absl::Status FindAll(absl::string_view text, CpuBudget& budget,
                       absl::FunctionRef<void(size_t begin, size_t end)> found) const;
  // Whether it has to see stand-ins (library_unicode.h).
  bool is_regex() const { return is_regex_; }

 private:
  struct Code;
  struct FreeCode {
    void operator()(Code* code) const;
  };
  SplitPattern(std::string source, bool is_regex) : source_(std::move(source)), is_regex_(is_regex) {}
  absl::Status Compile(absl::string_view pattern, uint32_t options);
  // The first match from `from` on. OK with `*begin` = npos: none.
  absl::Status FindFrom(absl::string_view text, size_t from, CpuBudget& budget, size_t* begin,
                        size_t* end) const;

  std::string source_;  // as written, for messages
  bool is_regex_ = false;
  std::unique_ptr<Code, FreeCode> code_;
};

}  // namespace vernier::data
