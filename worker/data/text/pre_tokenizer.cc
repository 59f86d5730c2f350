#include "worker/data/text/pre_tokenizer.h"

#include <algorithm>

#include "common/status_macros.h"
#include "worker/data/text/library_unicode.h"

namespace vernier::data {
namespace {

struct Piece {
  size_t begin = 0, end = 0;
};

// Appends the pieces that `step` makes of text[piece]. `regex_text` is the text as regular expressions see
// it.
absl::Status SplitPiece(const SplitStep& step, absl::string_view text, absl::string_view regex_text,
                        Piece piece, CpuBudget& budget, std::vector<Piece>* pieces) {
  const absl::string_view subject =
      (step.pattern.is_regex() ? regex_text : text).substr(piece.begin, piece.end - piece.begin);
  // Stretches alternate between matches and what lies between them, as the library lists them; those of no
  // length only separate.
  const size_t first = pieces->size();
  bool previous_was_match = false;
  size_t done = 0;
  const auto stretch = [&](size_t begin, size_t end, bool is_match) {
    is_match = is_match != step.invert;
    bool joins_previous = false;  // to the last piece
    bool joins_next = false;
    switch (step.behavior) {
      case SplitBehavior::kRemoved:
        if (is_match) return;
        break;
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kContiguous:
        joins_previous = is_match == previous_was_match;
        break;
      case SplitBehavior::kMergedWithPrevious:
        joins_previous = is_match && !previous_was_match;
        break;
      case SplitBehavior::kMergedWithNext:
        joins_next = !is_match && previous_was_match;
        break;
    }
    previous_was_match = is_match;
    if ((joins_previous || joins_next) && pieces->size() > first) {
      pieces->back().end = piece.begin + end;
    } else {
      pieces->push_back({piece.begin + begin, piece.begin + end});
    }
  };
  VN_RETURN_IF_ERROR(step.pattern.FindAll(subject, budget, [&](size_t begin, size_t end) {
    if (done < begin) stretch(done, begin, false);
    stretch(begin, end, true);
    done = end;
  }));
  if (done < subject.size()) stretch(done, subject.size(), false);
  pieces->erase(std::remove_if(pieces->begin() + static_cast<std::ptrdiff_t>(first), pieces->end(),
                               [](const Piece& p) { return p.begin == p.end; }),
                pieces->end());
  return absl::OkStatus();
}

absl::Status SplitAll(const std::vector<SplitStep>& steps, absl::string_view text, CpuBudget& budget,
                      std::vector<Piece>* pieces) {
  std::string buffer;
  const absl::string_view regex_text = WithStandIns(text, &buffer);
  std::vector<Piece> next;
  for (const SplitStep& step : steps) {
    next.clear();
    for (const Piece& piece : *pieces) {
      VN_RETURN_IF_ERROR(SplitPiece(step, text, regex_text, piece, budget, &next));
    }
    pieces->swap(next);
  }
  return absl::OkStatus();
}

}  // namespace

// Source: OpenAI's GPT-2 encoder.py.
const absl::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Rust's tables are at Unicode 17: two runs more than Oniguruma's.
const absl::string_view kNumericPattern = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])";

absl::Status PreTokenizer::Split(absl::string_view text, CpuBudget& budget,
                                 absl::FunctionRef<void(const Word&)> visit) const {
  if (text.empty()) return absl::OkStatus();
  std::vector<Piece> pieces = {{0, text.size()}};
  VN_RETURN_IF_ERROR(SplitAll(steps_, text, budget, &pieces));
  if (!prefix_space_) {
    VN_RETURN_IF_ERROR(SplitAll(byte_level_, text, budget, &pieces));
    for (const Piece& p : pieces) visit({text.substr(p.begin, p.end - p.begin), p.begin, false});
    return absl::OkStatus();
  }
  std::string prefixed;
  std::vector<Piece> words;
  for (const Piece& piece : pieces) {
    absl::string_view part = text.substr(piece.begin, piece.end - piece.begin);
    const size_t added = part[0] == ' ' ? 0 : 1;
    if (added > 0) {
      prefixed.assign(1, ' ');
      prefixed.append(part.data(), part.size());
      part = prefixed;
    }
    words.assign(1, {0, part.size()});
    VN_RETURN_IF_ERROR(SplitAll(byte_level_, part, budget, &words));
    for (const Piece& w : words) {
      const bool has_prefix = added > 0 && w.begin == 0;
      visit({part.substr(w.begin, w.end - w.begin), piece.begin + w.begin - (has_prefix ? 0 : added),
             has_prefix});
    }
  }
  return absl::OkStatus();
}

}  // namespace vernier::data
