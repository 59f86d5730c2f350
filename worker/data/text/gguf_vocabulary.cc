#include "worker/data/text/gguf_vocabulary.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"
#include "worker/data/text/gguf_splits.h"
#include "worker/data/text/piece_vocabulary.h"
#include "worker/data/text/tokenizer_spec.h"

namespace vernier::data {
namespace {

using nlohmann::json;

constexpr int64_t kMaxJsonValues = int64_t{5} * kMaxVocabulary;
constexpr absl::string_view kSpace = "\xE2\x96\x81";  // SentencePiece's
// eos, end of turn, end of message: what files have keys for.
constexpr const char* kStopKeys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                     "tokenizer.ggml.eom_token_id"};

absl::Status Cannot(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("gguf: tokenizer.json: ", what,
                                                 ", which GGUF has no name for; export the model as merged"));
}

// The steps of a normalizer or pre-tokenizer, sequences opened.
void Flatten(const json& step, std::vector<const json*>& steps) {
  if (!step.is_object()) return;
  for (const char* const member : {"pretokenizers", "normalizers"}) {
    const auto list = step.find(member);
    if (list == step.end() || !list->is_array()) continue;
    for (const json& inner : *list) Flatten(inner, steps);
    return;
  }
  steps.push_back(&step);
}

std::vector<const json*> StepsOf(const json& tokenizer, const char* member) {
  std::vector<const json*> steps;
  if (const auto found = tokenizer.find(member); found != tokenizer.end()) Flatten(*found, steps);
  return steps;
}

std::string TypeOf(const json& step) {
  const auto type = step.find("type");
  return type != step.end() && type->is_string() ? type->get<std::string>() : "";
}

// What a step does, whatever its file writes beside it.
std::string Meaning(const json& step) {
  const std::string type = TypeOf(step);
  if (type == "ByteLevel") {
    return absl::StrCat(type, step.value("add_prefix_space", true), step.value("use_regex", true));
  }
  if (type == "Digits") return absl::StrCat(type, step.value("individual_digits", false));
  if (type == "Punctuation") return type + step.value("behavior", "Isolated");
  return step.dump();
}

std::vector<std::string> Meanings(const std::vector<const json*>& steps) {
  std::vector<std::string> meanings;
  for (const json* step : steps) meanings.push_back(Meaning(*step));
  return meanings;
}

// "" when the file normalises nothing, "NFC", or an error.
absl::StatusOr<bool> ReadsNfc(const json& tokenizer) {
  bool nfc = false;
  for (const json* step : StepsOf(tokenizer, "normalizer")) {
    if (TypeOf(*step) != "NFC") return Cannot(absl::StrCat("it normalises text by ", Excerpt(step->dump())));
    nfc = true;
  }
  return nfc;
}

absl::StatusOr<const GgufSplit*> FindSplit(const json& tokenizer, const TokenizerSpec& spec, bool nfc) {
  const std::vector<std::string> wanted = Meanings(StepsOf(tokenizer, "pre_tokenizer"));
  const GgufSplit* found = nullptr;
  for (const GgufSplit& split : GgufSplits()) {
    if (split.ignore_merges != spec.ignore_merges) continue;
    const json steps = json::parse(SplitJson(split).dump());
    std::vector<const json*> flat;
    Flatten(steps, flat);
    if (Meanings(flat) != wanted) continue;
    if (split.nfc == nfc) return &split;
    if (found == nullptr) found = &split;
  }
  if (found != nullptr) return found;
  const auto pre = tokenizer.find("pre_tokenizer");
  return Cannot(
      absl::StrCat("it cuts text by ", pre == tokenizer.end() ? "nothing" : Excerpt(pre->dump(), 200)));
}

// Whether a space is put before texts, where SentencePiece's pieces are marked with it.
bool PrependsSpace(const json& tokenizer) {
  for (const json* step : StepsOf(tokenizer, "normalizer")) {
    if (TypeOf(*step) == "Prepend") return true;
  }
  for (const json* step : StepsOf(tokenizer, "pre_tokenizer")) {
    if (TypeOf(*step) != "Metaspace") continue;
    return step->contains("prepend_scheme") ? step->at("prepend_scheme") != "never"
                                            : step->value("add_prefix_space", true);
  }
  return false;
}

// Whether it is a SentencePiece vocabulary that does nothing else to text than mark spaces.
absl::Status CheckMarksSpacesOnly(const json& tokenizer) {
  bool marked = false;
  for (const json* step : StepsOf(tokenizer, "normalizer")) {
    const bool marks = TypeOf(*step) == "Replace" && step->value("content", "") == kSpace;
    marked = marked || marks;
    if (!marks && TypeOf(*step) != "Prepend")
      return Cannot(absl::StrCat("it normalises text by ", Excerpt(step->dump())));
  }
  for (const json* step : StepsOf(tokenizer, "pre_tokenizer")) {
    const std::string type = TypeOf(*step);
    marked = marked || type == "Metaspace";
    // Gemma's: the text has no spaces left where it would cut.
    const bool idle =
        type == "Split" && step->contains("pattern") && step->at("pattern") == json{{"String", " "}};
    if (type != "Metaspace" && !idle) return Cannot(absl::StrCat("it cuts text by ", Excerpt(step->dump())));
  }
  return marked ? absl::OkStatus() : Cannot("it marks no spaces");
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<PieceType> types;
};

bool IsByteToken(absl::string_view text) {
  return text.size() == 6 && absl::StartsWith(text, "<0x") && absl::EndsWith(text, ">");
}

absl::StatusOr<Tokens> TokensOf(const TokenizerSpec& spec, bool pieces, int64_t rows) {
  Tokens tokens;
  tokens.texts.resize(rows);
  tokens.types.assign(rows, PieceType::kUnused);
  absl::flat_hash_set<std::string> seen;
  const auto put = [&](int32_t id, const std::string& text, PieceType type) -> absl::Status {
    if (id >= rows) {
      return absl::InvalidArgumentError(absl::StrCat("gguf: token \"", Excerpt(text), "\" has id ", id,
                                                     ", but the embedding has ", rows, " rows"));
    }
    tokens.texts[id] = text;
    tokens.types[id] = type;
    seen.insert(text);
    return absl::OkStatus();
  };
  for (const auto& [text, id] : spec.vocabulary) {
    const bool is_byte = pieces && spec.byte_fallback && IsByteToken(text);
    VN_RETURN_IF_ERROR(put(id, text, is_byte ? PieceType::kByte : PieceType::kNormal));
  }
  for (const AddedToken& token : spec.added_tokens) {
    if (token.special || !pieces) {
      VN_RETURN_IF_ERROR(
          put(token.id, token.content, token.special ? PieceType::kControl : PieceType::kUserDefined));
      continue;
    }
    // Readers look for such a token in the text as it was written, and give it out as it stands here.
    VN_RETURN_IF_ERROR(
        put(token.id, absl::StrReplaceAll(token.content, {{kSpace, " "}}), PieceType::kUserDefined));
  }
  if (pieces && spec.unknown_id.has_value() && *spec.unknown_id < rows) {
    tokens.types[*spec.unknown_id] = PieceType::kUnknown;
  }
  for (int64_t id = 0; id < rows; ++id) {
    if (tokens.types[id] != PieceType::kUnused) continue;
    tokens.texts[id] = absl::StrCat("[PAD", id, "]");
    while (seen.contains(tokens.texts[id])) tokens.texts[id] += "_";
  }
  return tokens;
}

// Scores that make the merges happen in the order of the file: a token made earlier has a higher one. What no
// merge makes needs none.
std::vector<float> ScoresOf(const TokenizerSpec& spec, size_t num_tokens) {
  const float none = -static_cast<float>(spec.merges.size()) - 1.0F;
  std::vector<float> scores(num_tokens, none);
  for (size_t i = spec.merges.size(); i > 0; --i) {
    scores[static_cast<size_t>(spec.merges[i - 1].result)] = -static_cast<float>(i);
  }
  return scores;
}

std::optional<int64_t> IdOf(const Tokens& tokens, const std::string& text) {
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    if (tokens.texts[id] == text) return static_cast<int64_t>(id);
  }
  return std::nullopt;
}

// A token that tokenizer_config.json names: "text" or {"content": "text"}.
std::optional<int64_t> NamedToken(const json& config, const char* field, const Tokens& tokens) {
  const auto found = config.find(field);
  if (found == config.end()) return std::nullopt;
  if (found->is_string()) return IdOf(tokens, found->get<std::string>());
  if (!found->is_object() || !found->contains("content") || !found->at("content").is_string())
    return std::nullopt;
  return IdOf(tokens, found->at("content").get<std::string>());
}

void AddSpecialTokens(const GgufVocabularySource& source, const json& config, const TokenizerSpec& spec,
                      const Tokens& tokens, storage::GgufMetadata& out) {
  const auto add = [&](const char* key, std::optional<int64_t> id) {
    if (id.has_value()) out.push_back({key, static_cast<uint32_t>(*id)});
  };
  const std::optional<int64_t> bos = spec.bos_id.has_value() ? std::optional<int64_t>(*spec.bos_id)
                                                             : NamedToken(config, "bos_token", tokens);
  add("tokenizer.ggml.bos_token_id", bos);
  std::vector<int64_t> stops = source.stop_ids;
  if (stops.empty() && spec.eos_id.has_value()) stops = {*spec.eos_id};
  for (size_t i = 0; i < std::min(stops.size(), std::size(kStopKeys)); ++i) add(kStopKeys[i], stops[i]);
  add("tokenizer.ggml.unknown_token_id", spec.unknown_id.has_value()
                                             ? std::optional<int64_t>(*spec.unknown_id)
                                             : NamedToken(config, "unk_token", tokens));
  add("tokenizer.ggml.padding_token_id", NamedToken(config, "pad_token", tokens));
  out.push_back({"tokenizer.ggml.add_bos_token", spec.bos_id.has_value()});
  const auto adds_eos = config.find("add_eos_token");
  if (adds_eos != config.end() && *adds_eos == true) out.push_back({"tokenizer.ggml.add_eos_token", true});
  if (!source.chat_template.empty()) out.push_back({"tokenizer.chat_template", source.chat_template});
}

}  // namespace

absl::StatusOr<storage::GgufMetadata> GgufVocabulary(const GgufVocabularySource& source) {
  VN_ASSIGN_OR_RETURN(const TokenizerSpec spec,
                      ParseTokenizerSpec(source.tokenizer_json, source.tokenizer_config_json));
  if (spec.kind != TokenModelKind::kBpe) return Cannot("it is no BPE tokenizer");
  VN_ASSIGN_OR_RETURN(const json tokenizer, storage::ParseJson(source.tokenizer_json, "tokenizer.json",
                                                               {.max_bytes = kMaxTokenizerJsonBytes,
                                                                .max_values = kMaxJsonValues}));
  json config = json::object();
  if (!source.tokenizer_config_json.empty()) {
    VN_ASSIGN_OR_RETURN(config, storage::ParseJson(source.tokenizer_config_json, "tokenizer_config.json"));
  }
  bool by_bytes = false;
  for (const json* step : StepsOf(tokenizer, "pre_tokenizer"))
    by_bytes = by_bytes || TypeOf(*step) == "ByteLevel";

  storage::GgufMetadata out;
  VN_ASSIGN_OR_RETURN(const Tokens tokens, TokensOf(spec, /*pieces=*/!by_bytes, source.embedding_rows));
  if (by_bytes) {
    VN_ASSIGN_OR_RETURN(const bool nfc, ReadsNfc(tokenizer));
    VN_ASSIGN_OR_RETURN(const GgufSplit* split, FindSplit(tokenizer, spec, nfc));
    std::vector<std::string> merges;
    merges.reserve(spec.merges.size());
    for (const BpeMerge& merge : spec.merges) {
      merges.push_back(absl::StrCat(tokens.texts[merge.left], " ", tokens.texts[merge.right]));
    }
    out = {{"tokenizer.ggml.model", std::string("gpt2")}, {"tokenizer.ggml.pre", std::string(split->name)}};
    out.push_back({"tokenizer.ggml.merges", std::move(merges)});
    if (split->nfc != nfc) out.push_back({"tokenizer.ggml.normalizer.nfc", nfc});
  } else {
    VN_RETURN_IF_ERROR(CheckMarksSpacesOnly(tokenizer));
    out = {{"tokenizer.ggml.model", std::string("llama")}, {"tokenizer.ggml.pre", std::string("default")}};
    out.push_back({"tokenizer.ggml.scores", ScoresOf(spec, tokens.texts.size())});
    out.push_back({"tokenizer.ggml.add_space_prefix", PrependsSpace(tokenizer)});
  }
  std::vector<int32_t> types;
  types.reserve(tokens.types.size());
  for (const PieceType type : tokens.types) types.push_back(static_cast<int32_t>(type));
  out.push_back({"tokenizer.ggml.tokens", tokens.texts});
  out.push_back({"tokenizer.ggml.token_type", std::move(types)});
  AddSpecialTokens(source, config, spec, tokens, out);
  return out;
}

}  // namespace vernier::data
