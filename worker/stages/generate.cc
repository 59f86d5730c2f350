#include "worker/stages/generate.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "worker/stages/answer.h"
#include "worker/stages/inputs.h"
#include "worker/stages/start.h"

namespace vernier::stages {
namespace {

// Keeps the draws of prompts apart from every other use of the seed.
constexpr uint64_t kPromptTag = 0x70726f6d;  // "prom"

void ReportText(const StageContext& context, int prompt, absl::string_view text) {
  v1::TaskEvent event;
  event.mutable_generated()->set_prompt(prompt);
  event.mutable_generated()->set_text(std::string(text));
  context.events.Report(std::move(event));
}

void ReportEnd(const StageContext& context, int prompt, const Answer& answer) {
  v1::TaskEvent event;
  v1::GeneratedText& end = *event.mutable_generated();
  end.set_prompt(prompt);
  end.set_done(true);
  end.set_stop_reason(answer.stopped ? "stop" : "length");
  end.set_num_tokens(static_cast<int32_t>(answer.num_tokens));
  context.events.Report(std::move(event));
}

absl::StatusOr<std::vector<int32_t>> TokenizePrompt(const data::Tokenizer& tokenizer,
                                                    const models::CausalLm& model, int index,
                                                    const std::string& text) {
  const std::string name = absl::StrCat("prompts[", index, "]");
  absl::StatusOr<data::TokenizedText> tokens = tokenizer.Encode(text);
  if (!tokens.ok()) return Annotate(tokens.status(), name);
  const int64_t size = static_cast<int64_t>(tokens->ids.size());
  if (size == 0) return absl::InvalidArgumentError(absl::StrCat(name, ": is empty"));
  if (size >= model.config().max_positions) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": has ", size, " tokens; the model's context of ",
                                                   model.config().max_positions,
                                                   " leaves no room for an answer"));
  }
  return std::move(tokens->ids);
}

}  // namespace

absl::Status RunGenerate(const StageContext& context, trainer::TaskOutcome& outcome) {
  const v1::GenerateTask& task = context.task.generate();
  VN_ASSIGN_OR_RETURN(AnswerOptions options, ReadDecoding(task.decoding(), context.task.seed()));
  const trainer::PrecisionChoice precision = ReportStart(context, task.precision());
  VN_ASSIGN_OR_RETURN(const BaseModel base, LoadBaseModel(context.store, task.model_key(), precision.dtype));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<data::Tokenizer> tokenizer, LoadTokenizer(base));
  models::Overlay bare;
  Adapter adapter;
  if (!task.adapter_key().empty()) {
    VN_ASSIGN_OR_RETURN(adapter, LoadAdapterStack(context.store, task.adapter_key(), *base.model));
  }
  const models::Overlay& overlay = adapter.tuning != nullptr ? *adapter.tuning : bare;

  // A prompt that cannot be answered is refused before the first answer is begun.
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < task.prompts_size(); ++i) {
    VN_ASSIGN_OR_RETURN(prompts.emplace_back(), TokenizePrompt(*tokenizer, *base.model, i, task.prompts(i)));
  }
  const uint64_t seed = options.generate.seed;
  for (int i = 0; i < task.prompts_size(); ++i) {
    options.generate.seed = DeriveSeed(seed, kPromptTag, i);
    VN_ASSIGN_OR_RETURN(const Answer answer, GenerateAnswer(*base.model, overlay, *tokenizer, prompts[i],
                                                            options, [&](absl::string_view piece) {
                                                              if (!piece.empty())
                                                                ReportText(context, i, piece);
                                                              return !context.events.stop_requested();
                                                            }));
    if (context.events.stop_requested()) {
      outcome.stopped = true;
      return absl::OkStatus();
    }
    ReportEnd(context, i, answer);
    outcome.results["tokens"] += static_cast<double>(answer.num_tokens);
  }
  return absl::OkStatus();
}

}  // namespace vernier::stages
