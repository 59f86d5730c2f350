// A model's chat template: messages -> the text that the model sees. Renders exactly as `transformers` does
// (tests/golden/worker_templates): Jinja in its immutable sandbox with trim_blocks, lstrip_blocks, break and
// continue, `generation` blocks, raise_exception, strftime_now and its own tojson.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace vernier::data {

// Keeps the order of keys, which templates show to the model (tool schemas).
using Json = nlohmann::ordered_json;

// A template is at most this large.
inline constexpr int64_t kMaxTemplateBytes = int64_t{1} << 20;

// What tokenizer_config.json says about chat templates.
struct ChatTemplateConfig {
  std::string text;           // "" = none
  std::string tool_use_text;  // used instead when there are tools; "" = none
  // bos_token, eos_token, ...: what templates call by these names.
  std::vector<std::pair<std::string, std::string>> special_tokens;
};

// `json` may be "". InvalidArgument: malformed; a list of named templates without "default".
absl::StatusOr<ChatTemplateConfig> ReadChatTemplateConfig(absl::string_view json);

// Bytes [begin, end) of a rendered text.
struct ByteSpan {
  size_t begin = 0, end = 0;
};

struct RenderedChat {
  std::string text;
  std::vector<ByteSpan> generation;  // what the template's generation blocks wrote, in order
};

// Whether `status`, of a render, says that it was ended because it took too long.
bool SpentItsBudget(const absl::Status& status);

// Immutable, thread-safe.
class ChatTemplate {
 public:
  // `time` is what strftime_now sees, RFC 3339, in its own offset; the time of this call when unset.
  // InvalidArgument: "chat template: line 3: ..." for a syntax error or a construct that is not supported; a
  // bad time.
  static absl::StatusOr<std::unique_ptr<const ChatTemplate>> Create(const ChatTemplateConfig& config,
                                                                    const std::optional<std::string>& time);
  virtual ~ChatTemplate() = default;

  // `messages` is an array of objects. Keys whose value is null are left out, and reasoning is passed under
  // each of the names that templates know (reasoning_content, thinking), as `transformers` does. `tools`: an
  // array, or null. `variables`: an object with more variables for the template (enable_thinking ...), or
  // null. InvalidArgument: what the template raised, an error in it, a limit (jinja_value.h); SpentItsBudget
  // tells that it did not come to an end.
  virtual absl::StatusOr<RenderedChat> Render(const Json& messages, const Json& tools,
                                              bool add_generation_prompt,
                                              const Json& variables = nullptr) const = 0;
  // Whether it has generation blocks.
  virtual bool marks_generation() const = 0;
  // Whether it calls strftime_now.
  virtual bool uses_time() const = 0;
};

}  // namespace vernier::data
