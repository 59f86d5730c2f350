#include "worker/data/codec.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/content_text.h"
#include "worker/data/messages.h"
#include "worker/data/reasoning.h"
#include "worker/data/text/chat_template.h"
#include "worker/data/tool_call_style.h"
#include "worker/data/turn_spans.h"

namespace vernier::data {
namespace {

class TemplateCodec final : public ModelCodec {
 public:
  TemplateCodec(std::unique_ptr<const Tokenizer> tokenizer, std::unique_ptr<const ChatTemplate> chat_template,
                v1::Turns turns, v1::Reasoning reasoning)
      : tokenizer_(std::move(tokenizer)),
        template_(std::move(chat_template)),
        marks_(template_ != nullptr ? FindReasoningMarks(*template_) : ReasoningMarks()),
        wants_parts_(template_ != nullptr && WantsParts(*template_)),
        last_only_(turns == v1::TURNS_LAST || turns == v1::TURNS_EXPAND),
        reasoning_(reasoning) {}

  absl::Status DropReasoning(Row& row) const override {
    if (reasoning_ != v1::REASONING_DROP || row.format != RowFormat::kMessages) return absl::OkStatus();
    for (size_t i = 0; i < row.messages.size(); ++i) {
      Message& message = row.messages[i];
      const bool has = HasReasoning(message.object, marks_);
      if (has) {
        AddRemark(BeginsInReasoning(message.object, marks_)
                      ? "content that began without the opening mark of reasoning was taken out up to the "
                        "closing one "
                        "(data.reasoning: drop)"
                      : "reasoning was taken out (data.reasoning: drop)",
                  &row.remarks);
      }
      // Empty fields go too.
      message.object = data::DropReasoning(message.object, marks_);
      if (!has) continue;
      const std::string* const content = ContentText(message.object);
      message.content = content != nullptr ? *content : "";
      if (message.weight > 0 && absl::StripAsciiWhitespace(message.content).empty() && !CallsTools(message)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "messages[", i,
            "]: it is reasoning and nothing else, so data.reasoning: drop leaves no answer; add one, "
            "or give it weight 0"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<RenderedConversation> Render(const Row& row) const override {
    VN_RETURN_IF_ERROR(CheckTemplate());
    Json messages = Json::array();
    for (const Message& message : row.messages) {
      messages.push_back(message.object);
      messages.back().erase("weight");  // ours; no part of a conversation
    }
    if (wants_parts_) ContentInParts(messages);
    VN_RETURN_IF_ERROR(ChooseToolCallStyle(row.tools, messages));
    VN_ASSIGN_OR_RETURN(RenderedConversation rendered,
                        RenderWithTurns(*template_, messages, row.tools, last_only_));
    if (reasoning_ == v1::REASONING_MASK) {
      VN_RETURN_IF_ERROR(MaskReasoning(row, messages, rendered));
    } else if (reasoning_ != v1::REASONING_DROP) {
      VN_ASSIGN_OR_RETURN(rendered.hides_reasoning, HidesReasoning(row, messages, rendered));
    }
    VN_ASSIGN_OR_RETURN(rendered.implicit_system_prompt,
                        ImplicitSystemPrompt(*template_, messages, row.tools));
    return rendered;
  }

  absl::StatusOr<std::string> RenderPrompt(const Json& messages) const override {
    VN_RETURN_IF_ERROR(CheckTemplate());
    Json shown = messages;
    if (wants_parts_) ContentInParts(shown);
    VN_ASSIGN_OR_RETURN(RenderedChat chat, template_->Render(shown, nullptr, /*add_generation_prompt=*/true));
    return std::move(chat.text);
  }

  absl::StatusOr<TokenizedText> Tokenize(absl::string_view text) const override {
    return tokenizer_->Encode(text);
  }
  std::optional<int32_t> bos_id() const override { return tokenizer_->bos_id(); }
  std::optional<int32_t> eos_id() const override { return tokenizer_->eos_id(); }
  int64_t vocab_size() const override { return tokenizer_->vocab_size(); }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }

 private:
  // Leaves the messages as they are when the template takes them so, or in no other style either.
  // InvalidArgument: it does not come to an end with one (SpentItsBudget).
  absl::Status ChooseToolCallStyle(const Json& tools, Json& messages) const {
    if (!HasToolCalls(messages)) return absl::OkStatus();
    const absl::Status given = template_->Render(messages, tools, false).status();
    if (given.ok() || SpentItsBudget(given)) return given;
    for (Json& style : OtherToolCallStyles(messages)) {
      const absl::Status status = template_->Render(style, tools, false).status();
      if (SpentItsBudget(status)) return status;
      if (!status.ok()) continue;
      messages = std::move(style);
      return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  absl::Status MaskReasoning(const Row& row, const Json& messages, RenderedConversation& rendered) const {
    const TurnSpan* before = nullptr;
    for (TurnSpan& turn : rendered.turns) {
      // A message that the template marks may have several spans.
      const bool seen = before != nullptr && before->message == turn.message;
      before = &turn;
      if (seen || row.messages[turn.message].weight <= 0) continue;
      const absl::StatusOr<std::optional<ByteSpan>> span =
          FindReasoning(*template_, messages, row.tools, rendered.text, turn.message, marks_);
      if (SpentItsBudget(span.status())) return span.status();
      turn.unmaskable = span.status();
      if (!span.ok() || !span->has_value()) continue;
      const bool hidden = (*span)->begin == (*span)->end;
      if (!hidden) rendered.reasoning.push_back(**span);
      // Of a turn that is rewritten nothing else is to be expected.
      if (!turn.rewritten) rendered.hides_reasoning |= hidden;
    }
    return absl::OkStatus();
  }

  // Whether the last trained turn with reasoning is shown without it; that one stands for all.
  absl::StatusOr<bool> HidesReasoning(const Row& row, const Json& messages,
                                      const RenderedConversation& rendered) const {
    for (auto turn = rendered.turns.rbegin(); turn != rendered.turns.rend(); ++turn) {
      if (turn->rewritten || row.messages[turn->message].weight <= 0) continue;
      const auto span = FindReasoning(*template_, messages, row.tools, rendered.text, turn->message, marks_);
      if (SpentItsBudget(span.status())) return span.status();
      if (span.ok() && !span->has_value()) continue;
      return span.ok() && (*span)->begin == (*span)->end;
    }
    return false;
  }

  absl::Status CheckTemplate() const {
    if (template_ != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "the model has no chat template, so rows of messages cannot be rendered; set data.chat_template, or "
        "use rows of "
        "prompt and completion");
  }

  const std::unique_ptr<const Tokenizer> tokenizer_;
  const std::unique_ptr<const ChatTemplate> template_;  // null: the model has none
  const ReasoningMarks marks_;
  const bool wants_parts_;
  const bool last_only_;
  const v1::Reasoning reasoning_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelCodec>> CreateCodec(const CodecFiles& files, std::string* template_text) {
  VN_ASSIGN_OR_RETURN(std::unique_ptr<const Tokenizer> tokenizer,
                      Tokenizer::Create(files.tokenizer_json, files.tokenizer_config_json));
  VN_ASSIGN_OR_RETURN(ChatTemplateConfig config, ReadChatTemplateConfig(files.tokenizer_config_json));
  if (files.chat_template_override.has_value()) {
    config.text = *files.chat_template_override;
    config.tool_use_text.clear();
  }
  if (template_text != nullptr) {
    *template_text = config.text;
    if (!config.tool_use_text.empty())
      absl::StrAppend(template_text, "\n{# with tools: #}\n", config.tool_use_text);
  }
  std::unique_ptr<const ChatTemplate> chat_template;
  if (!config.text.empty()) {
    VN_ASSIGN_OR_RETURN(chat_template, ChatTemplate::Create(config, files.template_time));
  }
  return std::make_unique<TemplateCodec>(std::move(tokenizer), std::move(chat_template), files.turns,
                                         files.reasoning);
}

}  // namespace vernier::data
