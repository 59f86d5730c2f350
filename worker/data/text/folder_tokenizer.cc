#include "worker/data/text/folder_tokenizer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/sentencepiece_model.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

// No space at its ends and none doubled: conversions differ there by intent.
constexpr absl::string_view kProbe =
    "The quick brown fox's 12 friends said: caf\xC3\xA9, \xE6\x97\xA5\xE6\x9C\xAC, def f(x)!";

absl::Status Disagree(absl::string_view how) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json and tokenizer.model disagree: ", how,
                                                 "; delete the file that is not this model's"));
}

// Every piece has its id in both, and both cut the probe alike. Added tokens may be in one only.
absl::Status CheckAlike(const Tokenizer& tokenizer, const storage::TokenizerFiles& files) {
  VN_ASSIGN_OR_RETURN(const PieceVocabulary model,
                      ParseSentencePieceModel(files.tokenizer_model, "tokenizer.model"));
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const VocabularyPiece& piece = model.pieces[id];
    if (piece.type != PieceType::kNormal) continue;
    const std::optional<int32_t> other = tokenizer.TokenId(piece.text);
    if (other == static_cast<int32_t>(id)) continue;
    return Disagree(absl::StrCat("\"", Excerpt(piece.text, 40), "\" is token ", id,
                                 " of tokenizer.model and ", other ? absl::StrCat("token ", *other) : "none",
                                 " of tokenizer.json"));
  }
  VN_ASSIGN_OR_RETURN(const std::string converted,
                      TokenizerJsonFromSentencePiece(files.tokenizer_model, files.tokenizer_config_json));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> other, Tokenizer::Create(converted, ""));
  VN_ASSIGN_OR_RETURN(const TokenizedText ours, tokenizer.Encode(kProbe));
  VN_ASSIGN_OR_RETURN(const TokenizedText theirs, other->Encode(kProbe));
  if (ours.ids == theirs.ids) return absl::OkStatus();
  return Disagree(absl::StrCat("they cut \"", kProbe, "\" into ", ours.ids.size(), " and ", theirs.ids.size(),
                               " tokens, not the same"));
}

}  // namespace

absl::StatusOr<std::string> TokenizerJsonFromFolder(const storage::TokenizerFiles& files) {
  std::string text = files.tokenizer_json;
  const bool is_converted = text.empty();
  if (is_converted) {
    VN_ASSIGN_OR_RETURN(text,
                        TokenizerJsonFromSentencePiece(files.tokenizer_model, files.tokenizer_config_json));
  }
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                      Tokenizer::Create(text, files.tokenizer_config_json));
  if (tokenizer->vocab_size() > files.embedding_rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        is_converted ? "tokenizer.model" : "tokenizer.json", ": has a token with id ",
        tokenizer->vocab_size() - 1, ", but the embedding only has ", files.embedding_rows,
        " rows; the tokenizer is another model's, or tokens were added without growing the model"));
  }
  if (!is_converted && !files.tokenizer_model.empty()) VN_RETURN_IF_ERROR(CheckAlike(*tokenizer, files));
  return text;
}

}  // namespace vernier::data
