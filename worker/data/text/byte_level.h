// The alphabet in which byte-level vocabularies are written: one printable character for each byte.
// Source: OpenAI's GPT-2 encoder.py, bytes_to_unicode.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace vernier::data {

// "Ġthe" -> " the". None: a character outside the alphabet. `token` is valid UTF-8.
std::optional<std::string> BytesOfSymbols(absl::string_view token);
// " the" -> "Ġthe".
std::string SymbolsOfBytes(absl::string_view bytes);

}  // namespace vernier::data
