// Which tensors a llama model has, and where they lie in CausalLm::parameters() and linear_sites().
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "worker/models/common/parameter_layout.h"
#include "worker/models/llama/config.h"

namespace vernier::models {

// One block.
struct LlamaLayer {
  int q = -1, k = -1, v = -1, o = -1, gate = -1, up = -1, down = -1;  // linear sites
  int input_norm = -1, post_attention_norm = -1;                      // parameters
};

struct LlamaWeights {
  ParameterLayout layout;
  int embedding = -1;  // parameters
  int final_norm = -1;
  int head = -1;  // the embedding when tied
  std::vector<LlamaLayer> layers;
};

inline constexpr absl::string_view kLlamaPrefix = "model.";

LlamaWeights DeclareLlamaWeights(const LlamaConfig& config);
// A head beside a tied embedding, and the rotary buffers of old files, which follow from the config.
bool LlamaMayLeaveOver(absl::string_view name);

}  // namespace vernier::models
