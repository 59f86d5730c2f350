#include "worker/data/text/tokenizer_spec.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/bounded_json.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/token_ids.h"
#include "worker/data/text/tokenizer_model_spec.h"
#include "worker/data/text/tokenizer_pipeline.h"

namespace vernier::data {
namespace {

using nlohmann::json;

// A vocabulary and its merges as pairs at their limits, and room for the rest.
constexpr int64_t kMaxJsonValues = int64_t{5} * kMaxVocabulary;
constexpr int kMaxJsonDepth = 32;

// The attributes of an added token; its id stands elsewhere.
absl::StatusOr<AddedToken> ReadAddedToken(const JsonAt& at) {
  VN_RETURN_IF_ERROR(at.ExpectObject());
  AddedToken token;
  VN_ASSIGN_OR_RETURN(token.content, at.Member("content").String());
  VN_ASSIGN_OR_RETURN(token.special, at.Member("special").Bool(false));
  VN_ASSIGN_OR_RETURN(token.single_word, at.Member("single_word").Bool(false));
  VN_ASSIGN_OR_RETURN(token.lstrip, at.Member("lstrip").Bool(false));
  VN_ASSIGN_OR_RETURN(token.rstrip, at.Member("rstrip").Bool(false));
  VN_ASSIGN_OR_RETURN(token.normalized, at.Member("normalized").Bool(!token.special));
  return token;
}

absl::Status SetId(int64_t id, const JsonAt& at, AddedToken* token) {
  if (id < 0 || id >= kMaxVocabulary)
    return at.Refuse(absl::StrCat("the id is outside [0, ", kMaxVocabulary, ")"));
  token->id = static_cast<int32_t>(id);
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const JsonAt& list, TokenIds* ids) {
  if (list.IsNull()) return absl::OkStatus();
  VN_RETURN_IF_ERROR(list.ExpectArray());
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonAt at = list.Element(i);
    VN_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(at));
    VN_ASSIGN_OR_RETURN(const int64_t id, at.Member("id").Integer());
    VN_RETURN_IF_ERROR(SetId(id, at, &token));
    VN_RETURN_IF_ERROR(ids->Add(std::move(token), at));
  }
  return absl::OkStatus();
}

// A token of tokenizer_config.json: "text" or {"content": "text", ...}. None: null.
absl::StatusOr<std::optional<std::string>> ReadTokenName(const JsonAt& at) {
  if (at.IsNull()) return std::nullopt;
  const JsonAt text = at.IsObject() ? at.Member("content") : at;
  VN_ASSIGN_OR_RETURN(std::string name, text.String());
  return name;
}

// `transformers` treats every token that the configuration names as special, added or not. Those that the
// vocabulary lacks would get ids that the model has no row for: they stay text.
absl::Status AddNamedTokens(const JsonAt& config, TokenIds* ids) {
  std::vector<JsonAt> named;
  for (const char* const key :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    named.push_back(config.Member(key));
  }
  for (const char* const key : {"additional_special_tokens", "extra_special_tokens"}) {
    const JsonAt more = config.Member(key);
    if (more.IsArray()) {
      for (size_t i = 0; i < more.size(); ++i) named.push_back(more.Element(i));
    } else if (more.IsObject()) {
      for (const auto& [name, value] : more.value().items()) named.push_back(more.Member(name));
    } else if (!more.IsNull()) {
      return more.Refuse("expected a list or an object");
    }
  }
  for (const JsonAt& at : named) {
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> name, ReadTokenName(at));
    if (!name || ids->IsAdded(*name)) continue;
    const std::optional<int32_t> id = ids->Find(*name);
    if (!id) continue;
    AddedToken token;
    token.content = *name;
    token.id = *id;
    token.special = true;
    VN_RETURN_IF_ERROR(ids->Add(std::move(token), at));
  }
  return absl::OkStatus();
}

absl::Status ReadAddedTokensDecoder(const JsonAt& decoder, TokenIds* ids) {
  if (decoder.IsNull()) return absl::OkStatus();
  VN_RETURN_IF_ERROR(decoder.ExpectObject());
  std::map<int64_t, std::string> keys;  // in the order of ids, not of their digits
  for (const auto& [key, value] : decoder.value().items()) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(key, &id))
      return decoder.Refuse(absl::StrCat("the key ", QuotedToken(key), " is no id"));
    keys.emplace(id, key);
  }
  for (const auto& [id, key] : keys) {
    const JsonAt at = decoder.Member(key);
    VN_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(at));
    VN_RETURN_IF_ERROR(SetId(id, at, &token));
    VN_RETURN_IF_ERROR(ids->Add(std::move(token), at));
  }
  return absl::OkStatus();
}

absl::Status ReadConfig(const JsonAt& config, TokenIds* ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(config.ExpectObject());
  VN_RETURN_IF_ERROR(ReadAddedTokensDecoder(config.Member("added_tokens_decoder"), ids));
  VN_RETURN_IF_ERROR(AddNamedTokens(config, ids));
  const auto find = [&](const char* key) -> absl::StatusOr<std::optional<int32_t>> {
    const JsonAt at = config.Member(key);
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> name, ReadTokenName(at));
    if (!name || name->empty()) return std::nullopt;
    const std::optional<int32_t> id = ids->Find(*name);
    if (!id)
      return at.Refuse(absl::StrCat(QuotedToken(*name), " is not in the vocabulary of tokenizer.json"));
    return id;
  };
  VN_ASSIGN_OR_RETURN(spec->eos_id, find("eos_token"));
  // Said here, it overrides the post-processor.
  if (const JsonAt add_bos = config.Member("add_bos_token"); !add_bos.IsNull()) {
    VN_ASSIGN_OR_RETURN(const bool add, add_bos.Bool());
    spec->bos_id.reset();
    if (add) {
      VN_ASSIGN_OR_RETURN(spec->bos_id, find("bos_token"));
      if (!spec->bos_id) return add_bos.Refuse("is true, but there is no bos_token");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ParseLimited(absl::string_view text, absl::string_view name, int64_t max_bytes) {
  storage::JsonLimits limits;
  limits.max_bytes = max_bytes;
  limits.max_depth = kMaxJsonDepth;
  limits.max_values = kMaxJsonValues;
  return storage::ParseJson(text, name, limits);
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerSpec(absl::string_view tokenizer_json,
                                                 absl::string_view tokenizer_config_json) {
  VN_ASSIGN_OR_RETURN(const json file,
                      ParseLimited(tokenizer_json, "tokenizer.json", kMaxTokenizerJsonBytes));
  const JsonAt root(&file, "tokenizer.json");
  VN_RETURN_IF_ERROR(root.ExpectObject());
  if (const JsonAt version = root.Member("version"); !version.IsNull() && version.value() != "1.0") {
    return version.Refuse("only version \"1.0\" is supported");
  }
  TokenizerSpec spec;
  TokenIds ids(&spec);
  VN_RETURN_IF_ERROR(ReadModel(root.Member("model"), &ids, &spec));
  VN_RETURN_IF_ERROR(ReadAddedTokens(root.Member("added_tokens"), &ids));
  VN_ASSIGN_OR_RETURN(spec.normalizer, ReadNormalizer(root.Member("normalizer")));
  // Byte-level BPE merges the bytes themselves; the other models have to see the alphabet.
  const bool reads_bytes = spec.kind == TokenModelKind::kBpe && !spec.byte_fallback;
  VN_ASSIGN_OR_RETURN(spec.pre_tokenizer, ReadPreTokenizer(root.Member("pre_tokenizer"), reads_bytes));
  const JsonAt decoder = root.Member("decoder");
  VN_ASSIGN_OR_RETURN(spec.decoder, ReadDecoder(decoder));
  if (spec.pre_tokenizer.gives_bytes() && !spec.decoder.is_byte_level()) {
    return decoder.Refuse("expected one ByteLevel decoder, as the pre_tokenizer is ByteLevel");
  }
  const JsonAt post_processor = root.Member("post_processor");
  VN_ASSIGN_OR_RETURN(const std::optional<std::string> first, ReadPostProcessor(post_processor));
  if (first) {
    spec.bos_id = ids.Find(*first);
    if (!spec.bos_id)
      return post_processor.Refuse(absl::StrCat(QuotedToken(*first), " is not in the vocabulary"));
  }
  if (!tokenizer_config_json.empty()) {
    VN_ASSIGN_OR_RETURN(const json config, ParseLimited(tokenizer_config_json, "tokenizer_config.json",
                                                        kMaxTokenizerConfigBytes));
    VN_RETURN_IF_ERROR(ReadConfig(JsonAt(&config, "tokenizer_config.json"), &ids, &spec));
  }
  return spec;
}

}  // namespace vernier::data
