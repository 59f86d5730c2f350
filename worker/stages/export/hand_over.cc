#include "worker/stages/export/hand_over.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "storage/bounded_json.h"
#include "worker/data/text/chat_template.h"
#include "worker/data/text/tokenizer_spec.h"
#include "worker/stages/answer.h"

namespace vernier::stages {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr absl::string_view kTemplateFile = "chat_template.jinja";
constexpr absl::string_view kTokenizerConfigFile = "tokenizer_config.json";
constexpr absl::string_view kGenerationFile = "generation_config.json";

// "" when the folder has no such file.
absl::StatusOr<std::string> ReadText(const BaseModel& base, absl::string_view name) {
  absl::StatusOr<std::string> text =
      ReadFile(absl::StrCat(base.folder.path(), "/", name), data::kMaxTokenizerJsonBytes);
  if (absl::IsNotFound(text.status())) return "";
  return text;
}

absl::StatusOr<OrderedJson> ParseObject(const std::string& text, absl::string_view name) {
  if (text.empty()) return OrderedJson::object();
  // Bounds first; then once more, keeping the order of the members.
  const absl::StatusOr<nlohmann::json> checked = storage::ParseJson(text, name);
  if (!checked.ok()) return absl::FailedPreconditionError(checked.status().message());
  if (!checked->is_object())
    return absl::FailedPreconditionError(absl::StrCat(name, ": is not a JSON object"));
  return OrderedJson::parse(text);
}

// The template in the model's files; that in a file of its own counts, as for `transformers`.
absl::StatusOr<std::string> OwnTemplate(const BaseModel& base, const std::string& tokenizer_config) {
  VN_ASSIGN_OR_RETURN(std::string text, ReadText(base, kTemplateFile));
  if (!text.empty()) return text;
  const auto config = data::ReadChatTemplateConfig(tokenizer_config);
  if (!config.ok()) return absl::FailedPreconditionError(config.status().message());
  return config->text;
}

absl::Status ReplaceTemplate(HandOver& out) {
  VN_ASSIGN_OR_RETURN(OrderedJson config, ParseObject(out.tokenizer_config_json, kTokenizerConfigFile));
  config["chat_template"] = out.chat_template;
  out.tokenizer_config_json = config.dump(2) + "\n";
  return absl::OkStatus();
}

void AddUnlessThere(int64_t id, std::vector<int64_t>& ids) {
  if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

// The base's generation_config.json; its eos_token_id are the stop tokens.
absl::StatusOr<std::string> GenerationConfig(const std::string& text, const std::vector<int64_t>& stops) {
  VN_ASSIGN_OR_RETURN(OrderedJson config, ParseObject(text, kGenerationFile));
  if (stops.size() == 1) {
    config["eos_token_id"] = stops.front();
  } else if (!stops.empty()) {
    config["eos_token_id"] = stops;
  }
  return config.dump(2) + "\n";
}

}  // namespace

int64_t EndOfTurn(const HandOver& hand_over) {
  if (hand_over.chat_template.empty()) return -1;
  absl::StatusOr<data::ChatTemplateConfig> config =
      data::ReadChatTemplateConfig(hand_over.tokenizer_config_json);
  if (!config.ok()) return -1;
  config->text = hand_over.chat_template;
  const auto chat_template = data::ChatTemplate::Create(*config, std::nullopt);
  if (!chat_template.ok()) return -1;
  constexpr absl::string_view kAnswer = "Vernier answers.";
  const data::Json messages = {{{"role", "user"}, {"content", "Hello?"}},
                               {{"role", "assistant"}, {"content", std::string(kAnswer)}}};
  const auto rendered = (*chat_template)->Render(messages, nullptr, /*add_generation_prompt=*/false);
  if (!rendered.ok()) return -1;
  const absl::string_view text = rendered->text;
  const size_t answer = text.rfind(kAnswer);
  if (answer == absl::string_view::npos) return -1;
  const absl::string_view rest = text.substr(answer + kAnswer.size());
  const auto tokens = hand_over.tokenizer->Encode(absl::StripLeadingAsciiWhitespace(rest));
  if (!tokens.ok() || tokens->ids.empty() || !hand_over.tokenizer->IsSpecial(tokens->ids.front())) return -1;
  return tokens->ids.front();
}

absl::StatusOr<HandOver> ReadHandOver(const BaseModel& base, const std::string& chat_template) {
  HandOver out;
  VN_ASSIGN_OR_RETURN(out.tokenizer, LoadTokenizer(base));
  VN_ASSIGN_OR_RETURN(out.tokenizer_json, ReadText(base, "tokenizer.json"));
  VN_ASSIGN_OR_RETURN(out.tokenizer_config_json, ReadText(base, kTokenizerConfigFile));
  VN_ASSIGN_OR_RETURN(out.chat_template, OwnTemplate(base, out.tokenizer_config_json));
  const bool replaced = !chat_template.empty() && chat_template != out.chat_template;
  if (replaced) {
    out.chat_template = chat_template;
    VN_RETURN_IF_ERROR(ReplaceTemplate(out));
  }
  out.stop_ids = StopIds(*base.model, *out.tokenizer);
  AddUnlessThere(EndOfTurn(out), out.stop_ids);
  for (const int64_t id : out.stop_ids) {
    const auto token = static_cast<int32_t>(id);
    out.stop_texts.push_back(out.tokenizer->Decode({&token, 1}, /*skip_special=*/false));
  }
  VN_ASSIGN_OR_RETURN(const std::string generation, ReadText(base, kGenerationFile));
  VN_ASSIGN_OR_RETURN(out.generation_config, GenerationConfig(generation, out.stop_ids));
  bool has_config = false;
  for (const storage::ManifestPart& part : base.manifest.parts) {
    if (absl::EndsWith(part.name, ".safetensors") || part.name == kGenerationFile) continue;
    VN_ASSIGN_OR_RETURN(std::string text, ReadText(base, part.name));
    if (part.name == kTokenizerConfigFile) text = out.tokenizer_config_json;
    has_config = has_config || part.name == kTokenizerConfigFile;
    if (part.name == kTemplateFile) text = out.chat_template;
    out.files.emplace_back(part.name, std::move(text));
  }
  if (!has_config && replaced) out.files.emplace_back(kTokenizerConfigFile, out.tokenizer_config_json);
  out.files.emplace_back(kGenerationFile, out.generation_config);
  return out;
}

}  // namespace vernier::stages
