#include "worker/data/text/chat_template.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_eval.h"
#include "worker/data/text/jinja_parser.h"

namespace vernier::data {
namespace {

using jinja::Value;

constexpr std::array<const char*, 7> kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                       "pad_token", "cls_token", "mask_token"};
// Names under which a message's reasoning is given; the first is the standard one.
constexpr std::array<const char*, 3> kReasoning = {"reasoning_content", "thinking", "reasoning"};

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// The offset at the end of an RFC 3339 time ("Z", "+05:30").
absl::TimeZone ZoneOf(absl::string_view time) {
  int hours = 0, minutes = 0;
  if (time.size() < 6 || !absl::SimpleAtoi(time.substr(time.size() - 5, 2), &hours) ||
      !absl::SimpleAtoi(time.substr(time.size() - 2), &minutes) || time[time.size() - 3] != ':') {
    return absl::UTCTimeZone();
  }
  const char sign = time[time.size() - 6];
  if (sign != '+' && sign != '-') return absl::UTCTimeZone();
  return absl::FixedTimeZone((sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60));
}

// datetime.strftime of a time without a zone.
absl::StatusOr<std::string> FormatTime(const std::string& format, absl::Time time, absl::TimeZone zone) {
  if (format.find('\0') != std::string::npos || format.size() > 256) {
    return Bad("strftime_now: the format has a zero byte or more than 256 bytes");
  }
  const absl::TimeZone::CivilInfo civil = zone.At(time);
  const std::tm broken_down = absl::ToTM(time, zone);
  // What the C library does not have, or has with a zone. "%%" stays a percent sign.
  const std::string plain = absl::StrReplaceAll(
      format, {{"%%", "%%"},
               {"%f", absl::StrFormat("%06d", absl::ToInt64Microseconds(civil.subsecond))},
               {"%z", ""},
               {"%Z", ""}});
  if (plain.empty()) return std::string();
  std::string out(1024 + 64 * plain.size(), '\0');
  // A blank in front tells an empty result from one that does not fit.
  out.resize(std::strftime(out.data(), out.size(), absl::StrCat(" ", plain).c_str(), &broken_down));
  if (out.empty()) return Bad("strftime_now: the result is too long");
  return out.substr(1);
}

// The message as `transformers` hands it to a template.
absl::StatusOr<Json> NormalizeMessage(const Json& message, size_t index) {
  if (!message.is_object()) return Bad(absl::StrCat("messages[", index, "] is not an object"));
  const Json* reasoning = nullptr;
  for (const char* name : kReasoning) {
    const auto it = message.find(name);
    if (reasoning == nullptr && it != message.end() && !it->is_null()) reasoning = &*it;
  }
  Json out = Json::object();
  if (reasoning != nullptr) {
    const auto thinking = message.find("thinking");
    out["thinking"] = thinking != message.end() && !thinking->is_null() ? *thinking : *reasoning;
  }
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) out[key] = value;
  }
  if (reasoning != nullptr) out["reasoning_content"] = *reasoning;
  return out;
}

absl::Status CheckSize(absl::string_view text) {
  if (static_cast<int64_t>(text.size()) <= kMaxTemplateBytes) return absl::OkStatus();
  return Bad(absl::StrCat("chat template: ", HumanBytes(static_cast<int64_t>(text.size())),
                          " is more than the limit of ", HumanBytes(kMaxTemplateBytes)));
}

class JinjaChatTemplate final : public ChatTemplate {
 public:
  JinjaChatTemplate(jinja::Template program, std::optional<jinja::Template> tool_use,
                    std::vector<std::pair<std::string, std::string>> special_tokens, absl::Time time,
                    absl::TimeZone zone)
      : program_(std::move(program)),
        tool_use_(std::move(tool_use)),
        special_tokens_(std::move(special_tokens)),
        time_(time),
        zone_(zone) {}

  absl::StatusOr<RenderedChat> Render(const Json& messages, const Json& tools, bool add_generation_prompt,
                                      const Json& variables) const override {
    if (!messages.is_array()) return Bad("messages is not an array");
    if (!tools.is_null() && !tools.is_array()) return Bad("tools is not an array");
    if (!variables.is_null() && !variables.is_object())
      return Bad("the variables of the template are no object");
    jinja::Variables context;
    const auto add = [&](absl::string_view name, const Json& json) -> absl::Status {
      absl::StatusOr<Value> value = Value::FromJson(json);
      if (!value.ok()) return Annotate(value.status(), name);
      context.values.emplace_back(std::string(name), *std::move(value));
      return absl::OkStatus();
    };
    for (const auto& [name, token] : special_tokens_) context.values.emplace_back(name, Value::String(token));
    if (variables.is_object()) {
      for (const auto& [name, value] : variables.items()) VN_RETURN_IF_ERROR(add(name, value));
    }
    Json normalized = Json::array();
    for (size_t i = 0; i < messages.size(); ++i) {
      VN_ASSIGN_OR_RETURN(Json message, NormalizeMessage(messages[i], i));
      normalized.push_back(std::move(message));
    }
    VN_RETURN_IF_ERROR(add("messages", normalized));
    VN_RETURN_IF_ERROR(add("tools", tools));
    context.values.emplace_back("documents", Value());
    context.values.emplace_back("add_generation_prompt", Value::Bool(add_generation_prompt));
    context.strftime_now = [this](const std::string& format) { return FormatTime(format, time_, zone_); };
    absl::StatusOr<jinja::Output> output =
        jinja::Run(!tools.is_null() && tool_use_.has_value() ? *tool_use_ : program_, context);
    if (!output.ok()) {
      if (absl::StartsWith(output.status().message(), "the chat template")) return output.status();
      return Annotate(output.status(), "chat template");
    }
    RenderedChat chat;
    chat.text = std::move(output->text);
    for (const jinja::GenerationSpan& span : output->generation)
      chat.generation.push_back({span.begin, span.end});
    // Blocks end in order unless one holds another.
    std::stable_sort(chat.generation.begin(), chat.generation.end(),
                     [](const ByteSpan& a, const ByteSpan& b) { return a.begin < b.begin; });
    return chat;
  }

  bool marks_generation() const override {
    return program_.has_generation || (tool_use_.has_value() && tool_use_->has_generation);
  }
  bool uses_time() const override {
    return program_.uses_time || (tool_use_.has_value() && tool_use_->uses_time);
  }

 private:
  const jinja::Template program_;
  const std::optional<jinja::Template> tool_use_;
  const std::vector<std::pair<std::string, std::string>> special_tokens_;
  const absl::Time time_;
  const absl::TimeZone zone_;
};

}  // namespace

absl::StatusOr<ChatTemplateConfig> ReadChatTemplateConfig(absl::string_view json) {
  ChatTemplateConfig config;
  if (json.empty()) return config;
  const Json parsed = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return Bad("tokenizer_config.json: not a JSON object");
  for (const char* name : kSpecialTokens) {
    const auto it = parsed.find(name);
    if (it == parsed.end() || it->is_null()) continue;
    // A plain string, or an added token with its text under "content".
    const auto content = it->is_object() ? it->find("content") : it->end();
    const Json& token = it->is_object() && content != it->end() ? *content : *it;
    if (!token.is_string()) return Bad(absl::StrCat("tokenizer_config.json: ", name, " is no token"));
    config.special_tokens.emplace_back(name, token.get<std::string>());
  }
  const auto it = parsed.find("chat_template");
  if (it == parsed.end() || it->is_null()) return config;
  if (it->is_string()) {
    config.text = it->get<std::string>();
    return config;
  }
  if (!it->is_array()) return Bad("tokenizer_config.json: chat_template is neither a string nor a list");
  for (const Json& entry : *it) {
    if (!entry.is_object() || !entry.contains("name") || !entry.contains("template") ||
        !entry["name"].is_string() || !entry["template"].is_string()) {
      return Bad("tokenizer_config.json: an element of chat_template is no {name, template}");
    }
    if (entry["name"] == "default") config.text = entry["template"].get<std::string>();
    if (entry["name"] == "tool_use") config.tool_use_text = entry["template"].get<std::string>();
  }
  if (config.text.empty()) {
    return Bad("tokenizer_config.json: chat_template is a list without a template named \"default\"");
  }
  return config;
}

bool SpentItsBudget(const absl::Status& status) {
  return absl::StrContains(status.message(), jinja::kSpentMark);
}

absl::StatusOr<std::unique_ptr<const ChatTemplate>> ChatTemplate::Create(
    const ChatTemplateConfig& config, const std::optional<std::string>& time) {
  VN_RETURN_IF_ERROR(CheckSize(config.text));
  VN_RETURN_IF_ERROR(CheckSize(config.tool_use_text));
  absl::Time moment = absl::Now();
  if (time.has_value()) {
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, *time, &moment, &error)) {
      return Bad(
          absl::StrCat("data.template_time = \"", Excerpt(*time, 60), "\" is no RFC 3339 time: ", error));
    }
  }
  absl::StatusOr<jinja::Template> program = jinja::ParseTemplate(config.text);
  if (!program.ok()) return Annotate(program.status(), "chat template");
  std::optional<jinja::Template> tool_use;
  if (!config.tool_use_text.empty()) {
    absl::StatusOr<jinja::Template> parsed = jinja::ParseTemplate(config.tool_use_text);
    if (!parsed.ok()) return Annotate(parsed.status(), "chat template \"tool_use\"");
    tool_use = *std::move(parsed);
  }
  return std::make_unique<JinjaChatTemplate>(*std::move(program), std::move(tool_use), config.special_tokens,
                                             moment, time.has_value() ? ZoneOf(*time) : absl::UTCTimeZone());
}

}  // namespace vernier::data
