#include "worker/data/encode_row.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace vernier::data {
namespace {

// Appends [begin, end) with weight 1 where no turn is, and the turns themselves.
std::vector<WeightSpan> FillGaps(const std::vector<WeightSpan>& turns, size_t size) {
  std::vector<WeightSpan> all;
  size_t at = 0;
  for (const WeightSpan& turn : turns) {
    if (at < turn.begin) all.push_back({at, turn.begin, 1.0F, false});
    all.push_back(turn);
    at = turn.end;
  }
  if (at < size) all.push_back({at, size, 1.0F, false});
  return all;
}

// Whether text around the turns is trained.
bool TrainsPrompt(const EncodeOptions& options) {
  return options.loss_on == v1::LOSS_ON_ALL || options.loss_on == v1::LOSS_ON_PROMPT;
}

// Whether a turn that the template rewrites may stay as it is: it is not trained, or weighs what all text
// weighs.
absl::Status CheckRewritten(const TurnSpan& turn, double weight, const EncodeOptions& options) {
  if (options.loss_on == v1::LOSS_ON_PROMPT) {
    return absl::InvalidArgumentError(absl::StrCat(
        "messages[", turn.message,
        "]: the chat template shows this assistant turn otherwise once the conversation goes on, so what is "
        "prompt cannot be told from it; use another data.chat_template, or split the conversation"));
  }
  const double untrained = options.loss_on == v1::LOSS_ON_ALL ? 1.0 : 0.0;
  if (weight == untrained) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "messages[", turn.message,
      "]: the chat template shows this assistant turn otherwise once the conversation goes on "
      "(it strips thinking, or ends the turn differently), so training it would teach what the "
      "model never says; set data.turns: expand to train each turn in a row that ends with it, or "
      "data.turns: last to train the last turn only, give the turn weight 0, or use another "
      "data.chat_template"));
}

// The spans with the stretches of reasoning in them, wherever they are, weighing nothing.
std::vector<WeightSpan> MaskReasoning(const std::vector<WeightSpan>& spans, std::vector<ByteSpan> reasoning) {
  std::sort(reasoning.begin(), reasoning.end(),
            [](const ByteSpan& a, const ByteSpan& b) { return a.begin < b.begin; });
  std::vector<WeightSpan> all;
  for (const WeightSpan& span : spans) {
    bool starts = span.answer;
    const auto append = [&](size_t begin, size_t end, float weight) {
      if (begin < end) all.push_back({begin, end, weight, std::exchange(starts, false)});
    };
    size_t at = span.begin;
    for (const ByteSpan& masked : reasoning) {
      const size_t begin = std::max(masked.begin, at), end = std::min(masked.end, span.end);
      if (begin >= end) continue;
      append(at, begin, span.weight);
      append(begin, end, 0.0F);
      at = end;
    }
    append(at, span.end, span.weight);
  }
  return all;
}

absl::StatusOr<RowText> LayOutMessages(const Row& row, const EncodeOptions& options, const Codec& codec) {
  VN_ASSIGN_OR_RETURN(RenderedConversation rendered, codec.Render(row));
  // The messages of a completion say themselves what it is: those of its prompt weigh nothing.
  const bool completion = options.loss_on == v1::LOSS_ON_COMPLETION && row.form != RowForm::kPromptCompletion;
  const bool last_only = completion || options.turns == v1::TURNS_LAST || options.turns == v1::TURNS_EXPAND;
  RowText out;
  out.hides_reasoning = rendered.hides_reasoning;
  out.text = std::move(rendered.text);
  out.implicit_system_prompt = std::move(rendered.implicit_system_prompt);
  size_t at = 0;
  for (const TurnSpan& turn : rendered.turns) {
    if (turn.begin < at || turn.end < turn.begin || turn.end > out.text.size() ||
        turn.message >= row.messages.size()) {
      return absl::InternalError("the chat template gave spans out of order");
    }
    at = turn.end;
    const bool used = !last_only || turn.message == rendered.turns.back().message;
    const double weight =
        used && options.loss_on != v1::LOSS_ON_PROMPT ? row.messages[turn.message].weight : 0.0;
    if (turn.rewritten) VN_RETURN_IF_ERROR(CheckRewritten(turn, weight, options));
    if (weight > 0) VN_RETURN_IF_ERROR(turn.unmaskable);
    if (turn.begin == turn.end) continue;  // its place is not known, and its weight is that of a gap
    out.spans.push_back({turn.begin, turn.end, static_cast<float>(weight), weight > 0});
  }
  if (TrainsPrompt(options)) out.spans = FillGaps(out.spans, out.text.size());
  // After the gaps: a rewritten turn that is trained as the text it became lies in one.
  out.spans = MaskReasoning(out.spans, std::move(rendered.reasoning));
  return out;
}

}  // namespace

int64_t EncodedRow::num_trained() const {
  return std::count_if(weights.begin(), weights.end(), [](float weight) { return weight > 0; });
}

absl::Status CheckEncodeOptions(const EncodeOptions& options, RowFormat format) {
  const bool answers = options.loss_on != v1::LOSS_ON_UNSPECIFIED && options.loss_on != v1::LOSS_ON_ALL;
  if (format == RowFormat::kText && answers) {
    return absl::InvalidArgumentError(
        "objective.causal_lm.loss_on: rows of plain text have no assistant turn and no completion; use all, "
        "or "
        "remove the field");
  }
  const bool mask = options.reasoning == v1::REASONING_MASK, drop = options.reasoning == v1::REASONING_DROP;
  if ((mask || drop) && (format == RowFormat::kText || format == RowFormat::kPromptCompletion)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data.reasoning: rows of ", format == RowFormat::kText ? "text" : "prompt and completion",
        " have no messages, so their reasoning cannot be told from the rest; write them as "
        "messages, or remove the field"));
  }
  if (mask && options.loss_on == v1::LOSS_ON_PROMPT) {
    return absl::InvalidArgumentError(
        "data.reasoning: mask contradicts objective.causal_lm.loss_on: prompt, which trains no answer; "
        "remove one of them");
  }
  const bool last = options.turns == v1::TURNS_LAST, expand = options.turns == v1::TURNS_EXPAND;
  if ((last || expand) && TrainsPrompt(options)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.turns: ", last ? "last" : "expand", " contradicts objective.causal_lm.loss_on: ",
                     options.loss_on == v1::LOSS_ON_ALL ? "all" : "prompt", "; remove one of them"));
  }
  return absl::OkStatus();
}

bool IsExpanded(const Row& row, const EncodeOptions& options) {
  // loss_on: completion trains the last turn only, of whatever row.
  return options.turns == v1::TURNS_EXPAND && row.format == RowFormat::kMessages &&
         (options.loss_on != v1::LOSS_ON_COMPLETION || row.form == RowForm::kPromptCompletion);
}

absl::Status ForEachTrainedRow(const Row& row, const EncodeOptions& options,
                               const std::function<absl::Status(const Row&)>& take) {
  if (!IsExpanded(row, options)) return take(row);
  // Grows from turn to turn: no message is copied twice.
  Row through = row;
  through.messages.clear();
  for (const Message& message : row.messages) {
    through.messages.push_back(message);
    if (message.role == "assistant" && message.weight > 0) VN_RETURN_IF_ERROR(take(through));
  }
  return absl::OkStatus();
}

absl::StatusOr<RowText> LayOutRow(const Row& row, const EncodeOptions& options, const Codec& codec) {
  if (row.format == RowFormat::kMessages) return LayOutMessages(row, options, codec);
  if (row.format == RowFormat::kPreference) {
    return absl::InvalidArgumentError(
        "the row is a preference pair (chosen and rejected answers): it is validated, but training on it "
        "comes in a later "
        "version; to train on the chosen answers alone set data.columns: {completion: chosen}");
  }
  RowText out;
  out.add_bos = codec.bos_id().has_value();
  out.add_eos = codec.eos_id().has_value();
  if (row.format == RowFormat::kText) {
    out.text = row.text;
    out.spans = {{0, out.text.size(), 1.0F, false}};
    return out;
  }
  out.text = absl::StrCat(row.prompt, row.completion);
  const float prompt_weight = TrainsPrompt(options) ? 1.0F : 0.0F;
  out.eos_weight = options.loss_on == v1::LOSS_ON_PROMPT ? 0.0F : 1.0F;
  out.spans = {{0, row.prompt.size(), prompt_weight, false},
               {row.prompt.size(), out.text.size(), out.eos_weight, true}};
  return out;
}

absl::StatusOr<EncodedRow> EncodeRow(const RowText& laid, const Codec& codec) {
  VN_ASSIGN_OR_RETURN(const TokenizedText tokens, codec.Tokenize(laid.text));
  EncodedRow out;
  out.ids.reserve(tokens.ids.size() + 2);
  out.weights.reserve(tokens.ids.size() + 2);
  if (laid.add_bos) {
    out.ids.push_back(*codec.bos_id());
    out.weights.push_back(0.0F);
  }
  auto span = laid.spans.begin();
  auto started = laid.spans.end();  // the answer whose first token was seen
  for (size_t t = 0; t < tokens.ids.size(); ++t) {
    const size_t begin = tokens.begins[t];
    while (span != laid.spans.end() && begin >= span->end) ++span;
    const bool inside = span != laid.spans.end() && begin >= span->begin;
    if (inside && span->answer && started != span) {
      started = span;
      out.prompt_length = static_cast<int64_t>(out.ids.size());
    }
    out.ids.push_back(tokens.ids[t]);
    out.weights.push_back(inside ? span->weight : 0.0F);
  }
  if (laid.add_eos) {
    out.ids.push_back(*codec.eos_id());
    out.weights.push_back(laid.eos_weight);
  }
  if (out.ids.empty()) return absl::InvalidArgumentError("the row has no token");
  out.weights[0] = 0.0F;
  out.prompt_length = std::clamp<int64_t>(out.prompt_length, 1, static_cast<int64_t>(out.ids.size()));
  return out;
}

}  // namespace vernier::data
