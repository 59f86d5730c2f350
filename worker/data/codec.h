// What preparing needs of a model: its chat template and its tokenizer, behind one small interface.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/rows.h"
#include "worker/data/text/chat_template.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {

// Bytes of a rendered conversation that belong to one assistant turn, its end-of-turn token included.
struct TurnSpan {
  size_t begin = 0, end = 0;  // [begin, end) in the text
  size_t message = 0;         // index of the message
  // The template shows the turn otherwise than when the model said it (its thinking stripped, another end):
  // training it would teach what the model is never asked. Empty unless the template marks its place.
  bool rewritten = false;
  // Why its reasoning cannot be masked (REASONING_MASK): an error if the turn is trained.
  absl::Status unmaskable = absl::OkStatus();
};

struct RenderedConversation {
  std::string text;
  std::vector<TurnSpan> turns;  // of assistant messages, in order; a marked message may have several
  // The text of reasoning inside the turns that must weigh nothing, in order (REASONING_MASK).
  std::vector<ByteSpan> reasoning;
  bool hides_reasoning = false;  // the template leaves out reasoning of one of the turns
  // Text that the template adds when there is no system message; "" = none.
  std::string implicit_system_prompt;
};

// Immutable, thread-safe.
class Codec {
 public:
  virtual ~Codec() = default;
  // Of a codec made with REASONING_DROP: takes the reasoning out of the messages of a row, as if they had
  // never had it, with a remark. Before anything else is done with the row. InvalidArgument: nothing is left
  // of an answer that is trained.
  virtual absl::Status DropReasoning(Row& /*row*/) const { return absl::OkStatus(); }
  // Renders a row of messages with every turn's span; only the last turn's when the codec was made with
  // TURNS_LAST or TURNS_EXPAND. InvalidArgument: the template refuses the row, or shows nothing of a turn;
  // FailedPrecondition: the model has no template.
  virtual absl::StatusOr<RenderedConversation> Render(const Row& row) const = 0;
  // What a model is given to answer `messages` (an array of {role, content}): rendered with the generation
  // prompt. Errors as Render.
  virtual absl::StatusOr<std::string> RenderPrompt(const Json& messages) const = 0;
  // Special tokens inside the text are parsed; none is added.
  virtual absl::StatusOr<TokenizedText> Tokenize(absl::string_view text) const = 0;
  // Put before texts and prompts that no template renders; nothing when the tokenizer adds none.
  virtual std::optional<int32_t> bos_id() const = 0;
  // Appended to texts and completions.
  virtual std::optional<int32_t> eos_id() const = 0;
  virtual int64_t vocab_size() const = 0;
};

// The codec of a model's own files.
class ModelCodec : public Codec {
 public:
  virtual const Tokenizer& tokenizer() const = 0;
};

struct CodecFiles {
  std::string tokenizer_json;
  std::string tokenizer_config_json;                  // "" = the model has none
  std::optional<std::string> chat_template_override;  // data.chat_template
  std::optional<std::string> template_time;           // RFC 3339, what strftime_now sees
  v1::Turns turns = v1::TURNS_UNSPECIFIED;
  v1::Reasoning reasoning = v1::REASONING_UNSPECIFIED;
};

// The codec of a model. `*template_text`, when asked for, gets the template in use ("" = none).
// InvalidArgument: a file or the template is malformed.
absl::StatusOr<std::unique_ptr<ModelCodec>> CreateCodec(const CodecFiles& files, std::string* template_text);

}  // namespace vernier::data
