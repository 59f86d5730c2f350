#include "worker/plan/work.h"

#include <algorithm>

#include "worker/plan/activations.h"

namespace vernier::plan {
namespace {

double HeadNumbers(const v1::ModelShape& shape) {
  return static_cast<double>(shape.vocab_size()) * static_cast<double>(shape.hidden_size());
}

// Numbers of the matrices that every token is multiplied with.
double BodyNumbers(const v1::ModelShape& shape) {
  double numbers = 0;
  for (const v1::LinearShape& linear : shape.linears()) {
    numbers += static_cast<double>(linear.in_features()) * static_cast<double>(linear.out_features());
  }
  return numbers * static_cast<double>(shape.num_layers());
}

// Causal attention forward, a token's half of the square: 4 s d / 2 a token and layer.
double AttentionForward(const v1::ModelShape& shape, double squared_tokens) {
  return 2.0 * squared_tokens *
         static_cast<double>(shape.num_heads() * shape.head_dim() * shape.num_layers());
}

}  // namespace

double TrainingFlops(const v1::ModelShape& shape, const v1::TrainStage& stage, const Batches& batches,
                     int64_t checkpointed_layers) {
  const double tokens = static_cast<double>(batches.tokens);
  const double labelled = tokens * batches.labelled_share;
  const double body = BodyNumbers(shape), head = HeadNumbers(shape);
  const double attention = AttentionForward(shape, batches.squared_tokens);
  const bool full = stage.tuning().has_full();
  // Forward, and backward to the activations; to the weights only where they train.
  double flops = (full ? 6.0 : 4.0) * body * tokens + (full ? 6.0 : 4.0) * head * labelled;
  // The kernel computes the scores again in the backward pass.
  flops += 3.5 * attention;
  if (!full) flops += 6.0 * static_cast<double>(LoraParameters(shape, stage.tuning().lora())) * tokens;
  const double again = static_cast<double>(std::min(checkpointed_layers, shape.num_layers())) /
                       static_cast<double>(std::max<int64_t>(1, shape.num_layers()));
  return flops + again * (2.0 * body * tokens + attention);
}

double ValidationFlops(const v1::ModelShape& shape, const Batches& batches) {
  const double tokens = static_cast<double>(batches.validation_tokens);
  if (tokens == 0 || batches.tokens == 0) return 0;
  const double squared = batches.squared_tokens * tokens / static_cast<double>(batches.tokens);
  return 2.0 * BodyNumbers(shape) * tokens + 2.0 * HeadNumbers(shape) * tokens * batches.labelled_share +
         AttentionForward(shape, squared);
}

int64_t NumValidations(const v1::TrainStage& stage, const Batches& batches) {
  if (batches.validation_tokens == 0) return 0;
  const int64_t every = stage.validate().has_every_steps() ? stage.validate().every_steps()
                                                           : std::max<int64_t>(1, batches.steps / 10);
  if (every == 0) return 2;
  return 1 + batches.steps / every + (batches.steps % every == 0 ? 0 : 1);
}

}  // namespace vernier::plan
