#include "worker/data/text/unicode_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "common/check.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

// No character below it decomposes in the form or, in the composed ones, joins one before it.
char32_t FirstChanging(UnicodeForm form) {
  switch (form) {
    case UnicodeForm::kNfc:
      return 0x300;
    case UnicodeForm::kNfd:
      return 0xC0;
    default:
      return 0xA0;
  }
}
bool IsCompatible(UnicodeForm form) { return form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd; }
bool IsComposed(UnicodeForm form) { return form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc; }

// Composes of two since Unicode 13, which the library's tables do not know: there it stands for itself.
constexpr char32_t kVowelSignAiOfDivesAkuru = 0x11938;

struct Unit {
  char32_t character;
  int combining_class;
  size_t num_sources;  // characters of the source that it takes up: 0 for the later parts of a decomposition
};

void Decompose(char32_t character, bool compatibly, std::vector<Unit>* units) {
  if (IsNotDecomposed(character, compatibly)) {
    units->push_back({character, CombiningClass(character), 1});
    return;
  }
  utf8proc_int32_t parts[32];  // the longest decomposition has 18 characters
  int boundary = 0;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatibly ? UTF8PROC_COMPAT : 0));
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(character), parts, 32, options, &boundary);
  VN_CHECK(count > 0 && count <= 32);
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    const auto part = static_cast<char32_t>(parts[i]);
    units->push_back({part, CombiningClass(part), i == 0 ? size_t{1} : size_t{0}});
  }
}

// Marks between starters in the order of their classes.
void Reorder(std::vector<Unit>* units) {
  for (auto begin = units->begin(); begin != units->end();) {
    if (begin->combining_class == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, units->end(), [](const Unit& u) { return u.combining_class == 0; });
    std::stable_sort(begin, end,
                     [](const Unit& a, const Unit& b) { return a.combining_class < b.combining_class; });
    begin = end;
  }
}

// The composition of the pair, or 0.
char32_t ComposePair(char32_t first, char32_t second) {
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return 0;
  const auto composed = static_cast<char32_t>(pair[0]);
  return composed == kVowelSignAiOfDivesAkuru ? 0 : composed;
}

void Compose(std::vector<Unit>* units) {
  size_t kept = 0;
  size_t starter = 0;
  bool has_starter = false;
  int last_class = 0;  // of the unit kept last after the starter; 0: the starter itself is the last one
  for (size_t i = 0; i < units->size(); ++i) {
    const Unit unit = (*units)[i];
    if (has_starter && (last_class == 0 || last_class < unit.combining_class)) {
      Unit& base = (*units)[starter];
      if (const char32_t composed = ComposePair(base.character, unit.character)) {
        base.character = composed;
        base.num_sources += unit.num_sources;
        continue;
      }
    }
    if (unit.combining_class == 0) {
      starter = kept;
      has_starter = true;
    }
    last_class = unit.combining_class;
    (*units)[kept++] = unit;
  }
  units->resize(kept);
}

// Appends the form of text[begin, end), which joins nothing outside.
void AppendChunk(UnicodeForm form, absl::string_view text, size_t begin, size_t end, std::vector<Unit>* units,
                 AlignedText::Editor& editor) {
  std::vector<size_t> places;  // where each character of the source begins
  units->clear();
  ForEachCharacter(text.substr(begin, end - begin), [&](char32_t character, size_t at, size_t) {
    places.push_back(begin + at);
    Decompose(character, IsCompatible(form), units);
  });
  Reorder(units);
  if (IsComposed(form)) Compose(units);
  size_t next = 0;  // character of the source
  for (const Unit& unit : *units) {
    // A unit that takes up none belongs to the character before it.
    const size_t source = unit.num_sources == 0 && next > 0 ? next - 1 : next;
    next += unit.num_sources;
    const size_t from = places[std::min(source, places.size() - 1)];
    size_t size = 0;
    if (unit.num_sources == 1 && DecodeCharacter(text, from, &size) == unit.character) {
      editor.Keep(from, from + size);
    } else {
      editor.Insert(unit.character, from);
    }
  }
}

}  // namespace

bool MayChangeUnder(UnicodeForm form, absl::string_view text) {
  // The leads of U+0300, U+00C0 and U+00A0.
  const unsigned char lead = form == UnicodeForm::kNfc ? 0xCC : form == UnicodeForm::kNfd ? 0xC3 : 0xC2;
  return std::any_of(text.begin(), text.end(), [=](char c) { return static_cast<unsigned char>(c) >= lead; });
}

absl::Status ApplyForm(UnicodeForm form, AlignedText& aligned) {
  const absl::string_view text = aligned.text();
  if (!MayChangeUnder(form, text)) return absl::OkStatus();
  const char32_t first_changing = FirstChanging(form);
  AlignedText::Editor editor(aligned);
  std::vector<Unit> units;
  // What may change is a run of characters from `first_changing` on, with the one before it.
  size_t done = 0;
  size_t last_fixed = 0;
  bool changing = false;
  const auto flush = [&](size_t end) {
    if (changing) {
      AppendChunk(form, text, done, end, &units, editor);
    } else {
      editor.Keep(done, end);
    }
    done = end;
  };
  ForEachCharacter(text, [&](char32_t character, size_t at, size_t) {
    if (character < first_changing) {
      if (changing) flush(at);
      changing = false;
      last_fixed = at;
    } else if (!changing) {
      flush(last_fixed);
      changing = true;
    }
  });
  flush(text.size());
  return editor.Finish();
}

}  // namespace vernier::data
