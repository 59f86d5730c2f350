// Where the assistant turns lie in a rendered conversation. docs/masks.md says what a turn is and how it is
// found.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/codec.h"
#include "worker/data/text/chat_template.h"

namespace vernier::data {

// Renders a conversation and finds its turns. `tools`: an array, or null. `last_only`: the last assistant
// turn only. InvalidArgument: the template refuses the conversation, shows nothing of a turn, drops its tool
// calls, hides where a turn is, or does not come to an end with a part of it (SpentItsBudget). Thread-safe.
absl::StatusOr<RenderedConversation> RenderWithTurns(const ChatTemplate& chat_template, const Json& messages,
                                                     const Json& tools, bool last_only);

// What the template says for a system message when `messages` starts with none; "" = nothing.
// InvalidArgument: it did not come to an end (SpentItsBudget).
absl::StatusOr<std::string> ImplicitSystemPrompt(const ChatTemplate& chat_template, const Json& messages,
                                                 const Json& tools);

}  // namespace vernier::data
