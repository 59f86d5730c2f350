#include "worker/data/text/normalizer.h"

#include <algorithm>

#include "absl/functional/function_ref.h"
#include "common/status_macros.h"
#include "worker/data/text/byte_level.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

constexpr char32_t kCapitalIWithDot = 0x130;
constexpr char32_t kDotAbove = 0x307;

// Whether any character of `text` is one that `what` holds for.
template <typename What>
bool AnyCharacter(absl::string_view text, const What& what) {
  for (size_t at = 0; at < text.size();) {
    size_t size = 0;
    if (what(DecodeCharacter(text, at, &size))) return true;
    at += size;
  }
  return false;
}

template <typename Removes>
absl::Status RemoveCharacters(const Removes& removes, AlignedText& text) {
  if (!AnyCharacter(text.text(), removes)) return absl::OkStatus();
  AlignedText::Editor editor(text);
  ForEachCharacter(text.text(), [&](char32_t character, size_t at, size_t size) {
    if (!removes(character)) editor.Keep(at, at + size);
  });
  return editor.Finish();
}

// `map` gives another character for some.
template <typename Map>
absl::Status MapCharacters(const Map& map, AlignedText& text) {
  if (!AnyCharacter(text.text(), [&](char32_t c) { return map(c) != c; })) return absl::OkStatus();
  AlignedText::Editor editor(text);
  ForEachCharacter(text.text(), [&](char32_t character, size_t at, size_t size) {
    const char32_t other = map(character);
    if (other == character) {
      editor.Keep(at, at + size);
    } else {
      editor.Insert(other, at);
      if (character == kCapitalIWithDot && other == U'i') editor.Insert(kDotAbove, at);
    }
  });
  return editor.Finish();
}

absl::Status Apply(UnicodeForm form, AlignedText& text, CpuBudget& /*budget*/) {
  return ApplyForm(form, text);
}

absl::Status Apply(const LowercaseStep& /*step*/, AlignedText& text, CpuBudget& /*budget*/) {
  return MapCharacters(ToLower, text);
}

absl::Status Apply(const StripAccentsStep& /*step*/, AlignedText& text, CpuBudget& /*budget*/) {
  return RemoveCharacters(IsMark, text);
}

absl::Status Apply(const NmtStep& /*step*/, AlignedText& text, CpuBudget& /*budget*/) {
  VN_RETURN_IF_ERROR(RemoveCharacters(
      [](char32_t c) {
        return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
               c == 0x9F;
      },
      text));
  return MapCharacters(
      [](char32_t c) {
        const bool is_space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                              (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                              c == 0xFEFF || c == 0xFFFD;
        return is_space ? U' ' : c;
      },
      text);
}

absl::Status Apply(const ByteSymbolsStep& /*step*/, AlignedText& text, CpuBudget& /*budget*/) {
  if (text.text().empty()) return absl::OkStatus();
  AlignedText::Editor editor(text);
  AppendByteSymbols(text.text(), 0, text.text().size(), editor);
  return editor.Finish();
}

absl::Status Apply(const StripStep& step, AlignedText& aligned, CpuBudget& /*budget*/) {
  const absl::string_view text = aligned.text();
  size_t begin = 0;
  size_t end = text.size();
  size_t size = 0;
  while (step.left && begin < end && IsWhiteSpace(DecodeCharacter(text, begin, &size))) begin += size;
  while (step.right && end > begin) {
    const size_t last = CharacterBefore(text, end);
    if (!IsWhiteSpace(DecodeCharacter(text, last, &size))) break;
    end = last;
  }
  if (begin == 0 && end == text.size()) return absl::OkStatus();
  AlignedText::Editor editor(aligned);
  editor.Keep(begin, end);
  return editor.Finish();
}

absl::Status Apply(const PrependStep& step, AlignedText& text, CpuBudget& /*budget*/) {
  if (text.text().empty() || step.text.empty()) return absl::OkStatus();
  AlignedText::Editor editor(text);
  editor.Insert(step.text, 0);
  editor.Keep(0, text.text().size());
  return editor.Finish();
}

absl::Status Apply(const ReplaceStep& step, AlignedText& aligned, CpuBudget& budget) {
  const absl::string_view text = aligned.text();
  std::string stand_ins;
  const absl::string_view subject = step.pattern.is_regex() ? WithStandIns(text, &stand_ins) : text;
  AlignedText::Editor editor(aligned);
  size_t done = 0;
  bool found = false;
  VN_RETURN_IF_ERROR(step.pattern.FindAll(subject, budget, [&](size_t begin, size_t end) {
    found = true;
    editor.Keep(done, begin);
    // It comes from the last character replaced, or the one before when none is.
    editor.Insert(step.content, end == 0 ? 0 : CharacterBefore(text, end));
    done = end;
  }));
  if (!found) return absl::OkStatus();
  editor.Keep(done, text.size());
  return editor.Finish();
}

absl::Status Apply(const PrecompiledStep& step, AlignedText& text, CpuBudget& /*budget*/) {
  return step.map->Apply(text);
}

// The blocks of ideographs as BERT's own tokenizer lists them.
bool IsChinese(char32_t c) {
  return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

absl::Status SpaceOutChinese(AlignedText& text) {
  if (!AnyCharacter(text.text(), IsChinese)) return absl::OkStatus();
  AlignedText::Editor editor(text);
  ForEachCharacter(text.text(), [&](char32_t character, size_t at, size_t size) {
    const bool chinese = IsChinese(character);
    if (chinese) editor.Insert(" ", at);
    editor.Keep(at, at + size);
    if (chinese) editor.Insert(" ", at);
  });
  return editor.Finish();
}

absl::Status Apply(const BertStep& step, AlignedText& text, CpuBudget& /*budget*/) {
  if (step.clean_text) {
    VN_RETURN_IF_ERROR(RemoveCharacters(IsRemovedControl, text));
    VN_RETURN_IF_ERROR(MapCharacters([](char32_t c) { return IsWhiteSpace(c) ? U' ' : c; }, text));
  }
  if (step.handle_chinese_chars) VN_RETURN_IF_ERROR(SpaceOutChinese(text));
  if (step.strip_accents) {
    VN_RETURN_IF_ERROR(ApplyForm(UnicodeForm::kNfd, text));
    VN_RETURN_IF_ERROR(RemoveCharacters(IsNonspacingMark, text));
  }
  return step.lowercase ? MapCharacters(ToLower, text) : absl::OkStatus();
}

}  // namespace

void AppendByteSymbols(absl::string_view text, size_t begin, size_t end, AlignedText::Editor& editor) {
  for (size_t at = begin; at < end; ++at) editor.Insert(SymbolsOfBytes(text.substr(at, 1)), at);
}

absl::Status Normalizer::Apply(AlignedText& text, CpuBudget& budget) const {
  for (const NormalizerStep& step : steps_) {
    VN_RETURN_IF_ERROR(std::visit([&](const auto& one) { return data::Apply(one, text, budget); }, step));
  }
  return absl::OkStatus();
}

}  // namespace vernier::data
