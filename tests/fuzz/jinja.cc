// Chat templates: parsed and run over a conversation with tools. Errors are refusals; limits end what would
// not end.
#include <cstddef>
#include <cstdint>

#include "common/check.h"
#include "worker/data/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vernier::data::Json;
  static const auto& messages = *new Json(Json::parse(
      R"([{"role":"system","content":"s"},{"role":"user","content":"a\n<b>"},{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":{"x":1.5,"y":[null,true]}}}]},{"role":"tool","content":"r"},{"role":"assistant","content":"caf\u00e9","reasoning_content":"t"}])"));
  static const auto& tools = *new Json(Json::parse(
      R"([{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}])"));
  vernier::data::ChatTemplateConfig config;
  config.text.assign(reinterpret_cast<const char*>(data), size);
  config.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  const auto chat = vernier::data::ChatTemplate::Create(config, "2026-01-31T12:00:00Z");
  if (!chat.ok()) {
    VN_CHECK(absl::IsInvalidArgument(chat.status()));
    return 0;
  }
  const auto rendered = (*chat)->Render(messages, tools, true);
  if (!rendered.ok()) {
    VN_CHECK(absl::IsInvalidArgument(rendered.status()));
    return 0;
  }
  size_t at = 0;
  for (const vernier::data::ByteSpan& span : rendered->generation) {
    VN_CHECK(at <= span.begin && span.begin <= span.end && span.end <= rendered->text.size());
    at = span.end;
  }
  return 0;
}
