#include "storage/model_from_gguf.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_plan.h"
#include "storage/model_family.h"
#include "storage/safetensors.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr absl::string_view kTemplateKey = "tokenizer.chat_template";

// A special token of the vocabulary.
struct SpecialToken {
  int64_t id = 0;
  std::string text;
};

struct SpecialTokens {
  std::optional<SpecialToken> bos, eos, unknown, padding;
  // Ids that end a generation: eos first, then the end of a turn and of a message where they are others.
  std::vector<int64_t> stops;
};

absl::StatusOr<std::string> Utf8(const Gguf& gguf, absl::string_view key, absl::string_view text) {
  if (FirstInvalidUtf8(text) == absl::string_view::npos) return std::string(text);
  return absl::InvalidArgumentError(
      absl::StrCat(gguf.name(), ": metadata \"", key, "\": \"", Excerpt(text), "\" is not UTF-8"));
}

absl::StatusOr<std::optional<SpecialToken>> FindSpecialToken(const Gguf& gguf, absl::string_view key) {
  if (!gguf.Has(key)) return std::optional<SpecialToken>();
  VN_ASSIGN_OR_RETURN(const absl::Span<const absl::string_view> tokens, gguf.GetStrings(kTokensKey));
  SpecialToken token;
  VN_ASSIGN_OR_RETURN(token.id, gguf.GetInt(key));
  if (token.id < 0 || token.id >= static_cast<int64_t>(tokens.size())) {
    return absl::InvalidArgumentError(absl::StrCat(gguf.name(), ": metadata \"", key, "\" = ", token.id,
                                                   " is outside of the vocabulary of ", tokens.size()));
  }
  VN_ASSIGN_OR_RETURN(token.text, Utf8(gguf, key, tokens[token.id]));
  return std::optional<SpecialToken>(std::move(token));
}

absl::StatusOr<SpecialTokens> FindSpecialTokens(const Gguf& gguf) {
  SpecialTokens special;
  VN_ASSIGN_OR_RETURN(special.bos, FindSpecialToken(gguf, "tokenizer.ggml.bos_token_id"));
  VN_ASSIGN_OR_RETURN(special.eos, FindSpecialToken(gguf, "tokenizer.ggml.eos_token_id"));
  VN_ASSIGN_OR_RETURN(special.unknown, FindSpecialToken(gguf, "tokenizer.ggml.unknown_token_id"));
  VN_ASSIGN_OR_RETURN(special.padding, FindSpecialToken(gguf, "tokenizer.ggml.padding_token_id"));
  VN_ASSIGN_OR_RETURN(const auto end_of_turn, FindSpecialToken(gguf, "tokenizer.ggml.eot_token_id"));
  VN_ASSIGN_OR_RETURN(const auto end_of_message, FindSpecialToken(gguf, "tokenizer.ggml.eom_token_id"));
  for (const std::optional<SpecialToken>* stop :
       {&std::as_const(special.eos), &end_of_turn, &end_of_message}) {
    if (stop->has_value() && !absl::c_linear_search(special.stops, (*stop)->id))
      special.stops.push_back((*stop)->id);
  }
  return special;
}

// bos_token_id, eos_token_id and pad_token_id, as both config.json and generation_config.json have them.
void AddIds(const SpecialTokens& special, Json& json) {
  if (special.bos.has_value()) json["bos_token_id"] = special.bos->id;
  if (special.padding.has_value()) json["pad_token_id"] = special.padding->id;
  if (special.stops.size() == 1) json["eos_token_id"] = special.stops.front();
  if (special.stops.size() > 1) json["eos_token_id"] = special.stops;
}

absl::StatusOr<Json> TokenizerConfig(const Gguf& gguf, const SpecialTokens& special, int64_t context_length) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"model_max_length", context_length},
                 {"clean_up_tokenization_spaces", false}};
  if (special.bos.has_value()) config["bos_token"] = special.bos->text;
  if (special.eos.has_value()) config["eos_token"] = special.eos->text;
  if (special.unknown.has_value()) config["unk_token"] = special.unknown->text;
  if (special.padding.has_value()) config["pad_token"] = special.padding->text;
  for (const absl::string_view field : {"add_bos_token", "add_eos_token"}) {
    const std::string key = absl::StrCat("tokenizer.ggml.", field);
    if (!gguf.Has(key)) continue;
    VN_ASSIGN_OR_RETURN(config[std::string(field)], gguf.GetBool(key));
  }
  if (gguf.Has(kTemplateKey)) {
    VN_ASSIGN_OR_RETURN(const absl::string_view text, gguf.GetString(kTemplateKey));
    VN_ASSIGN_OR_RETURN(config["chat_template"], Utf8(gguf, kTemplateKey, text));
  }
  return config;
}

absl::Status RefuseOtherThanModel(const Gguf& gguf) {
  if (gguf.Has("general.type")) {
    VN_ASSIGN_OR_RETURN(const absl::string_view type, gguf.GetString("general.type"));
    if (type != "model") {
      return absl::InvalidArgumentError(
          absl::StrCat(gguf.name(), ": holds a \"", Excerpt(type), "\", not a model"));
    }
  }
  if (gguf.Has("split.count")) {
    VN_ASSIGN_OR_RETURN(const int64_t count, gguf.GetInt("split.count"));
    if (count > 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          gguf.name(), ": is one of ", count, " pieces of a model; join them with `gguf-split --merge`"));
    }
  }
  return absl::OkStatus();
}

ModelFile WeightsFile(std::shared_ptr<const Gguf> gguf, std::vector<PlannedTensor> tensors) {
  ModelFile file;
  file.name = "model.safetensors";
  for (const PlannedTensor& tensor : tensors) file.size_bytes += tensor.spec.NumBytes();
  file.write = [gguf = std::move(gguf), tensors = std::move(tensors)](ByteSink& sink) -> absl::Status {
    std::vector<TensorSpec> specs;
    for (const PlannedTensor& tensor : tensors) specs.push_back(tensor.spec);
    // What every file of Hugging Face's has; without it some readers refuse the file.
    VN_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                        SafetensorsWriter::Create(sink, std::move(specs), {{"format", "pt"}}));
    std::vector<float> values;
    for (const PlannedTensor& tensor : tensors) VN_RETURN_IF_ERROR(WritePlanned(tensor, values, writer));
    return writer.Finish();
  };
  return file;
}

std::string Text(const Json& json) { return json.dump(2) + "\n"; }

}  // namespace

absl::StatusOr<ModelDraft> DraftFromGguf(std::shared_ptr<const Gguf> gguf,
                                         const TokenizerFromGguf& tokenizer) {
  VN_RETURN_IF_ERROR(RefuseOtherThanModel(*gguf));
  VN_ASSIGN_OR_RETURN(const absl::string_view architecture, gguf->GetString("general.architecture"));
  VN_ASSIGN_OR_RETURN(const ModelFamily* family, FindGgufFamily(gguf->name(), architecture));
  VN_ASSIGN_OR_RETURN(GgufPlan plan, family->plan_gguf(*gguf));
  VN_ASSIGN_OR_RETURN(const absl::Span<const absl::string_view> tokens, gguf->GetStrings(kTokensKey));
  if (static_cast<int64_t>(tokens.size()) > plan.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(gguf->name(), ": the vocabulary has ", tokens.size(),
                                                   " tokens, but the embedding only ", plan.vocab_size,
                                                   " rows"));
  }
  if (!tokenizer) {
    return absl::InvalidArgumentError(absl::StrCat(gguf->name(), ": GGUF files cannot be imported here"));
  }
  VN_ASSIGN_OR_RETURN(std::string tokenizer_json, tokenizer(*gguf));
  VN_ASSIGN_OR_RETURN(const SpecialTokens special, FindSpecialTokens(*gguf));
  VN_ASSIGN_OR_RETURN(const Json tokenizer_config, TokenizerConfig(*gguf, special, plan.context_length));
  Json generation_config = Json::object();
  AddIds(special, plan.config);
  AddIds(special, generation_config);

  ModelDraft draft;
  draft.model.architecture = std::string(family->name);
  draft.model.context_length = plan.context_length;
  draft.model.vocab_size = plan.vocab_size;
  draft.model.has_chat_template = tokenizer_config.contains("chat_template");
  for (const PlannedTensor& tensor : plan.tensors) draft.model.num_parameters += tensor.spec.NumElements();
  draft.files.push_back(TextFile("config.json", Text(plan.config)));
  draft.files.push_back(TextFile("generation_config.json", Text(generation_config)));
  draft.files.push_back(TextFile("tokenizer.json", std::move(tokenizer_json)));
  draft.files.push_back(TextFile("tokenizer_config.json", Text(tokenizer_config)));
  draft.files.push_back(WeightsFile(std::move(gguf), std::move(plan.tensors)));
  return draft;
}

absl::StatusOr<std::string> TokenizerConfigFromGguf(const Gguf& gguf) {
  VN_ASSIGN_OR_RETURN(const absl::string_view architecture, gguf.GetString("general.architecture"));
  VN_ASSIGN_OR_RETURN(const ModelFamily* family, FindGgufFamily(gguf.name(), architecture));
  VN_ASSIGN_OR_RETURN(const GgufPlan plan, family->plan_gguf(gguf));
  VN_ASSIGN_OR_RETURN(const SpecialTokens special, FindSpecialTokens(gguf));
  VN_ASSIGN_OR_RETURN(const Json config, TokenizerConfig(gguf, special, plan.context_length));
  return Text(config);
}

}  // namespace vernier::storage
