// The reasoning of an answer: where its message has it, and where a template puts it. docs/masks.md says what
// counts.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/rows.h"
#include "worker/data/text/chat_template.h"

namespace vernier::data {

// What stands around reasoning in the content of a message.
struct ReasoningMarks {
  std::string open = "<think>";
  std::string close = "</think>";
  // Content may begin inside: the template opens the reasoning itself.
  bool may_be_open = false;
};

// The marks that the template writes around `reasoning_content`, when it shows that; else those above.
ReasoningMarks FindReasoningMarks(const ChatTemplate& chat_template);

// Whether an assistant message has reasoning: in a field, or at the start of its content between `marks` or,
// if those are others, between <think> and </think>. Content is text or one part of it.
bool HasReasoning(const Json& message, const ReasoningMarks& marks);
// Whether its content does so without an opening mark (may_be_open).
bool BeginsInReasoning(const Json& message, const ReasoningMarks& marks);
// The message with `text` in place of its reasoning, white space around it as it was. None: it is no
// assistant message, or has no reasoning.
std::optional<Json> ReplaceReasoning(const Json& message, const ReasoningMarks& marks,
                                     absl::string_view text);
// The message as if it had never had reasoning.
Json DropReasoning(const Json& message, const ReasoningMarks& marks);

// The bytes of `rendered`, which is `messages` rendered, that are the reasoning of message `index`: those
// that change with it. None: the message has none; an empty span: the template leaves it out.
// InvalidArgument: it is in several places, or the text around it changes with it too.
absl::StatusOr<std::optional<ByteSpan>> FindReasoning(const ChatTemplate& chat_template, const Json& messages,
                                                      const Json& tools, const std::string& rendered,
                                                      size_t index, const ReasoningMarks& marks);

}  // namespace vernier::data
