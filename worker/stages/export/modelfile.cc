#include "worker/stages/export/modelfile.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "worker/data/text/chat_template.h"

namespace vernier::stages {
namespace {

struct Message {
  const char* role;
  std::string text;
};

std::optional<std::string> Render(const data::ChatTemplate& chat_template,
                                  const std::vector<Message>& messages, bool answers) {
  data::Json json = data::Json::array();
  for (const Message& message : messages) {
    data::Json entry = data::Json::object();
    entry["role"] = message.role;
    entry["content"] = message.text;
    json.push_back(std::move(entry));
  }
  const auto rendered = chat_template.Render(json, nullptr, answers);
  if (!rendered.ok()) return std::nullopt;
  return rendered->text;
}

// What stands around the content of each role's messages, and before an answer.
struct Pieces {
  std::string begin;     // of the conversation
  std::string implicit;  // then, where the first message is not a system's
  std::pair<std::string, std::string> system, user, assistant;
  std::string prompt;

  std::string Write(const std::vector<Message>& messages) const {
    std::string text = begin;
    if (absl::string_view(messages.front().role) != "system") absl::StrAppend(&text, implicit);
    for (const Message& message : messages) {
      const auto& around = absl::string_view(message.role) == "system" ? system
                           : absl::string_view(message.role) == "user" ? user
                                                                       : assistant;
      absl::StrAppend(&text, around.first, message.text, around.second);
    }
    return absl::StrCat(text, prompt);
  }
};

constexpr char kS[] = "Sss.", kU[] = "Uuu?", kA[] = "Aaa!", kV[] = "Vvv?";

// `text` cut at each of `parts`, which come in order; one piece more than parts, or nothing.
std::vector<std::string> CutAt(absl::string_view text, const std::vector<absl::string_view>& parts) {
  std::vector<std::string> pieces;
  for (const absl::string_view part : parts) {
    const size_t at = text.find(part);
    if (at == absl::string_view::npos) return {};
    pieces.emplace_back(text.substr(0, at));
    text.remove_prefix(at + part.size());
  }
  pieces.emplace_back(text);
  return pieces;
}

// The pieces, if conversations are nothing but them. `bos` begins texts; "": nothing does.
std::optional<Pieces> FindPieces(const data::ChatTemplate& chat_template, const std::string& bos) {
  const std::vector<Message> turns = {{"user", kU}, {"assistant", kA}, {"user", kV}};
  const auto long_text = Render(chat_template, turns, true);
  const auto without = Render(chat_template, turns, false);
  const auto system_text = Render(chat_template, {{"system", kS}, {"user", kU}}, true);
  if (!long_text || !without || !system_text || !absl::StartsWith(*long_text, *without)) return std::nullopt;
  const std::vector<std::string> around = CutAt(*without, {kU, kA, kV});
  const std::vector<std::string> system = CutAt(*system_text, {kS, kU});
  if (around.empty() || system.empty()) return std::nullopt;
  Pieces pieces;
  pieces.prompt = long_text->substr(without->size());
  pieces.user.second = around[3];
  if (!absl::StartsWith(around[1], pieces.user.second)) return std::nullopt;
  pieces.assistant.first = around[1].substr(pieces.user.second.size());
  // Between an answer and the next question: the answer's end, then the question's beginning. What begins
  // both questions, the first and the second, is the latter.
  size_t shared = 0;
  while (shared < around[0].size() && shared < around[2].size() &&
         around[0][around[0].size() - 1 - shared] == around[2][around[2].size() - 1 - shared]) {
    ++shared;
  }
  // The user's end closes every message alike; it tells where the assistant's ends.
  const std::string& between = around[2];
  size_t cut = between.size() - shared;
  if (!pieces.user.second.empty() && absl::StartsWith(between, pieces.user.second))
    cut = pieces.user.second.size();
  pieces.assistant.second = between.substr(0, cut);
  pieces.user.first = between.substr(cut);
  if (!absl::EndsWith(around[0], pieces.user.first) || !absl::EndsWith(system[1], pieces.user.first))
    return std::nullopt;
  const std::string begin = around[0].substr(0, around[0].size() - pieces.user.first.size());
  // What differs without a system message is said for one: the default of many templates.
  const bool same = absl::StartsWith(system[0], begin);
  const bool both_begin = absl::StartsWith(system[0], bos) && absl::StartsWith(begin, bos);
  pieces.begin = same ? begin : both_begin ? bos : "";
  pieces.implicit = begin.substr(pieces.begin.size());
  pieces.system = {system[0].substr(pieces.begin.size()),
                   system[1].substr(0, system[1].size() - pieces.user.first.size())};
  for (const std::vector<Message>& messages :
       {std::vector<Message>{{"user", "One"}}, std::vector<Message>{{"system", "Be brief."}, {"user", "Two"}},
        std::vector<Message>{{"system", "Be."},
                             {"user", "a"},
                             {"assistant", "b"},
                             {"user", "c"},
                             {"assistant", "d"},
                             {"user", "e"}}}) {
    const auto rendered = Render(chat_template, messages, true);
    if (!rendered || *rendered != pieces.Write(messages)) return std::nullopt;
  }
  return pieces;
}

// In Go's template language, where braces begin an expression.
std::optional<std::string> GoTemplate(const Pieces& pieces, const std::string& bos) {
  // Ollama puts the token that begins a text itself.
  const std::string begin(absl::StripPrefix(pieces.begin, bos));
  std::string text = begin;
  if (!pieces.implicit.empty()) {
    absl::StrAppend(&text, "{{ if ne (index .Messages 0).Role \"system\" }}", pieces.implicit, "{{ end }}");
  }
  absl::StrAppend(&text, "{{ range .Messages }}");
  const auto role = [&](absl::string_view word, absl::string_view name,
                        const std::pair<std::string, std::string>& around) {
    absl::StrAppend(&text, "{{ ", word, " eq .Role \"", name, "\" }}", around.first, "{{ .Content }}",
                    around.second);
  };
  role("if", "system", pieces.system);
  role("else if", "user", pieces.user);
  role("else if", "assistant", pieces.assistant);
  absl::StrAppend(&text, "{{ end }}{{ end }}", pieces.prompt);
  for (const std::string* piece :
       {&begin, &pieces.implicit, &pieces.system.first, &pieces.system.second, &pieces.user.first,
        &pieces.user.second, &pieces.assistant.first, &pieces.assistant.second, &pieces.prompt}) {
    if (absl::StrContains(*piece, "{{") || absl::StrContains(*piece, "\"\"\"")) return std::nullopt;
  }
  return text;
}

}  // namespace

std::string Modelfile(const HandOver& hand_over, bool lora) {
  std::string text = lora ? "FROM ./base/model.gguf\nADAPTER ./adapter.gguf\n" : "FROM ./model.gguf\n";
  std::optional<std::string> go_template;
  absl::StatusOr<data::ChatTemplateConfig> config =
      data::ReadChatTemplateConfig(hand_over.tokenizer_config_json);
  if (config.ok() && !hand_over.chat_template.empty()) {
    config->text = hand_over.chat_template;
    std::string bos;
    for (const auto& [name, token] : config->special_tokens) {
      if (name == "bos_token" && hand_over.tokenizer->bos_id().has_value()) bos = token;
    }
    const auto chat_template = data::ChatTemplate::Create(*config, std::nullopt);
    std::optional<Pieces> pieces;
    if (chat_template.ok()) pieces = FindPieces(**chat_template, bos);
    if (pieces.has_value()) go_template = GoTemplate(*pieces, bos);
  }
  if (go_template.has_value()) {
    absl::StrAppend(&text, "TEMPLATE \"\"\"", *go_template, "\"\"\"\n");
  } else if (!hand_over.chat_template.empty()) {
    absl::StrAppend(&text,
                    "# The chat template does more than to wrap each message, and has no form in Ollama's "
                    "language here.\n"
                    "# Ollama takes its own for models it knows; compare its prompts with training before "
                    "you rely on it.\n");
  }
  for (const std::string& stop : hand_over.stop_texts) {
    absl::StrAppend(&text, "PARAMETER stop \"", absl::StrReplaceAll(stop, {{"\\", "\\\\"}, {"\"", "\\\""}}),
                    "\"\n");
  }
  return text;
}

}  // namespace vernier::stages
