// Which tensors a gpt2 model has, and where they lie in CausalLm::parameters() and linear_sites().
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "worker/models/common/parameter_layout.h"
#include "worker/models/gpt2/config.h"

namespace vernier::models {

// A layer norm's parameters.
struct Gpt2Norm {
  int weight = -1;
  int bias = -1;
};

// One block.
struct Gpt2Layer {
  int qkv = -1, attention_out = -1, up = -1, down = -1;  // linear sites: c_attn, c_proj, c_fc, c_proj
  Gpt2Norm attention_norm, mlp_norm;
};

struct Gpt2Weights {
  ParameterLayout layout;
  int embedding = -1;  // parameters
  int positions = -1;
  Gpt2Norm final_norm;
  int head = -1;  // the embedding when tied
  std::vector<Gpt2Layer> layers;
};

inline constexpr absl::string_view kGpt2Prefix = "transformer.";

Gpt2Weights DeclareGpt2Weights(const Gpt2Config& config);
// A head beside a tied embedding, and the causal masks that old files keep as buffers.
bool Gpt2MayLeaveOver(absl::string_view name);

}  // namespace vernier::models
