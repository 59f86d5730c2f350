#include "worker/data/text/tokenizer_json_writer.h"

#include <utility>

namespace vernier::data {

std::string JsonString(absl::string_view text) { return OrderedJson(std::string(text)).dump(); }

OrderedJson BosTemplateJson(const std::string& bos, int64_t id) {
  const auto special = [&](int type) {
    return OrderedJson{{"SpecialToken", {{"id", bos}, {"type_id", type}}}};
  };
  const auto text = [](const char* name, int type) {
    return OrderedJson{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  return OrderedJson{
      {"type", "TemplateProcessing"},
      {"single", OrderedJson::array({special(0), text("A", 0)})},
      {"pair", OrderedJson::array({special(0), text("A", 0), special(1), text("B", 1)})},
      {"special_tokens",
       {{bos, {{"id", bos}, {"ids", OrderedJson::array({id})}, {"tokens", OrderedJson::array({bos})}}}}}};
}

OrderedJson AddedTokenEntry(int64_t id, absl::string_view content, bool special) {
  return {{"id", id},
          {"content", std::string(content)},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false},
          {"normalized", false},
          {"special", special}};
}

OrderedJson StepsJson(OrderedJson steps, absl::string_view member) {
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {std::string(member), std::move(steps)}};
}

}  // namespace vernier::data
