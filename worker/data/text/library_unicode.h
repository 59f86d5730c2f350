// Characters as the `tokenizers` library sees them (Unicode 16 and its own habits), on top of the
// distribution's PCRE2 and utf8proc, which know fewer.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace vernier::data {

// The Unicode property White_Space.
bool IsWhiteSpace(char32_t character);
// A word character (UTS #18): letters, marks, decimal digits, connectors and what else is Alphabetic.
bool IsWordCharacter(char32_t character);
// What the Punctuation and BertPreTokenizer steps cut off: punctuation and ASCII's symbols.
bool IsPunctuation(char32_t character);
// What BertNormalizer's clean_text removes: controls (not tab and line ends), U+0000 and U+FFFD.
bool IsRemovedControl(char32_t character);
// What StripAccents removes.
bool IsMark(char32_t character);
// What BertNormalizer's strip_accents removes, once the text is decomposed.
bool IsNonspacingMark(char32_t character);
// Lower case as one character; U+0130, whose lower case is two, gives the first.
char32_t ToLower(char32_t character);
// Whether only newer Unicode decomposes the character: canonically, or for compatibility.
bool IsNotDecomposed(char32_t character, bool compatibly);
// Combining class for normalisation; 0 for marks that the library does not reorder.
int CombiningClass(char32_t character);

// A character of the same kind and the same UTF-8 size that PCRE2 knows: `character` itself but for few.
char32_t StandIn(char32_t character);
// `text` with every character replaced by its stand-in; `*buffer` holds the result when one differs. All byte
// offsets stay.
absl::string_view WithStandIns(absl::string_view text, std::string* buffer);

}  // namespace vernier::data
