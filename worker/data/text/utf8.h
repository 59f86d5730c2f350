// Code points of valid UTF-8.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace vernier::data {

// The character that begins at `at`, and its size in bytes.
inline char32_t DecodeCharacter(absl::string_view text, size_t at, size_t* size) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const char32_t lead = byte(0);
  *size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  switch (*size) {
    case 1:
      return lead;
    case 2:
      return (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
}

inline void AppendCharacter(char32_t character, std::string* text) {
  const auto rest = [&](int shift) {
    text->push_back(static_cast<char>(0x80 | ((character >> shift) & 0x3F)));
  };
  if (character < 0x80) {
    text->push_back(static_cast<char>(character));
  } else if (character < 0x800) {
    text->push_back(static_cast<char>(0xC0 | character >> 6));
    rest(0);
  } else if (character < 0x10000) {
    text->push_back(static_cast<char>(0xE0 | character >> 12));
    rest(6);
    rest(0);
  } else {
    text->push_back(static_cast<char>(0xF0 | character >> 18));
    rest(12);
    rest(6);
    rest(0);
  }
}

// Whether a character begins at `at`, or the text ends there.
inline bool IsCharacterBoundary(absl::string_view text, size_t at) {
  return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

// Where the character that ends at `end` > 0 begins.
inline size_t CharacterBefore(absl::string_view text, size_t end) {
  do --end;
  while (end > 0 && !IsCharacterBoundary(text, end));
  return end;
}

// Calls `visit(character, begin, size)` for each character.
template <typename Visit>
void ForEachCharacter(absl::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    size_t size = 0;
    const char32_t character = DecodeCharacter(text, at, &size);
    visit(character, at, size);
    at += size;
  }
}

}  // namespace vernier::data
