#include "worker/data/text/pre_tokenizer.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "common/status_macros.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/normalizer.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

// A text being cut, and the same text as regular expressions see it.
class Cutting {
 public:
  explicit Cutting(AlignedText& aligned) : aligned_(aligned), pieces_{{0, aligned.text().size()}} {}

  absl::string_view text() const { return aligned_.text(); }
  absl::string_view regex_text() {
    if (!has_regex_text_) regex_text_ = WithStandIns(aligned_.text(), &stand_ins_);
    has_regex_text_ = true;
    return regex_text_;
  }
  AlignedText& aligned() { return aligned_; }
  // The text was changed.
  void Forget() { has_regex_text_ = false; }

  std::vector<TextPiece>& pieces() { return pieces_; }

 private:
  AlignedText& aligned_;
  std::vector<TextPiece> pieces_;
  bool has_regex_text_ = false;
  std::string stand_ins_;
  absl::string_view regex_text_;
};

// Collects the stretches of one piece, matches and what lies between them in turn, as the library lists them,
// and joins them as the behaviour says. Stretches of no length only separate.
class Stretches {
 public:
  Stretches(SplitBehavior behavior, bool invert, TextPiece piece, std::vector<TextPiece>* out)
      : behavior_(behavior), invert_(invert), piece_(piece), out_(out), first_(out->size()) {}

  // The next match, at [begin, end) of the piece.
  void Match(size_t begin, size_t end) {
    if (done_ < begin) Add(done_, begin, false);
    Add(begin, end, true);
    done_ = end;
  }

  void Finish() {
    const size_t size = piece_.end - piece_.begin;
    if (done_ < size) Add(done_, size, false);
    out_->erase(std::remove_if(out_->begin() + static_cast<std::ptrdiff_t>(first_), out_->end(),
                               [](const TextPiece& p) { return p.begin == p.end; }),
                out_->end());
  }

 private:
  void Add(size_t begin, size_t end, bool is_match) {
    is_match = is_match != invert_;
    bool joins_previous = false;  // to the last piece
    bool joins_next = false;
    switch (behavior_) {
      case SplitBehavior::kRemoved:
        if (is_match) return;
        break;
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kContiguous:
        joins_previous = is_match == previous_was_match_;
        break;
      case SplitBehavior::kMergedWithPrevious:
        joins_previous = is_match && !previous_was_match_;
        break;
      case SplitBehavior::kMergedWithNext:
        joins_next = !is_match && previous_was_match_;
        break;
    }
    previous_was_match_ = is_match;
    if ((joins_previous || joins_next) && out_->size() > first_) {
      out_->back().end = piece_.begin + end;
    } else {
      out_->push_back({piece_.begin + begin, piece_.begin + end});
    }
  }

  const SplitBehavior behavior_;
  const bool invert_;
  const TextPiece piece_;
  std::vector<TextPiece>* const out_;
  const size_t first_;
  bool previous_was_match_ = false;
  size_t done_ = 0;
};

absl::Status SplitByPattern(const SplitPattern& pattern, SplitBehavior behavior, bool invert,
                            Cutting& cutting, CpuBudget& budget) {
  const absl::string_view subject = pattern.is_regex() ? cutting.regex_text() : cutting.text();
  std::vector<TextPiece> next;
  for (const TextPiece piece : cutting.pieces()) {
    Stretches stretches(behavior, invert, piece, &next);
    VN_RETURN_IF_ERROR(pattern.FindAll(subject.substr(piece.begin, piece.end - piece.begin), budget,
                                       [&](size_t begin, size_t end) { stretches.Match(begin, end); }));
    stretches.Finish();
  }
  cutting.pieces().swap(next);
  return absl::OkStatus();
}

absl::Status Apply(const SplitStep& step, Cutting& cutting, CpuBudget& budget) {
  return SplitByPattern(step.pattern, step.behavior, step.invert, cutting, budget);
}

absl::Status Apply(const CharacterStep& step, Cutting& cutting, CpuBudget& /*budget*/) {
  std::vector<TextPiece> next;
  for (const TextPiece piece : cutting.pieces()) {
    Stretches stretches(step.behavior, /*invert=*/false, piece, &next);
    ForEachCharacter(cutting.text().substr(piece.begin, piece.end - piece.begin),
                     [&](char32_t character, size_t at, size_t size) {
                       if (step.matches(character)) stretches.Match(at, at + size);
                     });
    stretches.Finish();
  }
  cutting.pieces().swap(next);
  return absl::OkStatus();
}

absl::Status Apply(const WordRunsStep& /*step*/, Cutting& cutting, CpuBudget& /*budget*/) {
  enum class Kind { kSpace, kWord, kOther };
  std::vector<TextPiece> next;
  for (const TextPiece piece : cutting.pieces()) {
    Kind previous = Kind::kSpace;
    ForEachCharacter(cutting.text().substr(piece.begin, piece.end - piece.begin),
                     [&](char32_t character, size_t at, size_t size) {
                       const Kind kind = IsWordCharacter(character) ? Kind::kWord
                                         : IsWhiteSpace(character)  ? Kind::kSpace
                                                                    : Kind::kOther;
                       if (kind != Kind::kSpace && kind != previous) next.push_back({piece.begin + at, 0});
                       if (kind != Kind::kSpace) next.back().end = piece.begin + at + size;
                       previous = kind;
                     });
  }
  cutting.pieces().swap(next);
  return absl::OkStatus();
}

// Rewrites the text: `write(piece, editor)` appends what a piece becomes.
template <typename Write>
absl::Status Rewrite(Cutting& cutting, const Write& write) {
  AlignedText::Editor editor(cutting.aligned());
  for (TextPiece& piece : cutting.pieces()) {
    const size_t begin = editor.size();
    write(piece, editor);
    piece = {begin, editor.size()};
  }
  cutting.Forget();
  return editor.Finish();
}

absl::Status Apply(const MetaspaceStep& step, Cutting& cutting, CpuBudget& /*budget*/) {
  const absl::string_view text = cutting.text();
  std::vector<TextPiece> words;
  VN_RETURN_IF_ERROR(Rewrite(cutting, [&](TextPiece piece, AlignedText::Editor& editor) {
    const absl::string_view part = text.substr(piece.begin, piece.end - piece.begin);
    const bool begins_so = absl::StartsWith(part, " ") || absl::StartsWith(part, step.replacement);
    const bool prepends =
        step.scheme == PrependScheme::kAlways ||
        (step.scheme == PrependScheme::kFirst && cutting.aligned().Origin(piece.begin) == 0);
    if (!begins_so && prepends) editor.Insert(step.replacement, piece.begin);
    for (size_t at = piece.begin; at < piece.end;) {
      const size_t space = std::min(text.find(' ', at), piece.end);
      editor.Keep(at, space);
      if (space < piece.end) editor.Insert(step.replacement, space);
      at = space + 1;
    }
  }));
  if (!step.split) return absl::OkStatus();
  for (const TextPiece piece : cutting.pieces()) {
    Stretches stretches(SplitBehavior::kMergedWithNext, /*invert=*/false, piece, &words);
    const absl::string_view part = cutting.text().substr(piece.begin, piece.end - piece.begin);
    for (size_t at = 0; (at = part.find(step.replacement, at)) != absl::string_view::npos;) {
      stretches.Match(at, at + step.replacement.size());
      at += step.replacement.size();
    }
    stretches.Finish();
  }
  cutting.pieces().swap(words);
  return absl::OkStatus();
}

absl::Status Apply(const ByteLevelStep& step, Cutting& cutting, CpuBudget& budget) {
  const absl::string_view text = cutting.text();
  if (step.prefix_space && std::any_of(cutting.pieces().begin(), cutting.pieces().end(),
                                       [&](const TextPiece& p) { return text[p.begin] != ' '; })) {
    VN_RETURN_IF_ERROR(Rewrite(cutting, [&](TextPiece piece, AlignedText::Editor& editor) {
      if (text[piece.begin] != ' ') editor.Insert(" ", piece.begin);
      editor.Keep(piece.begin, piece.end);
    }));
  }
  if (step.pattern) {
    VN_RETURN_IF_ERROR(
        SplitByPattern(*step.pattern, SplitBehavior::kIsolated, /*invert=*/false, cutting, budget));
  }
  if (!step.writes_symbols) return absl::OkStatus();
  return Rewrite(cutting, [&](TextPiece piece, AlignedText::Editor& editor) {
    AppendByteSymbols(cutting.text(), piece.begin, piece.end, editor);
  });
}

}  // namespace

// Source: OpenAI's GPT-2 encoder.py.
const absl::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Rust's tables are at Unicode 17: two runs more than Oniguruma's.
const absl::string_view kNumericPattern = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])";

bool PreTokenizer::gives_bytes() const {
  if (steps_.empty()) return false;
  const auto* last = std::get_if<ByteLevelStep>(&steps_.back());
  return last != nullptr && !last->writes_symbols;
}

absl::Status PreTokenizer::Split(AlignedText& text, CpuBudget& budget, std::vector<TextPiece>* words) const {
  words->clear();
  if (text.text().empty()) return absl::OkStatus();
  Cutting cutting(text);
  for (const PreTokenizerStep& step : steps_) {
    VN_RETURN_IF_ERROR(std::visit([&](const auto& one) { return Apply(one, cutting, budget); }, step));
  }
  words->swap(cutting.pieces());
  return absl::OkStatus();
}

}  // namespace vernier::data
