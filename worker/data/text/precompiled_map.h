// SentencePiece's compiled normalisation rules ("precompiled_charsmap"): a trie of character sequences and
// what they become. Format: 4 bytes, the size of the trie; the trie, a Darts-clone double array of 32-bit
// units; the replacements, each ending in a zero byte. Little-endian. Source: sentencepiece's
// src/normalizer.cc; darts-clone's include/darts.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/aligned_text.h"

namespace vernier::data {

// Immutable, thread-safe.
class PrecompiledMap {
 public:
  // InvalidArgument: sizes that do not fit, replacements that are not UTF-8, or above 64 MiB.
  static absl::StatusOr<PrecompiledMap> Parse(absl::string_view bytes);
  // Applies the rules as the `tokenizers` library does: to each grapheme (below 6 bytes) as a whole, else to
  // each of its characters.
  absl::Status Apply(AlignedText& text) const;

 private:
  // What the shortest sequence at the front of `text` becomes. None: no sequence stands there.
  std::optional<absl::string_view> Find(absl::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace vernier::data
