// Text generation, one token at a time, over a key-value cache. Greedy unless temperature > 0; sampling draws
// from Philox keyed by (seed, position), so the same seed gives the same text whatever else runs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/models/model.h"

namespace vernier::models {

struct GenerateOptions {
  int64_t max_new_tokens = 128;  // >= 1
  double temperature = 0.0;      // [0, 100]; 0 = greedy; ties go to the lower id
  double top_p = 1.0;            // (0, 1]: smallest set of tokens whose probabilities reach it
  int64_t top_k = 0;             // 0 = off
  uint64_t seed = 0;
  std::vector<int64_t> stop_ids;  // at most 1,024; end the text; not part of it
};

struct GeneratedTokens {
  std::vector<int64_t> ids;  // without the prompt and the stop token
  bool stopped = false;      // a stop id (or `on_token`) ended it, else the length did
};

// Called with every new token; false ends the text (that token stays part of it).
using OnToken = std::function<bool(int64_t id)>;

// InvalidArgument: an option out of range, an empty prompt, an id outside the vocabulary, or prompt + new
// tokens exceed the model's context. FailedPrecondition: the logits are not finite. Throws c10::Error when
// memory runs out.
absl::StatusOr<GeneratedTokens> Generate(const CausalLm& model, const Overlay& overlay,
                                         absl::Span<const int64_t> prompt, const GenerateOptions& options,
                                         const OnToken& on_token = nullptr);

}  // namespace vernier::models
