#include "worker/data/text/gguf_tokenizer.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {
namespace {

using Json = nlohmann::ordered_json;

// Token types of ggml.
constexpr int64_t kUnknown = 2, kControl = 3, kUserDefined = 4;

constexpr absl::string_view kLlama3[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kQwen2[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kQwen35[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kTekken[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kGpt4o[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kDeepSeekV3[] = {
    R"(\p{N}{1,3})", R"([一-龥぀-ゟ゠-ヿ]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

// How texts of a tokenizer.ggml.pre are cut.
struct Split {
  absl::string_view name;
  absl::Span<const absl::string_view> patterns;  // none: GPT-2's, which ByteLevel has
  bool single_digits = false;                    // every digit on its own first
  bool nfc = false;
  bool ignore_merges = false;
  bool adds_bos = false;  // unless tokenizer.ggml.add_bos_token says otherwise
};
const Split kSplits[] = {
    {.name = "gpt-2"},
    {.name = "gpt2"},
    {.name = "phi-2"},
    {.name = "smollm", .single_digits = true},
    {.name = "starcoder", .single_digits = true},
    {.name = "refact", .single_digits = true},
    {.name = "llama-bpe", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "llama3", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "llama-v3", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "qwen2", .patterns = kQwen2, .nfc = true},
    {.name = "qwen35", .patterns = kQwen35, .nfc = true},
    {.name = "tekken", .patterns = kTekken, .ignore_merges = true, .adds_bos = true},
    {.name = "gpt-4o", .patterns = kGpt4o, .ignore_merges = true},
    {.name = "llama4", .patterns = kGpt4o, .ignore_merges = true},
    {.name = "deepseek-v3", .patterns = kDeepSeekV3},
};

absl::Status Wrong(const storage::Gguf& gguf, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(gguf.name(), ": ", what));
}

absl::StatusOr<const Split*> FindSplit(const storage::Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const absl::string_view model, gguf.GetString("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return Wrong(gguf, absl::StrCat("tokenizer.ggml.model \"", Excerpt(model, 40),
                                    "\" is not supported; supported: gpt2 (byte-level BPE)"));
  }
  VN_ASSIGN_OR_RETURN(const absl::string_view pre, gguf.GetString("tokenizer.ggml.pre"));
  std::vector<absl::string_view> names;
  for (const Split& split : kSplits) {
    if (split.name == pre) return &split;
    names.push_back(split.name);
  }
  return Wrong(gguf, absl::StrCat("tokenizer.ggml.pre \"", Excerpt(pre, 40),
                                  "\" is not supported; supported: ", absl::StrJoin(names, ", ")));
}

Json ByteLevelJson(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json PreTokenizerJson(const Split& split) {
  Json steps = Json::array();
  if (split.single_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  for (const absl::string_view pattern : split.patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", std::string(pattern)}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(ByteLevelJson(/*use_regex=*/split.patterns.empty()));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

// The token that stands before a text, as the template that puts it there. Null: none does.
absl::StatusOr<Json> PostProcessorJson(const storage::Gguf& gguf, const Split& split,
                                       absl::Span<const absl::string_view> tokens) {
  bool adds_bos = split.adds_bos;
  if (gguf.Has("tokenizer.ggml.add_bos_token")) {
    VN_ASSIGN_OR_RETURN(adds_bos, gguf.GetBool("tokenizer.ggml.add_bos_token"));
  }
  if (!adds_bos) return Json(nullptr);
  VN_ASSIGN_OR_RETURN(const int64_t id, gguf.GetInt("tokenizer.ggml.bos_token_id"));
  if (id < 0 || static_cast<size_t>(id) >= tokens.size()) {
    return Wrong(gguf,
                 absl::StrCat("tokenizer.ggml.bos_token_id ", id, " is no token; there are ", tokens.size()));
  }
  const std::string bos(tokens[static_cast<size_t>(id)]);
  const Json special = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
  const auto text = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  Json second = special;
  second["SpecialToken"]["type_id"] = 1;
  return Json{
      {"type", "TemplateProcessing"},
      {"single", Json::array({special, text("A", 0)})},
      {"pair", Json::array({special, text("A", 0), second, text("B", 1)})},
      {"special_tokens", {{bos, {{"id", bos}, {"ids", Json::array({id})}, {"tokens", Json::array({bos})}}}}}};
}

Json AddedTokensJson(absl::Span<const absl::string_view> tokens, absl::Span<const int64_t> types) {
  Json added = Json::array();
  for (size_t id = 0; id < types.size(); ++id) {
    const bool special = types[id] == kControl || types[id] == kUnknown;
    if (!special && types[id] != kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", std::string(tokens[id])},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  return added;
}

absl::Status CheckTokens(const storage::Gguf& gguf, absl::Span<const absl::string_view> tokens) {
  absl::flat_hash_map<absl::string_view, size_t> seen;
  seen.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (FirstInvalidUtf8(tokens[id]) != absl::string_view::npos) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.tokens: token ", id, " is not UTF-8"));
    }
    if (const auto [first, is_new] = seen.emplace(tokens[id], id); !is_new) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.tokens: \"", Excerpt(tokens[id], 40),
                                      "\" is both token ", first->second, " and token ", id));
    }
  }
  return absl::OkStatus();
}

// "text" with JSON's escapes and quotes.
std::string JsonString(absl::string_view text) { return Json(std::string(text)).dump(); }

}  // namespace

absl::StatusOr<std::string> TokenizerJsonFromGguf(const storage::Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const Split* split, FindSplit(gguf));
  VN_ASSIGN_OR_RETURN(const auto tokens, gguf.GetStrings("tokenizer.ggml.tokens"));
  VN_ASSIGN_OR_RETURN(const auto merges, gguf.GetStrings("tokenizer.ggml.merges"));
  absl::Span<const int64_t> types;
  if (gguf.Has("tokenizer.ggml.token_type")) {
    VN_ASSIGN_OR_RETURN(types, gguf.GetInts("tokenizer.ggml.token_type"));
    if (types.size() != tokens.size()) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.token_type has ", types.size(), " entries for ",
                                      tokens.size(), " tokens"));
    }
  }
  VN_RETURN_IF_ERROR(CheckTokens(gguf, tokens));
  for (size_t i = 0; i < merges.size(); ++i) {
    if (FirstInvalidUtf8(merges[i]) != absl::string_view::npos) {
      return Wrong(gguf, absl::StrCat("tokenizer.ggml.merges: merge ", i, " is not UTF-8"));
    }
  }
  VN_ASSIGN_OR_RETURN(const Json post_processor, PostProcessorJson(gguf, *split, tokens));

  // The two long lists are written straight: as a tree they would take many times their size.
  std::string text = absl::StrCat(
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":",
      AddedTokensJson(tokens, types).dump(), ",\"normalizer\":", split->nfc ? "{\"type\":\"NFC\"}" : "null",
      ",\"pre_tokenizer\":", PreTokenizerJson(*split).dump(), ",\"post_processor\":", post_processor.dump(),
      ",\"decoder\":", ByteLevelJson(/*use_regex=*/true).dump(),
      ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
      "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":",
      split->ignore_merges ? "true" : "false", ",\"vocab\":{");
  for (size_t id = 0; id < tokens.size(); ++id) {
    absl::StrAppend(&text, id == 0 ? "" : ",", JsonString(tokens[id]), ":", id);
  }
  absl::StrAppend(&text, "},\"merges\":[");
  for (size_t i = 0; i < merges.size(); ++i) absl::StrAppend(&text, i == 0 ? "" : ",", JsonString(merges[i]));
  absl::StrAppend(&text, "]}}\n");
  return text;
}

}  // namespace vernier::data
