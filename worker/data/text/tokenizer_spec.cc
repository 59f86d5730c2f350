#include "worker/data/text/tokenizer_spec.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/tokenizer_pipeline.h"

namespace vernier::data {
namespace {

using nlohmann::json;

// A vocabulary and its merges as pairs at their limits, and room for the rest.
constexpr int64_t kMaxJsonValues = int64_t{5} * kMaxVocabulary;
constexpr int kMaxJsonDepth = 32;

std::string Quoted(absl::string_view token) { return absl::StrCat("\"", Excerpt(token, 60), "\""); }

// Collects the vocabulary and the added tokens, and knows who has which id.
class Ids {
 public:
  explicit Ids(TokenizerSpec* spec) : spec_(spec) {}

  absl::Status ReadVocabulary(const JsonAt& vocabulary) {
    VN_RETURN_IF_ERROR(vocabulary.ExpectObject());
    if (vocabulary.size() > static_cast<size_t>(kMaxVocabulary)) {
      return vocabulary.Refuse(
          absl::StrCat("has ", vocabulary.size(), " tokens, more than the limit of ", kMaxVocabulary));
    }
    spec_->vocabulary.reserve(vocabulary.size());
    ids_.reserve(vocabulary.size());
    for (const auto& [token, value] : vocabulary.value().items()) {
      if (token.size() > kMaxTokenBytes) {
        return vocabulary.Refuse(absl::StrCat("token ", Quoted(token), " has ", token.size(),
                                              " bytes, more than the limit of ", kMaxTokenBytes));
      }
      if (!value.is_number_integer() || value < 0 || value >= kMaxVocabulary) {
        return vocabulary.Refuse(
            absl::StrCat("the id of ", Quoted(token), " is no whole number in [0, ", kMaxVocabulary, ")"));
      }
      const int32_t id = value.get<int32_t>();
      if (const auto [taken, is_new] = owners_.try_emplace(id, token); !is_new) {
        return vocabulary.Refuse(
            absl::StrCat(Quoted(taken->second), " and ", Quoted(token), " both have id ", id));
      }
      ids_.emplace(token, id);
      spec_->vocabulary.emplace_back(token, id);
    }
    if (spec_->vocabulary.empty()) return vocabulary.Refuse("is empty");
    return absl::OkStatus();
  }

  std::optional<int32_t> Find(absl::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
  }

  bool IsAdded(absl::string_view token) const { return added_.contains(token); }

  // A token known by its content is changed, another is added. `at` is for messages.
  absl::Status Add(AddedToken token, const JsonAt& at) {
    if (token.content.empty()) return absl::OkStatus();  // matches nothing, as in the library
    if (token.content.size() > kMaxAddedTokenBytes) {
      return at.Refuse(absl::StrCat("added token ", Quoted(token.content), " has ", token.content.size(),
                                    " bytes, more than the limit of ", kMaxAddedTokenBytes));
    }
    // The library gives ids in the order of the file and takes no notice of what the file says; files that
    // disagree would be read differently there and here.
    const std::optional<int32_t> known = Find(token.content);
    const int32_t expected = known ? *known : NextId();
    if (token.id != expected) {
      return at.Refuse(absl::StrCat("added token ", Quoted(token.content), " has id ", token.id, ", but ",
                                    known ? "the vocabulary gives it " : "its place in the list gives it ",
                                    expected));
    }
    if (const auto place = added_.find(token.content); place != added_.end()) {
      spec_->added_tokens[place->second] = std::move(token);
      return absl::OkStatus();
    }
    if (spec_->added_tokens.size() == kMaxAddedTokens) {
      return at.Refuse(absl::StrCat("more than the limit of ", kMaxAddedTokens, " added tokens"));
    }
    if (!known) {
      if (const auto [taken, is_new] = owners_.try_emplace(token.id, token.content);
          !is_new || expected >= kMaxVocabulary) {
        return at.Refuse(absl::StrCat("added token ", Quoted(token.content), " would get id ", token.id,
                                      is_new ? ", above the limit" : ", which is taken"));
      }
      ids_.emplace(token.content, token.id);
    }
    last_added_ = std::max(last_added_, token.id);
    added_.emplace(token.content, spec_->added_tokens.size());
    spec_->added_tokens.push_back(std::move(token));
    return absl::OkStatus();
  }

 private:
  int32_t NextId() const { return std::max(static_cast<int32_t>(spec_->vocabulary.size()), last_added_ + 1); }

  TokenizerSpec* spec_;
  absl::flat_hash_map<std::string, int32_t> ids_;  // of the vocabulary and the added tokens
  absl::flat_hash_map<int32_t, std::string> owners_;
  absl::flat_hash_map<std::string, size_t> added_;  // content -> index in added_tokens
  int32_t last_added_ = -1;
};

absl::StatusOr<std::pair<std::string, std::string>> ReadMerge(const JsonAt& merges, size_t index) {
  const json& value = merges.value()[index];
  if (value.is_string()) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(value.get_ref<const std::string&>(), absl::MaxSplits(' ', 1));
    if (!parts.first.empty() && !parts.second.empty() && parts.second.find(' ') == std::string::npos)
      return parts;
  } else if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
    return std::make_pair(value[0].get<std::string>(), value[1].get<std::string>());
  }
  return merges.Element(index).Refuse("expected two tokens: \"a b\" or [\"a\", \"b\"]");
}

absl::Status ReadMerges(const JsonAt& merges, const Ids& ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(merges.ExpectArray());
  spec->merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    VN_ASSIGN_OR_RETURN(const auto pair, ReadMerge(merges, i));
    const std::optional<int32_t> left = ids.Find(pair.first);
    const std::optional<int32_t> right = ids.Find(pair.second);
    const std::string merged = pair.first + pair.second;
    const std::optional<int32_t> result = ids.Find(merged);
    if (!left || !right || !result) {
      const std::string& missing = !left ? pair.first : !right ? pair.second : merged;
      return merges.Element(i).Refuse(absl::StrCat("token ", Quoted(missing), " is not in the vocabulary"));
    }
    spec->merges.push_back({*left, *right, *result});
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const JsonAt& model, Ids* ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(model.ExpectObject());
  // The oldest files leave out the type.
  if (const JsonAt type = model.Member("type"); !type.IsNull() || model.Member("merges").IsNull()) {
    VN_ASSIGN_OR_RETURN(const std::string kind, type.String());
    if (kind != "BPE") return type.Refuse(absl::StrCat(Quoted(kind), " is not supported; supported: BPE"));
  }
  if (const JsonAt dropout = model.Member("dropout"); !dropout.IsNull() && dropout.value() != 0) {
    return dropout.Refuse("dropout is not supported: it makes tokens random; set it to null");
  }
  for (const char* const affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const JsonAt at = model.Member(affix);
    if (!at.IsNull() && at.value() != "")
      return at.Refuse("is not supported; only byte-level BPE without it is");
  }
  VN_ASSIGN_OR_RETURN(const bool byte_fallback, model.Member("byte_fallback").Bool(false));
  if (byte_fallback) {
    return model.Member("byte_fallback").Refuse("is not supported (SentencePiece); only byte-level BPE is");
  }
  VN_ASSIGN_OR_RETURN(spec->fuse_unknown, model.Member("fuse_unk").Bool(false));
  VN_ASSIGN_OR_RETURN(spec->ignore_merges, model.Member("ignore_merges").Bool(false));
  VN_RETURN_IF_ERROR(ids->ReadVocabulary(model.Member("vocab")));
  VN_RETURN_IF_ERROR(ReadMerges(model.Member("merges"), *ids, spec));
  if (const JsonAt unknown = model.Member("unk_token"); !unknown.IsNull()) {
    VN_ASSIGN_OR_RETURN(const std::string token, unknown.String());
    spec->unknown_id = ids->Find(token);
    if (!spec->unknown_id && !token.empty()) {
      return unknown.Refuse(absl::StrCat(Quoted(token), " is not in the vocabulary"));
    }
  }
  return absl::OkStatus();
}

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

absl::Status ReadAddedTokens(const JsonAt& list, Ids* ids) {
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
absl::Status AddNamedTokens(const JsonAt& config, Ids* ids) {
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

absl::Status ReadAddedTokensDecoder(const JsonAt& decoder, Ids* ids) {
  if (decoder.IsNull()) return absl::OkStatus();
  VN_RETURN_IF_ERROR(decoder.ExpectObject());
  std::map<int64_t, std::string> keys;  // in the order of ids, not of their digits
  for (const auto& [key, value] : decoder.value().items()) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(key, &id))
      return decoder.Refuse(absl::StrCat("the key ", Quoted(key), " is no id"));
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

absl::Status ReadConfig(const JsonAt& config, Ids* ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(config.ExpectObject());
  VN_RETURN_IF_ERROR(ReadAddedTokensDecoder(config.Member("added_tokens_decoder"), ids));
  VN_RETURN_IF_ERROR(AddNamedTokens(config, ids));
  const auto find = [&](const char* key) -> absl::StatusOr<std::optional<int32_t>> {
    const JsonAt at = config.Member(key);
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> name, ReadTokenName(at));
    if (!name || name->empty()) return std::nullopt;
    const std::optional<int32_t> id = ids->Find(*name);
    if (!id) return at.Refuse(absl::StrCat(Quoted(*name), " is not in the vocabulary of tokenizer.json"));
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
  TokenizerSpec spec{.pre_tokenizer = PreTokenizer({}, false, {})};
  Ids ids(&spec);
  VN_RETURN_IF_ERROR(ReadModel(root.Member("model"), &ids, &spec));
  VN_RETURN_IF_ERROR(ReadAddedTokens(root.Member("added_tokens"), &ids));
  VN_ASSIGN_OR_RETURN(spec.nfc, ReadNormalizer(root.Member("normalizer")));
  VN_ASSIGN_OR_RETURN(spec.pre_tokenizer, ReadPreTokenizer(root.Member("pre_tokenizer")));
  VN_RETURN_IF_ERROR(CheckDecoder(root.Member("decoder")));
  const JsonAt post_processor = root.Member("post_processor");
  VN_ASSIGN_OR_RETURN(const std::optional<std::string> first, ReadPostProcessor(post_processor));
  if (first) {
    spec.bos_id = ids.Find(*first);
    if (!spec.bos_id) return post_processor.Refuse(absl::StrCat(Quoted(*first), " is not in the vocabulary"));
  }
  if (!tokenizer_config_json.empty()) {
    VN_ASSIGN_OR_RETURN(const json config, ParseLimited(tokenizer_config_json, "tokenizer_config.json",
                                                        kMaxTokenizerConfigBytes));
    VN_RETURN_IF_ERROR(ReadConfig(JsonAt(&config, "tokenizer_config.json"), &ids, &spec));
  }
  return spec;
}

}  // namespace vernier::data
