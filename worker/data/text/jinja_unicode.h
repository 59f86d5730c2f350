// What Python's str knows about characters: code points, white space, case. Texts are valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/data/text/utf8.h"

namespace vernier::data::jinja {

// The characters of `text`, each as the bytes it has.
std::vector<absl::string_view> Characters(absl::string_view text);
int64_t CountCharacters(absl::string_view text);
// The byte at which character `index` starts; the size of the text for the character after the last.
size_t OffsetOf(absl::string_view text, int64_t index);

// Where `what` is in `text`, or npos; in time linear in both.
size_t FindText(absl::string_view text, absl::string_view what);

// str.isspace() of one character.
bool IsSpace(char32_t character);
// A character of `chars`; empty means white space.
absl::string_view StripLeft(absl::string_view text, absl::string_view chars = {});
absl::string_view StripRight(absl::string_view text, absl::string_view chars = {});
absl::string_view Strip(absl::string_view text, absl::string_view chars = {});

std::string Upper(absl::string_view text);
std::string Lower(absl::string_view text);
// The first character in title case, the others lower.
std::string Capitalize(absl::string_view text);
// str.title(): every run of cased characters capitalised.
std::string Title(absl::string_view text);

bool IsCased(char32_t character);
bool IsUpper(char32_t character);
bool IsLower(char32_t character);
bool IsAlpha(char32_t character);
bool IsDecimal(char32_t character);
// Characters that repr() leaves as they are.
bool IsPrintable(char32_t character);

}  // namespace vernier::data::jinja
