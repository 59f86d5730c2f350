// Text to look for in what a template renders.
#pragma once

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// A string that is nowhere in `text`.
inline std::string AbsentText(absl::string_view text) {
  // Private use characters: no template treats them as anything but text.
  for (const char* candidate : {"\xEE\x84\xA3", "\xEE\x84\xA4", "\xEE\x84\xA5"}) {
    if (!absl::StrContains(text, candidate)) return candidate;
  }
  std::string longer = "\xEE\x84\xA3";
  while (absl::StrContains(text, longer)) longer += "\xEE\x84\xA6";
  return longer;
}

}  // namespace vernier::data
