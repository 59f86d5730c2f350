// How a conversation is shown to a chat template that does not take it as rows have it. Templates disagree:
// some print the arguments of a call as they stand and fail on objects (DeepSeek), some cannot do without
// content beside tool calls (gpt-oss). Rows of both kinds of writing become one (messages.h); here the
// template decides how it sees them.
#pragma once

#include <vector>

#include "worker/data/rows.h"
#include "worker/data/text/chat_template.h"

namespace vernier::data {

bool HasToolCalls(const Json& messages);

// Other ways to show `messages`, in the order to try them: with empty content instead of null, with the
// arguments as JSON text (as Python writes it), with both.
std::vector<Json> OtherToolCallStyles(const Json& messages);

// Whether the template shows content only when it is an array of parts, as templates of models for images do.
bool WantsParts(const ChatTemplate& chat_template);
// Makes content that is text an array of one part.
void ContentInParts(Json& messages);

}  // namespace vernier::data
