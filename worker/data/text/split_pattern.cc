#define PCRE2_CODE_UNIT_WIDTH 8
#include "worker/data/text/split_pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/text.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

constexpr size_t kMaxPatternBytes = 16 << 10;
// A search tries this many starting places before the budget is asked again: without a pause, a pattern like
// \s+$ would take the square of a long run of spaces.
constexpr size_t kSearchBytes = 256;
// Steps at one starting place, far above what a run of 8 MiB needs in patterns that published tokenizers use.
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr size_t kJitStackBytes = 16 << 20;
constexpr uint32_t kHeapLimitKib = 512 << 10;

// What a thread needs to match, made once.
class Scratch {
 public:
  Scratch()
      : data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        stack_(pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr)) {
    VN_CHECK(data_ != nullptr && context_ != nullptr && stack_ != nullptr);
    pcre2_set_match_limit(context_, kMatchLimit);
    pcre2_set_heap_limit(context_, kHeapLimitKib);
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack_);
    pcre2_match_context_free(context_);
    pcre2_match_data_free(data_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  pcre2_match_data* data() { return data_; }
  pcre2_match_context* context() { return context_; }

 private:
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

size_t NextBoundary(absl::string_view text, size_t at) {
  do ++at;
  while (!IsCharacterBoundary(text, at));
  return at;
}

std::string Pcre2Message(int error) {
  std::array<PCRE2_UCHAR, 160> buffer;
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return std::string(reinterpret_cast<const char*>(buffer.data()));
}

}  // namespace

struct SplitPattern::Code {
  pcre2_code* compiled;
};

void SplitPattern::FreeCode::operator()(Code* code) const {
  pcre2_code_free(code->compiled);
  delete code;
}

absl::StatusOr<SplitPattern> SplitPattern::Regex(absl::string_view pattern) {
  SplitPattern result{std::string(pattern), true};
  absl::StatusOr<std::string> translated = PatternForPcre2(pattern);
  if (!translated.ok()) return translated.status();
  if (absl::Status status = result.Compile(*translated, PCRE2_UCP); !status.ok()) return status;
  return result;
}

absl::StatusOr<SplitPattern> SplitPattern::Literal(absl::string_view text) {
  SplitPattern result{std::string(text), false};
  if (absl::Status status = result.Compile(text, PCRE2_LITERAL); !status.ok()) return status;
  return result;
}

absl::Status SplitPattern::Compile(absl::string_view pattern, uint32_t options) {
  if (pattern.empty()) return absl::InvalidArgumentError("the pattern is empty");
  if (pattern.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern has ", pattern.size(),
                                                   " bytes, more than the limit of ", kMaxPatternBytes));
  }
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  VN_CHECK(context != nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_USE_OFFSET_LIMIT | options, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (compiled == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a regular expression: ", Pcre2Message(error), " in \"", Excerpt(source_), "\""));
  }
  // Without JIT (an unusual processor) the interpreter does the same, slower.
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
  code_.reset(new Code{compiled});
  return absl::OkStatus();
}

absl::Status SplitPattern::FindFrom(absl::string_view text, size_t from, CpuBudget& budget, size_t* begin,
                                    size_t* end) const {
  thread_local Scratch scratch;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  *begin = absl::string_view::npos;
  while (true) {
    if (budget.Spent()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the split pattern \"", Excerpt(source_), "\" takes more than ",
                       absl::FormatDuration(budget.limit()),
                       " of CPU time on this text; shorten the text or its long runs"));
    }
    const size_t last_start = std::min(text.size(), from + kSearchBytes);
    pcre2_set_offset_limit(scratch.context(), last_start);
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_->compiled, subject, text.size(), from, PCRE2_NO_UTF_CHECK | options,
                         scratch.data(), scratch.context());
    };
    int rc = match(0);
    // The interpreter keeps its state on the heap and so takes texts that the JIT's stack is too small for.
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
    if (rc == PCRE2_ERROR_NOMATCH) {
      if (last_start == text.size()) return absl::OkStatus();
      from = NextBoundary(text, last_start);
      continue;
    }
    if (rc < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the split pattern \"", Excerpt(source_), "\" gives up near byte ", from,
                       " of the text: ", Pcre2Message(rc), "; shorten the text or its long runs"));
    }
    const PCRE2_SIZE* ovector = pcre2_get_ovector_pointer(scratch.data());
    *begin = ovector[0];
    *end = ovector[1];
    return absl::OkStatus();
  }
}

absl::Status SplitPattern::FindAll(absl::string_view text, CpuBudget& budget,
                                   absl::FunctionRef<void(size_t begin, size_t end)> found) const {
  size_t last_end = absl::string_view::npos;
  for (size_t at = 0; at <= text.size();) {
    size_t begin = 0;
    size_t end = 0;
    if (absl::Status status = FindFrom(text, at, budget, &begin, &end); !status.ok()) return status;
    if (begin == absl::string_view::npos) break;
    if (begin == end && end == last_end) {
      at = NextBoundary(text, at);
      continue;
    }
    found(begin, end);
    at = last_end = end;
  }
  return absl::OkStatus();
}

}  // namespace vernier::data
