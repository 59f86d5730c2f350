// Unicode normalisation form C that remembers where each byte came from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::data {

struct NormalizedText {
  std::string text;
  // Of each byte of `text`, where it begins in the source: the byte itself where nothing changed, else the
  // first of the characters that were composed or decomposed. Rising.
  std::vector<uint32_t> origin;
};

// False: `text` is its own form C for sure, as all text below U+0300 is.
bool MayChangeUnderNfc(absl::string_view text);
// As the `tokenizers` library does it. `text` is valid UTF-8, below 4 GiB.
NormalizedText Nfc(absl::string_view text);

}  // namespace vernier::data
