#include "worker/data/text/library_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

// Every character of [first, last] stands behind one of the same general category, size and (Han, kana,
// Hangul) script.
struct StandInRun {
  char32_t first, last, stand_in;
};
struct CodePointRange {
  char32_t first, last;
};
// Lower case is the character plus `distance`.
struct LowerRun {
  char32_t first, last;
  int32_t distance;
};

#include "worker/data/text/library_tables.inc"

// The range of `table` that holds `character`, or null.
template <typename Range, size_t kSize>
const Range* FindRange(const Range (&table)[kSize], char32_t character) {
  const Range* range = std::upper_bound(std::begin(table), std::end(table), character,
                                        [](char32_t c, const Range& r) { return c < r.first; });
  if (range == std::begin(table) || character > (--range)->last) return nullptr;
  return range;
}

// Whether the library counts `character` in, when ours does or does not and `differs` are the exceptions.
template <size_t kSize>
bool Corrected(bool ours, const CodePointRange (&differs)[kSize], char32_t character) {
  return ours != (FindRange(differs, character) != nullptr);
}

utf8proc_category_t Category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

}  // namespace

bool IsWhiteSpace(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsWordCharacter(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(StandIn(c)))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      // Joiners, and the circled and squared letters, which are symbols yet Alphabetic.
      return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  }
}

bool IsPunctuation(char32_t c) {
  const utf8proc_category_t category = Category(c);
  return Corrected(category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO, kPunctuationDiffers,
                   c);
}

bool IsRemovedControl(char32_t c) {
  const utf8proc_category_t category = Category(c);
  return Corrected(category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                       category == UTF8PROC_CATEGORY_CO,
                   kControlDiffers, c);
}

bool IsMark(char32_t c) {
  const utf8proc_category_t category = Category(c);
  return Corrected(category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME, kMarkDiffers, c);
}

bool IsNonspacingMark(char32_t c) {
  return Corrected(Category(c) == UTF8PROC_CATEGORY_MN, kNonspacingDiffers, c);
}

char32_t ToLower(char32_t c) {
  if (const LowerRun* run = FindRange(kLowerDiffers, c)) {
    return static_cast<char32_t>(static_cast<int32_t>(c) + run->distance);
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

bool IsNotDecomposed(char32_t c, bool compatibly) {
  return (compatibly ? FindRange(kNotDecomposedCompatibly, c) : FindRange(kNotDecomposed, c)) != nullptr;
}

int CombiningClass(char32_t c) {
  const int combining_class = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  return combining_class != 0 && FindRange(kMarksNotReordered, c) != nullptr ? 0 : combining_class;
}

char32_t StandIn(char32_t c) {
  if (c < kStandIns[0].first) return c;
  const StandInRun* run = FindRange(kStandIns, c);
  return run == nullptr ? c : run->stand_in;
}

absl::string_view WithStandIns(absl::string_view text, std::string* buffer) {
  bool copied = false;
  for (size_t at = 0; at < text.size();) {
    // Characters of one or two bytes stand for themselves.
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0xE0) {
      at += lead < 0x80 ? 1 : 2;
      continue;
    }
    size_t size = 0;
    const char32_t character = DecodeCharacter(text, at, &size);
    const char32_t stand_in = StandIn(character);
    if (stand_in != character) {
      if (!copied) buffer->assign(text.data(), text.size());
      copied = true;
      std::string bytes;
      AppendCharacter(stand_in, &bytes);
      buffer->replace(at, size, bytes);
    }
    at += size;
  }
  return copied ? absl::string_view(*buffer) : text;
}

}  // namespace vernier::data
