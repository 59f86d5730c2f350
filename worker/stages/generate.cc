#include "worker/stages/generate.h"

#include <memory>
#include <optional>
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

void ReportEnd(const StageContext& context, int prompt, const Answer& answer, bool interrupted) {
  v1::TaskEvent event;
  v1::GeneratedText& end = *event.mutable_generated();
  end.set_prompt(prompt);
  end.set_done(true);
  end.set_stop_reason(interrupted ? "interrupted" : answer.stopped ? "stop" : "length");
  end.set_num_tokens(static_cast<int32_t>(answer.num_tokens));
  context.events.Report(std::move(event));
}

void ReportError(const StageContext& context, int prompt, const absl::Status& status) {
  v1::TaskEvent event;
  v1::GeneratedText& end = *event.mutable_generated();
  end.set_prompt(prompt);
  end.set_done(true);
  end.set_stop_reason("error");
  end.set_error(std::string(status.message()));
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

// A loaded model that answers one request after the other.
class Generation {
 public:
  explicit Generation(const StageContext& context) : context_(context), task_(context.task.generate()) {}

  absl::Status Load();
  // `turn` from 1. False: a stop was requested. Of a task that is kept, a prompt that cannot be answered is
  // told as such; of any other it is the task's error, before the first answer is begun.
  absl::StatusOr<bool> Answer(int64_t turn, const google::protobuf::RepeatedPtrField<std::string>& prompts,
                              const v1::Decoding& decoding);
  int64_t num_tokens() const { return num_tokens_; }

 private:
  absl::StatusOr<bool> AnswerOne(int64_t turn, int index, absl::Span<const int32_t> prompt);
  bool Interrupted(int64_t turn) const { return context_.events.interrupted_turn() >= turn; }

  const StageContext& context_;
  const v1::GenerateTask& task_;
  std::unique_ptr<BaseModel> base_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
  models::Overlay bare_;
  Adapter adapter_;
  AnswerOptions options_;
  uint64_t seed_ = 0;
  int num_prompts_ = 0;  // of earlier turns
  int64_t num_tokens_ = 0;
};

absl::Status Generation::Load() {
  // A wrong setting is told before the model is loaded.
  VN_RETURN_IF_ERROR(ReadDecoding(task_.decoding(), context_.task.seed()).status());
  const trainer::PrecisionChoice precision = ReportStart(context_, task_.precision());
  VN_ASSIGN_OR_RETURN(BaseModel base, LoadBaseModel(context_.store, task_.model_key(), precision.dtype));
  base_ = std::make_unique<BaseModel>(std::move(base));
  VN_ASSIGN_OR_RETURN(tokenizer_, LoadTokenizer(*base_));
  if (task_.adapter_key().empty()) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(adapter_, LoadAdapterStack(context_.store, task_.adapter_key(), *base_->model));
  return absl::OkStatus();
}

absl::StatusOr<bool> Generation::Answer(int64_t turn,
                                        const google::protobuf::RepeatedPtrField<std::string>& prompts,
                                        const v1::Decoding& decoding) {
  VN_ASSIGN_OR_RETURN(options_, ReadDecoding(decoding, context_.task.seed()));
  seed_ = options_.generate.seed;
  const int first = std::exchange(num_prompts_, num_prompts_ + prompts.size());
  std::vector<absl::StatusOr<std::vector<int32_t>>> tokens;
  for (int i = 0; i < prompts.size(); ++i) {
    tokens.push_back(TokenizePrompt(*tokenizer_, *base_->model, i, prompts[i]));
    if (!task_.keep()) VN_RETURN_IF_ERROR(tokens.back().status());
  }
  for (int i = 0; i < prompts.size(); ++i) {
    if (!tokens[i].ok()) {
      ReportError(context_, first + i, tokens[i].status());
      continue;
    }
    // Of a turn's first prompt the draws are those of a task with this prompt alone.
    options_.generate.seed = DeriveSeed(seed_, kPromptTag, i);
    VN_ASSIGN_OR_RETURN(const bool answered, AnswerOne(turn, first + i, *tokens[i]));
    if (!answered) return false;
  }
  return true;
}

absl::StatusOr<bool> Generation::AnswerOne(int64_t turn, int index, absl::Span<const int32_t> prompt) {
  const models::Overlay& overlay = adapter_.tuning != nullptr ? *adapter_.tuning : bare_;
  const auto on_piece = [&](absl::string_view piece) {
    if (!piece.empty()) ReportText(context_, index, piece);
    return !context_.events.stop_requested() && !Interrupted(turn);
  };
  stages::Answer answer;
  if (!Interrupted(turn)) {
    VN_ASSIGN_OR_RETURN(answer,
                        GenerateAnswer(*base_->model, overlay, *tokenizer_, prompt, options_, on_piece));
  }
  if (context_.events.stop_requested()) return false;
  ReportEnd(context_, index, answer, Interrupted(turn));
  num_tokens_ += answer.num_tokens;
  return true;
}

}  // namespace

absl::Status RunGenerate(const StageContext& context, trainer::TaskOutcome& outcome) {
  const v1::GenerateTask& task = context.task.generate();
  Generation generation(context);
  VN_RETURN_IF_ERROR(generation.Load());
  v1::GenerateMore request;
  request.set_turn(1);
  *request.mutable_prompts() = task.prompts();
  *request.mutable_decoding() = task.decoding();
  while (true) {
    VN_ASSIGN_OR_RETURN(const bool answered,
                        generation.Answer(request.turn(), request.prompts(), request.decoding()));
    outcome.results["tokens"] = static_cast<double>(generation.num_tokens());
    outcome.stopped = !answered;
    if (!answered || !task.keep()) return absl::OkStatus();
    std::optional<v1::GenerateMore> more = context.events.AwaitMore();
    outcome.stopped = !more.has_value();
    if (!more) return absl::OkStatus();
    request = *std::move(more);
  }
}

}  // namespace vernier::stages
