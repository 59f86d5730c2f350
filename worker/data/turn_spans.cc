#include "worker/data/turn_spans.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/absent_text.h"
#include "worker/data/content_text.h"

namespace vernier::data {
namespace {

// None: the template does not take the conversation.
using MaybeText = std::optional<std::string>;

// Longer than any token that a template writes as one piece ("<|start_header_id|>").
constexpr size_t kMaxMarkerBytes = 64;

size_t CommonPrefix(absl::string_view a, absl::string_view b) {
  const size_t size = std::min(a.size(), b.size());
  size_t at = static_cast<size_t>(std::mismatch(a.begin(), a.begin() + size, b.begin()).first - a.begin());
  // Not inside a character.
  while (at > 0 && at < a.size() && (static_cast<unsigned char>(a[at]) & 0xC0) == 0x80) --at;
  return at;
}

// Two markers ("<|end|>", "<|endoftext|>") may start alike: the start of the marker of `text` that `at` lies
// inside, or `at`.
size_t MarkerStart(absl::string_view text, size_t at) {
  const size_t lowest = at > kMaxMarkerBytes ? at - kMaxMarkerBytes : 0;
  for (size_t begin = at; begin > lowest;) {
    const char c = text[--begin];
    if (c == '>' || c == ']' || absl::ascii_isspace(c)) return at;
    if (c != '<' && c != '[') continue;
    for (size_t end = at; end < text.size() && end - begin < kMaxMarkerBytes; ++end) {
      if (absl::ascii_isspace(text[end]) || text[end] == '<' || text[end] == '[') break;
      if (text[end] == (c == '<' ? '>' : ']')) return begin;
    }
    return at;
  }
  return at;
}

// Where `a` and `b` part, between markers.
size_t Parting(absl::string_view a, absl::string_view b) {
  const size_t at = CommonPrefix(a, b);
  return std::min(MarkerStart(a, at), MarkerStart(b, at));
}

size_t TrimmedSize(absl::string_view text) { return absl::StripTrailingAsciiWhitespace(text).size(); }

std::string RoleOf(const Json& message) {
  const auto role = message.is_object() ? message.find("role") : message.end();
  return role != message.end() && role->is_string() ? role->get<std::string>() : "";
}

// A turn in the conversation that ends with it.
struct OwnTurn {
  std::string text;    // the rendered conversation
  size_t message = 0;  // where its rendering parts from that of the conversation before it
  size_t begin = 0;    // where what the model says starts
  size_t end = 0;      // after its end-of-turn token
};

class TurnFinder {
 public:
  TurnFinder(const ChatTemplate& chat_template, const Json& messages, const Json& tools)
      : template_(chat_template), messages_(messages), tools_(tools) {}

  absl::StatusOr<RenderedConversation> Run(bool last_only) {
    VN_ASSIGN_OR_RETURN(full_, template_.Render(messages_, tools_, false));
    std::vector<size_t> assistants;
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (RoleOf(messages_[i]) == "assistant") assistants.push_back(i);
    }
    const bool marked = !full_.generation.empty();
    if (marked && !assistants.empty()) VN_RETURN_IF_ERROR(AssignMarks(assistants));
    RenderedConversation out;
    for (const size_t i : assistants) {
      if (last_only && i != assistants.back()) continue;
      VN_RETURN_IF_ERROR(CheckShown(i));
      const absl::Status added = marked ? AddMarked(i, &out) : AddFound(i, &out);
      if (!added.ok()) return Annotate(added, absl::StrCat("messages[", i, "]"));
    }
    out.text = std::move(full_.text);
    return out;
  }

 private:
  bool IsLast(size_t i) const { return i + 1 == messages_.size(); }

  // The conversation up to, without, message `count`; then `more`.
  Json Prefix(size_t count, const Json& more = nullptr) const {
    Json prefix = Json::array();
    for (size_t i = 0; i < count; ++i) prefix.push_back(messages_[i]);
    if (!more.is_null()) prefix.push_back(more);
    return prefix;
  }

  // An error when the template did not come to an end: asking it again would cost as much again.
  absl::StatusOr<MaybeText> Try(const Json& messages, bool prompt) const {
    absl::StatusOr<RenderedChat> chat = template_.Render(messages, tools_, prompt);
    if (chat.ok()) return MaybeText(std::move(chat->text));
    if (SpentItsBudget(chat.status())) return chat.status();
    return MaybeText();
  }

  // Nothing that the row says of an answer may go missing unseen: its tool calls, or else its content.
  absl::Status CheckShown(size_t i) const {
    const Json& message = messages_[i];
    const auto calls = message.find("tool_calls");
    const bool has_calls = calls != message.end() && !calls->is_null() && !calls->empty();
    const auto content = message.find("content");
    Json other = message;
    if (has_calls) {
      other.erase("tool_calls");
      if (content == message.end() || content->is_null()) other["content"] = ContentLike(message, "");
    } else {
      const std::string* const text = ContentText(message);
      if (text == nullptr) return absl::OkStatus();
      const absl::string_view trimmed = absl::StripAsciiWhitespace(*text);
      // A text that is there is shown, unless it is so short that it may be there by chance.
      if (trimmed.size() >= 16 && absl::StrContains(full_.text, trimmed)) return absl::OkStatus();
      other["content"] = ContentLike(message, AbsentText(full_.text));
    }
    // Asked of the conversation that ends with the answer: what a template does to it later is another
    // question.
    MaybeText own = full_.text;
    if (!IsLast(i)) {
      VN_ASSIGN_OR_RETURN(own, Try(Prefix(i + 1), false));
    }
    VN_ASSIGN_OR_RETURN(const MaybeText without, Try(Prefix(i, other), false));
    if (!own.has_value() || !without.has_value() || *own != *without) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("messages[", i, "]: the chat template drops the ",
                                                   has_calls ? "tool calls" : "content",
                                                   "; use a template that "
                                                   "shows ",
                                                   has_calls ? "them" : "it", " (data.chat_template)",
                                                   has_calls ? ", or remove tool_calls from the row" : ""));
  }

  // --- templates that mark what the model says ---

  // Which message each span belongs to.
  absl::Status AssignMarks(const std::vector<size_t>& assistants) {
    if (full_.generation.size() == assistants.size()) {
      mark_messages_ = assistants;
      return absl::OkStatus();
    }
    for (const size_t i : assistants) {
      size_t count = full_.generation.size();
      if (!IsLast(i)) {
        absl::StatusOr<RenderedChat> chat = template_.Render(Prefix(i + 1), tools_, false);
        if (!chat.ok()) return Annotate(chat.status(), absl::StrCat("messages up to ", i));
        // Spans up to this message are those of the whole; what closes the shorter conversation is not.
        count = 0;
        while (count < std::min(chat->generation.size(), full_.generation.size()) &&
               SpanText(*chat, count) == SpanText(full_, count)) {
          ++count;
        }
      }
      mark_messages_.resize(std::max(count, mark_messages_.size()), i);
    }
    mark_messages_.resize(full_.generation.size(), assistants.back());
    return absl::OkStatus();
  }

  static absl::string_view SpanText(const RenderedChat& chat, size_t k) {
    return absl::string_view(chat.text).substr(chat.generation[k].begin,
                                               chat.generation[k].end - chat.generation[k].begin);
  }

  std::string MarkedText(const RenderedChat& chat, size_t i) const {
    std::string text;
    for (size_t k = 0; k < std::min(chat.generation.size(), mark_messages_.size()); ++k) {
      if (mark_messages_[k] == i) absl::StrAppend(&text, SpanText(chat, k));
    }
    return text;
  }

  absl::Status AddMarked(size_t i, RenderedConversation* out) const {
    bool rewritten = false;
    if (!IsLast(i)) {
      // A prefix that the template refuses says nothing against the whole.
      const absl::StatusOr<RenderedChat> own = template_.Render(Prefix(i + 1), tools_, false);
      if (SpentItsBudget(own.status())) return own.status();
      rewritten = own.ok() && MarkedText(*own, i) != MarkedText(full_, i);
    }
    bool any = false;
    for (size_t k = 0; k < mark_messages_.size(); ++k) {
      const ByteSpan& span = full_.generation[k];
      if (mark_messages_[k] != i || span.begin == span.end) continue;
      any = true;
      out->turns.push_back({span.begin, span.end, i, rewritten});
    }
    if (any) return absl::OkStatus();
    return absl::InvalidArgumentError("the chat template marks nothing of this turn as generated");
  }

  // --- templates that do not: the turn is where renderings part ---

  // Where in `own` the content starts when the message is nothing but content: no later than there does what
  // the model says start.
  absl::StatusOr<size_t> ContentStart(const std::string& own, size_t i) const {
    const Json plain = {{"role", "assistant"}, {"content", ContentLike(messages_[i], AbsentText(own))}};
    VN_ASSIGN_OR_RETURN(const MaybeText other, Try(Prefix(i, plain), false));
    return other.has_value() ? CommonPrefix(own, *other) : own.size();
  }

  // Where what the model says starts: after the generation prompt, as far as the turn is rendered with it.
  absl::StatusOr<size_t> Begin(const OwnTurn& turn, const MaybeText& before, const MaybeText& prompt,
                               size_t i) const {
    const std::string& own = turn.text;
    const bool prompted = before.has_value() && prompt.has_value() && *before != *prompt;
    if (prompted && absl::StartsWith(own, *prompt)) return prompt->size();
    VN_ASSIGN_OR_RETURN(const size_t content, ContentStart(own, i));
    if (prompted && absl::StartsWith(*prompt, *before)) {
      // The conversation before is rendered otherwise now that it goes on; its prompt is the same.
      const absl::string_view cue = absl::string_view(*prompt).substr(before->size());
      if (content >= cue.size()) {
        const size_t at = own.rfind(std::string(cue), content - cue.size());
        if (at != std::string::npos && at >= turn.message) return at + cue.size();
      }
    }
    if (prompted) {
      // The prompt goes on otherwise than the turn, say with "<think>": what they share is given.
      const size_t at = Parting(*prompt, own);
      if (at >= before->size()) return std::min(at, content);
    }
    // No prompt: the header ends where the content starts. Blanks before it are the model's: they are in its
    // first token.
    size_t begin = content;
    while (begin > turn.message && own[begin - 1] == ' ') --begin;
    return begin;
  }

  absl::StatusOr<OwnTurn> FindOwn(size_t i) const {
    OwnTurn turn;
    if (IsLast(i)) {
      turn.text = full_.text;
    } else {
      VN_ASSIGN_OR_RETURN(RenderedChat chat, template_.Render(Prefix(i + 1), tools_, false));
      turn.text = std::move(chat.text);
    }
    const std::string& own = turn.text;
    VN_ASSIGN_OR_RETURN(const MaybeText before, Try(Prefix(i), false));
    VN_ASSIGN_OR_RETURN(const MaybeText prompt, Try(Prefix(i), true));
    if (before.has_value()) turn.message = Parting(*before, own);
    VN_ASSIGN_OR_RETURN(turn.begin, Begin(turn, before, prompt, i));
    turn.end = TrimmedSize(own);
    // Some templates close the whole conversation (Phi-3: "<|endoftext|>"); that is not of this turn. It is
    // what goes away when the conversation goes on and stands after other messages too.
    MaybeText next = full_.text;
    if (IsLast(i)) {
      const Json question = {{"role", "user"}, {"content", ContentLike(messages_[i], "x")}};
      VN_ASSIGN_OR_RETURN(next, Try(Prefix(i + 1, question), false));
    }
    if (next.has_value() && before.has_value()) {
      const size_t parting = Parting(own, *next);
      if (parting < turn.end && parting >= turn.begin && absl::EndsWith(*before, own.substr(parting))) {
        turn.end = TrimmedSize(absl::string_view(own).substr(0, parting));
      }
    }
    if (turn.begin >= turn.end) {
      return absl::InvalidArgumentError("the chat template shows nothing of this turn");
    }
    return turn;
  }

  absl::Status AddFound(size_t i, RenderedConversation* out) {
    VN_ASSIGN_OR_RETURN(const OwnTurn turn, FindOwn(i));
    size_t shift = 0;  // of the turn in the whole conversation; wraps around when it moves to the front
    if (!absl::StartsWith(full_.text, absl::string_view(turn.text).substr(0, turn.end))) {
      // A change before the message moves it (tools that go to the last user message); one in it rewrites it.
      const size_t at =
          CommonPrefix(turn.text, full_.text) >= turn.message
              ? std::string::npos
              : full_.text.find(turn.text.substr(turn.message, turn.end - turn.message), found_);
      if (at == std::string::npos) {
        out->turns.push_back({found_, found_, i, /*rewritten=*/true});
        return absl::OkStatus();
      }
      shift = at - turn.message;
    }
    out->turns.push_back({turn.begin + shift, turn.end + shift, i, /*rewritten=*/false});
    found_ = turn.end + shift;
    return absl::OkStatus();
  }

  const ChatTemplate& template_;
  const Json& messages_;
  const Json& tools_;
  RenderedChat full_;
  std::vector<size_t> mark_messages_;  // of full_.generation
  size_t found_ = 0;                   // end of the last turn found
};

}  // namespace

absl::StatusOr<RenderedConversation> RenderWithTurns(const ChatTemplate& chat_template, const Json& messages,
                                                     const Json& tools, bool last_only) {
  return TurnFinder(chat_template, messages, tools).Run(last_only);
}

absl::StatusOr<std::string> ImplicitSystemPrompt(const ChatTemplate& chat_template, const Json& messages,
                                                 const Json& tools) {
  if (messages.empty()) return "";
  const std::string role = RoleOf(messages[0]);
  if (role == "system" || role == "developer") return "";
  // The first message alone shows it.
  const absl::StatusOr<RenderedChat> without = chat_template.Render(Json::array({messages[0]}), tools, false);
  if (SpentItsBudget(without.status())) return without.status();
  if (!without.ok()) return "";
  const std::string mark = AbsentText(without->text);
  const Json system = {{"role", "system"}, {"content", ContentLike(messages[0], mark)}};
  const absl::StatusOr<RenderedChat> with =
      chat_template.Render(Json::array({system, messages[0]}), tools, false);
  if (SpentItsBudget(with.status())) return with.status();
  if (!with.ok()) return "";
  const size_t at = with->text.find(mark);
  if (at == std::string::npos) return "";
  const absl::string_view after = absl::string_view(with->text).substr(at + mark.size());
  const absl::string_view text = without->text;
  if (text.size() < at + after.size() || text.substr(0, at) != with->text.substr(0, at) ||
      !absl::EndsWith(text, after)) {
    return "";
  }
  return std::string(absl::StripAsciiWhitespace(text.substr(at, text.size() - at - after.size())));
}

}  // namespace vernier::data
