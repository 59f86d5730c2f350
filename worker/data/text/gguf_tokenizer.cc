#include "worker/data/text/gguf_tokenizer.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/gguf_splits.h"
#include "worker/data/text/piece_vocabulary.h"
#include "worker/data/text/tokenizer_json_writer.h"

namespace vernier::data {
namespace {

using Json = OrderedJson;

// The character that begins words in SentencePiece's and WordPiece's vocabularies.
constexpr absl::string_view kWordStart = "\xE2\x96\x81";

absl::Status Wrong(const storage::Gguf& gguf, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(gguf.name(), ": ", what));
}

// Tokens and their types, checked: UTF-8, distinct, a type for each (normal when the file has none).
struct Tokens {
  absl::Span<const absl::string_view> texts;
  std::vector<PieceType> types;

  bool Contains(int64_t id) const { return id >= 0 && static_cast<size_t>(id) < texts.size(); }
};

absl::StatusOr<Tokens> ReadTokens(const storage::Gguf& gguf) {
  Tokens tokens;
  VN_ASSIGN_OR_RETURN(tokens.texts, gguf.GetStrings("tokenizer.ggml.tokens"));
  absl::flat_hash_map<absl::string_view, size_t> seen;
  seen.reserve(tokens.texts.size());
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    if (FirstInvalidUtf8(tokens.texts[id]) != absl::string_view::npos) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.tokens: token ", id, " is not UTF-8"));
    }
    if (const auto [first, is_new] = seen.emplace(tokens.texts[id], id); !is_new) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.tokens: \"", Excerpt(tokens.texts[id], 40),
                                      "\" is both token ", first->second, " and token ", id));
    }
  }
  tokens.types.assign(tokens.texts.size(), PieceType::kNormal);
  if (!gguf.Has("tokenizer.ggml.token_type")) return tokens;
  VN_ASSIGN_OR_RETURN(const auto types, gguf.GetInts("tokenizer.ggml.token_type"));
  if (types.size() != tokens.texts.size()) {
    return Wrong(gguf, absl::StrCat("tokenizer.ggml.token_type has ", types.size(), " entries for ",
                                    tokens.texts.size(), " tokens"));
  }
  for (size_t id = 0; id < types.size(); ++id) {
    // Files also have 0 (undefined).
    if (types[id] >= 1 && types[id] <= 6) tokens.types[id] = static_cast<PieceType>(types[id]);
  }
  return tokens;
}

absl::StatusOr<bool> FlagOr(const storage::Gguf& gguf, absl::string_view key, bool fallback) {
  if (!gguf.Has(key)) return fallback;
  return gguf.GetBool(key);
}

// The id of the token that stands before texts, if one does.
absl::StatusOr<std::optional<int64_t>> FindBos(const storage::Gguf& gguf, const Tokens& tokens,
                                               bool by_default) {
  VN_ASSIGN_OR_RETURN(const bool adds_bos, FlagOr(gguf, "tokenizer.ggml.add_bos_token", by_default));
  if (!adds_bos) return std::nullopt;
  VN_ASSIGN_OR_RETURN(const int64_t id, gguf.GetInt("tokenizer.ggml.bos_token_id"));
  if (!tokens.Contains(id)) {
    return Wrong(gguf, absl::StrCat("tokenizer.ggml.bos_token_id ", id, " is no token; there are ",
                                    tokens.texts.size()));
  }
  return id;
}

Json AddedTokensJson(const Tokens& tokens) {
  Json added = Json::array();
  for (size_t id = 0; id < tokens.types.size(); ++id) {
    const bool special = tokens.types[id] == PieceType::kControl || tokens.types[id] == PieceType::kUnknown;
    if (!special && tokens.types[id] != PieceType::kUserDefined) continue;
    added.push_back(AddedTokenEntry(static_cast<int64_t>(id), tokens.texts[id], special));
  }
  return added;
}

Json BosJson(const Tokens& tokens, std::optional<int64_t> bos) {
  if (!bos) return nullptr;
  return BosTemplateJson(std::string(tokens.texts[static_cast<size_t>(*bos)]), *bos);
}

// The parts of the file before the model.
std::string Head(const Json& added, const Json& normalizer, const Json& pre_tokenizer,
                 const Json& post_processor, const Json& decoder) {
  return absl::StrCat(
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":", added.dump(),
      ",\"normalizer\":", normalizer.dump(), ",\"pre_tokenizer\":", pre_tokenizer.dump(),
      ",\"post_processor\":", post_processor.dump(), ",\"decoder\":", decoder.dump(), ",\"model\":");
}

absl::StatusOr<const GgufSplit*> FindSplit(const storage::Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const absl::string_view pre, gguf.GetString("tokenizer.ggml.pre"));
  for (const GgufSplit& split : GgufSplits()) {
    if (split.name == pre) return &split;
  }
  return Wrong(gguf,
               absl::StrCat("tokenizer.ggml.pre \"", Excerpt(pre, 40), "\" is not supported; supported: ",
                            absl::StrJoin(GgufSplits(), ", ", [](std::string* out, const GgufSplit& split) {
                              absl::StrAppend(out, split.name);
                            })));
}

absl::StatusOr<std::string> FromGpt2(const storage::Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const GgufSplit* split, FindSplit(gguf));
  VN_ASSIGN_OR_RETURN(const Tokens tokens, ReadTokens(gguf));
  VN_ASSIGN_OR_RETURN(const auto merges, gguf.GetStrings("tokenizer.ggml.merges"));
  for (size_t i = 0; i < merges.size(); ++i) {
    if (FirstInvalidUtf8(merges[i]) != absl::string_view::npos) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.merges: merge ", i, " is not UTF-8"));
    }
  }
  VN_ASSIGN_OR_RETURN(const std::optional<int64_t> bos, FindBos(gguf, tokens, split->adds_bos));
  VN_ASSIGN_OR_RETURN(const bool nfc, FlagOr(gguf, "tokenizer.ggml.normalizer.nfc", split->nfc));
  const Json normalizer = nfc ? Json{{"type", "NFC"}} : Json(nullptr);
  // The two long lists are written straight: as a tree they would take many times their size.
  std::string text = Head(AddedTokensJson(tokens), normalizer, SplitJson(*split), BosJson(tokens, bos),
                          ByteLevelJson(/*use_regex=*/true));
  absl::StrAppend(&text,
                  "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
                  "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":",
                  split->ignore_merges ? "true" : "false", ",\"vocab\":{");
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    absl::StrAppend(&text, id == 0 ? "" : ",", JsonString(tokens.texts[id]), ":", id);
  }
  absl::StrAppend(&text, "},\"merges\":[");
  for (size_t i = 0; i < merges.size(); ++i) absl::StrAppend(&text, i == 0 ? "" : ",", JsonString(merges[i]));
  absl::StrAppend(&text, "]}}\n");
  return text;
}

absl::StatusOr<std::optional<int64_t>> FindUnknown(const storage::Gguf& gguf, const Tokens& tokens) {
  constexpr absl::string_view kKey = "tokenizer.ggml.unknown_token_id";
  if (gguf.Has(kKey)) {
    VN_ASSIGN_OR_RETURN(const int64_t id, gguf.GetInt(kKey));
    if (!tokens.Contains(id)) return Wrong(gguf, absl::StrCat(kKey, " ", id, " is no token"));
    return id;
  }
  for (size_t id = 0; id < tokens.types.size(); ++id) {
    if (tokens.types[id] == PieceType::kUnknown || tokens.texts[id] == "[UNK]")
      return static_cast<int64_t>(id);
  }
  return std::nullopt;
}

// llama and t5.
absl::StatusOr<std::string> FromSentencePiece(const storage::Gguf& gguf, bool is_bpe) {
  VN_ASSIGN_OR_RETURN(const Tokens tokens, ReadTokens(gguf));
  VN_ASSIGN_OR_RETURN(const auto scores, gguf.GetDoubles("tokenizer.ggml.scores"));
  if (scores.size() != tokens.texts.size()) {
    return Wrong(gguf, absl::StrCat("tokenizer.ggml.scores has ", scores.size(), " entries for ",
                                    tokens.texts.size(), " tokens"));
  }
  PieceVocabulary vocabulary;
  vocabulary.is_bpe = is_bpe;
  for (size_t id = 0; id < scores.size(); ++id) {
    vocabulary.pieces.push_back(
        {std::string(tokens.texts[id]), static_cast<float>(scores[id]), tokens.types[id]});
    vocabulary.byte_fallback = vocabulary.byte_fallback || tokens.types[id] == PieceType::kByte;
  }
  VN_ASSIGN_OR_RETURN(vocabulary.unknown_id, FindUnknown(gguf, tokens));
  VN_ASSIGN_OR_RETURN(vocabulary.bos_id, FindBos(gguf, tokens, /*by_default=*/is_bpe));
  VN_ASSIGN_OR_RETURN(const bool prefix, FlagOr(gguf, "tokenizer.ggml.add_space_prefix", true));
  vocabulary.prefix = prefix ? PiecePrefix::kAlways : PiecePrefix::kNone;
  VN_ASSIGN_OR_RETURN(vocabulary.removes_extra_spaces,
                      FlagOr(gguf, "tokenizer.ggml.remove_extra_whitespaces", false));
  if (gguf.Has("tokenizer.ggml.precompiled_charsmap")) {
    VN_ASSIGN_OR_RETURN(const auto bytes, gguf.GetInts("tokenizer.ggml.precompiled_charsmap"));
    for (const int64_t byte : bytes) vocabulary.charsmap.push_back(static_cast<char>(byte));
  }
  return TokenizerJson(vocabulary, absl::StrCat(gguf.name(), ": tokenizer.ggml.tokens"));
}

// The vocabulary writes words with a mark before them and the rest of words bare; the library does the
// opposite.
std::string WordPieceToken(absl::string_view token, PieceType type) {
  if (absl::ConsumePrefix(&token, kWordStart)) return std::string(token);
  const bool is_special = token.size() > 2 && absl::StartsWith(token, "[") && absl::EndsWith(token, "]");
  if (type != PieceType::kNormal || is_special) return std::string(token);
  return absl::StrCat("##", token);
}

absl::StatusOr<std::string> FromBert(const storage::Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const Tokens tokens, ReadTokens(gguf));
  VN_ASSIGN_OR_RETURN(const std::optional<int64_t> unknown, FindUnknown(gguf, tokens));
  if (!unknown) return Wrong(gguf, "tokenizer.ggml.unknown_token_id is missing, and no token is \"[UNK]\"");
  VN_ASSIGN_OR_RETURN(const std::optional<int64_t> bos,
                      FindBos(gguf, tokens, /*by_default=*/gguf.Has("tokenizer.ggml.bos_token_id")));
  VN_ASSIGN_OR_RETURN(const bool lowercase, FlagOr(gguf, "tokenizer.ggml.normalizer.lowercase", true));
  VN_ASSIGN_OR_RETURN(const bool strips, FlagOr(gguf, "tokenizer.ggml.normalizer.strip_accents", lowercase));
  const Json normalizer = {{"type", "BertNormalizer"},
                           {"clean_text", true},
                           {"handle_chinese_chars", true},
                           {"strip_accents", strips},
                           {"lowercase", lowercase}};
  std::string text = Head(AddedTokensJson(tokens), normalizer, {{"type", "BertPreTokenizer"}},
                          BosJson(tokens, bos), {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}});
  const std::string unknown_text(tokens.texts[static_cast<size_t>(*unknown)]);
  absl::StrAppend(&text, "{\"type\":\"WordPiece\",\"unk_token\":", JsonString(unknown_text),
                  ",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{");
  absl::flat_hash_map<std::string, size_t> seen;
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    const std::string token = WordPieceToken(tokens.texts[id], tokens.types[id]);
    if (const auto [first, is_new] = seen.emplace(token, id); !is_new) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.tokens: \"", Excerpt(token, 40), "\" is both token ",
                                      first->second, " and token ", id));
    }
    absl::StrAppend(&text, id == 0 ? "" : ",", JsonString(token), ":", id);
  }
  absl::StrAppend(&text, "}}}\n");
  return text;
}

}  // namespace

absl::StatusOr<std::string> TokenizerJsonFromGguf(const storage::Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const absl::string_view model, gguf.GetString("tokenizer.ggml.model"));
  if (model == "gpt2") return FromGpt2(gguf);
  if (model == "llama") return FromSentencePiece(gguf, /*is_bpe=*/true);
  if (model == "t5") return FromSentencePiece(gguf, /*is_bpe=*/false);
  if (model == "bert") return FromBert(gguf);
  return Wrong(
      gguf, absl::StrCat("tokenizer.ggml.model \"", Excerpt(model, 40),
                         "\" is not supported; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE), "
                         "t5 (unigram), bert (WordPiece)"));
}

}  // namespace vernier::data
