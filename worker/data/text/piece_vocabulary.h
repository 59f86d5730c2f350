// A SentencePiece vocabulary written as tokenizer.json, whether it came from a tokenizer.model or from a GGUF
// file. Source: sentencepiece's src/{normalizer,bpe_model,unigram_model}.cc for what it does to text; the
// conversion that `transformers` ships for how the `tokenizers` library says that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// As both files number them.
enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct VocabularyPiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

// Where a space is put before a text that begins with none.
enum class PiecePrefix {
  kNone,
  kFirst,   // at its beginning
  kAlways,  // and behind every added token, even before a space: the older ("legacy") way
};

struct PieceVocabulary {
  bool is_bpe = true;  // otherwise unigram
  std::vector<VocabularyPiece> pieces;
  std::optional<int64_t> unknown_id;
  std::optional<int64_t> bos_id;  // put before texts
  bool byte_fallback = false;
  std::string charsmap;  // precompiled normalisation rules; "": none
  bool removes_extra_spaces = false;
  PiecePrefix prefix = PiecePrefix::kFirst;
};

// Pieces of type control and unknown become special added tokens, user-defined ones plain added tokens. BPE
// gets its merges from the scores: a pair merges when the vocabulary has the two joined, the highest score
// first. The same vocabulary gives the same bytes. InvalidArgument, starting with `name`: a piece that is not
// UTF-8 or stands there twice, a score that is no number, or an id that is no piece.
absl::StatusOr<std::string> TokenizerJson(const PieceVocabulary& vocabulary, absl::string_view name);

}  // namespace vernier::data
