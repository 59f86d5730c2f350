#include "tests/golden/worker_templates/goldens.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "tests/testing/cached_inputs.h"

namespace vernier::data {
namespace {

constexpr int64_t kMaxBytes = int64_t{64} << 20;
constexpr char kFolder[] = VERNIER_SOURCE_DIR "/tests/golden/worker_templates/";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

TemplateGoldens::TemplateGoldens() {
  const std::string other = Environment("VERNIER_TEMPLATE_GOLDENS");
  const absl::StatusOr<std::string> text =
      ReadFile(other.empty() ? absl::StrCat(kFolder, "goldens.json") : other, kMaxBytes);
  VN_CHECK_OK(text.status());
  json_ = Json::parse(*text);
}

const TemplateGoldens& TemplateGoldens::Get() {
  static const auto* const kGoldens = new TemplateGoldens();
  return *kGoldens;
}

std::vector<std::string> TemplateGoldens::TemplateNames() const {
  std::vector<std::string> names;
  for (const auto& [name, unused] : json_["templates"].items()) names.push_back(name);
  return names;
}

Json TemplateGoldens::Messages(const std::string& conversation) const {
  return json_["conversations"][conversation]["messages"];
}

Json TemplateGoldens::Tools(const std::string& conversation) const {
  return json_["conversations"][conversation]["tools"].get<bool>() ? json_["tools"] : Json();
}

absl::StatusOr<std::string> TemplateGoldens::TemplateText(const std::string& name) const {
  if (name == "smollm2") return ReadFile(absl::StrCat(kFolder, "smollm2.jinja"), kMaxBytes);
  return ReadFile(absl::StrCat(CacheFolder(), "/trl-1.16.0/trl/chat_templates/", name, ".jinja"), kMaxBytes);
}

absl::StatusOr<std::unique_ptr<const ChatTemplate>> TemplateGoldens::Compile(const std::string& name) const {
  ChatTemplateConfig config;
  VN_ASSIGN_OR_RETURN(config.text, TemplateText(name));
  for (const auto& [token, text] : json_["special_tokens"].items()) {
    config.special_tokens.emplace_back(token, text.get<std::string>());
  }
  return ChatTemplate::Create(config, json_["time"].get<std::string>());
}

}  // namespace vernier::data
