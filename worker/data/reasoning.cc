#include "worker/data/reasoning.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/absent_text.h"
#include "worker/data/content_text.h"

namespace vernier::data {
namespace {

constexpr std::array<const char*, 3> kFields = {"reasoning_content", "thinking", "reasoning"};
constexpr size_t kMaxMarkBytes = 64;

bool IsShown(absl::string_view text) { return !absl::StripAsciiWhitespace(text).empty(); }

// A string field that has something to say.
bool HasText(const Json& message, const char* field) {
  const auto it = message.find(field);
  return it != message.end() && it->is_string() && IsShown(it->get_ref<const std::string&>());
}

// "<think>", "[/THINK]", "<|channel>": one mark and nothing else.
bool IsOneMark(absl::string_view text) {
  if (text.size() < 3 || text.size() > kMaxMarkBytes) return false;
  const char end = text.front() == '<' ? '>' : text.front() == '[' ? ']' : '\0';
  return end != '\0' && text.find_first_of(">] \t\r\n") == text.size() - 1 && text.back() == end &&
         text.find_first_of("<[", 1) == absl::string_view::npos;
}

// The mark that ends `text`, or "".
absl::string_view LastMark(absl::string_view text) {
  text = absl::StripTrailingAsciiWhitespace(text);
  const size_t begin = text.find_last_of("<[");
  if (begin == absl::string_view::npos || !IsOneMark(text.substr(begin))) return "";
  return text.substr(begin);
}

// `text` with the part of it that is not white space at its ends replaced.
std::string ReplaceCore(absl::string_view text, absl::string_view core) {
  const absl::string_view old = absl::StripAsciiWhitespace(text);
  const size_t at = static_cast<size_t>(old.data() - text.data());
  return absl::StrCat(text.substr(0, at), core, text.substr(at + old.size()));
}

// Content that starts with reasoning, taken apart: together its parts are the content.
struct ContentSplit {
  absl::string_view open, reasoning, close, answer;
};

std::optional<ContentSplit> SplitAt(absl::string_view content, const ReasoningMarks& marks) {
  const size_t close = content.find(marks.close);
  if (close == absl::string_view::npos) return std::nullopt;
  const absl::string_view before = content.substr(0, close);
  const bool opened = absl::StartsWith(absl::StripLeadingAsciiWhitespace(before), marks.open);
  if (!opened && !marks.may_be_open) return std::nullopt;
  const size_t begin = opened ? before.find(marks.open) + marks.open.size() : 0;
  ContentSplit split{.open = before.substr(0, begin),
                     .reasoning = before.substr(begin),
                     .close = content.substr(close, marks.close.size()),
                     .answer = content.substr(close + marks.close.size())};
  if (!IsShown(split.reasoning)) return std::nullopt;
  return split;
}

// Lives as long as `message`.
std::optional<ContentSplit> SplitContent(const Json& message, const ReasoningMarks& marks) {
  const std::string* const content = ContentText(message);
  if (content == nullptr) return std::nullopt;
  std::optional<ContentSplit> split = SplitAt(*content, marks);
  // Data is seldom written for one template: most has these marks, whatever those of the template are.
  const ReasoningMarks usual;
  if (!split && marks.open != usual.open) split = SplitAt(*content, usual);
  return split;
}

bool IsAnswer(const Json& message) {
  if (!message.is_object()) return false;
  const auto role = message.find("role");
  return role != message.end() && *role == "assistant";
}

}  // namespace

ReasoningMarks FindReasoningMarks(const ChatTemplate& chat_template) {
  ReasoningMarks marks;
  const Json user = {{"role", "user"}, {"content", "x"}};
  const std::string reasoning = AbsentText(""), answer = AbsentText(reasoning);
  const absl::StatusOr<RenderedChat> prompt = chat_template.Render(Json::array({user}), nullptr, true);
  marks.may_be_open =
      prompt.ok() && absl::EndsWith(absl::StripTrailingAsciiWhitespace(prompt->text), marks.open);
  const absl::StatusOr<RenderedChat> chat = chat_template.Render(
      Json::array({user, {{"role", "assistant"}, {"content", answer}, {"reasoning_content", reasoning}}}),
      nullptr, false);
  if (!chat.ok()) return marks;
  const absl::string_view text = chat->text;
  const size_t begin = text.find(reasoning), end = text.find(answer);
  if (begin == absl::string_view::npos || end == absl::string_view::npos || end < begin) return marks;
  const absl::string_view open = LastMark(text.substr(0, begin));
  const absl::string_view between =
      absl::StripAsciiWhitespace(text.substr(begin + reasoning.size(), end - begin - reasoning.size()));
  // Channels and the like are no marks that content could have.
  if (open.empty() || !IsOneMark(between)) return marks;
  return {.open = std::string(open), .close = std::string(between), .may_be_open = true};
}

bool HasReasoning(const Json& message, const ReasoningMarks& marks) {
  if (!IsAnswer(message)) return false;
  const bool in_field =
      std::any_of(kFields.begin(), kFields.end(), [&](const char* field) { return HasText(message, field); });
  return in_field || SplitContent(message, marks).has_value();
}

bool BeginsInReasoning(const Json& message, const ReasoningMarks& marks) {
  if (!IsAnswer(message)) return false;
  const std::optional<ContentSplit> split = SplitContent(message, marks);
  return split && split->open.empty();
}

std::optional<Json> ReplaceReasoning(const Json& message, const ReasoningMarks& marks,
                                     absl::string_view text) {
  if (!IsAnswer(message)) return std::nullopt;
  std::optional<Json> other;
  for (const char* field : kFields) {
    if (!HasText(message, field)) continue;
    if (!other) other = message;
    (*other)[field] = ReplaceCore(message[field].get_ref<const std::string&>(), text);
  }
  if (other) return other;
  const std::optional<ContentSplit> split = SplitContent(message, marks);
  if (!split) return std::nullopt;
  other = message;
  (*other)["content"] = ContentLike(
      message, absl::StrCat(split->open, ReplaceCore(split->reasoning, text), split->close, split->answer));
  return other;
}

Json DropReasoning(const Json& message, const ReasoningMarks& marks) {
  Json other = message;
  if (!IsAnswer(message)) return other;
  for (const char* field : kFields) other.erase(field);
  if (const std::optional<ContentSplit> split = SplitContent(message, marks)) {
    other["content"] = ContentLike(message, std::string(absl::StripLeadingAsciiWhitespace(split->answer)));
  }
  return other;
}

absl::StatusOr<std::optional<ByteSpan>> FindReasoning(const ChatTemplate& chat_template, const Json& messages,
                                                      const Json& tools, const std::string& rendered,
                                                      size_t index, const ReasoningMarks& marks) {
  // Looking for a mark takes a walk over the text.
  if (!HasReasoning(messages[index], marks)) return std::nullopt;
  const std::string mark = AbsentText(rendered);
  std::optional<Json> other = ReplaceReasoning(messages[index], marks, mark);
  if (!other) return std::nullopt;
  Json changed = messages;
  changed[index] = *std::move(other);
  VN_ASSIGN_OR_RETURN(const RenderedChat chat, chat_template.Render(changed, tools, false));
  const absl::string_view text = chat.text, whole = rendered;
  const size_t begin = text.find(mark);
  if (begin == absl::string_view::npos) return ByteSpan{0, 0};
  const absl::string_view after = text.substr(begin + mark.size());
  if (absl::StrContains(after, mark) || begin + after.size() > whole.size() ||
      whole.substr(0, begin) != text.substr(0, begin) || !absl::EndsWith(whole, after)) {
    return absl::InvalidArgumentError(
        absl::StrCat("messages[", index,
                     "]: the chat template shows the reasoning of this turn in several places, or other text "
                     "with it, so where it is cannot be told; set data.reasoning: train or drop"));
  }
  return ByteSpan{begin, whole.size() - after.size()};
}

}  // namespace vernier::data
