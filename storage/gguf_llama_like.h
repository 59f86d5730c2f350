// GGUF files of the architectures that name their tensors as llama does: what they share. Internal to the
// import.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// What an architecture does differently.
struct LlamaLike {
  absl::string_view model_type;    // Hugging Face's
  absl::string_view causal_class;  // in config.json's "architectures"
  bool interleaved = false;        // rows of q and k have the two halves of each head interleaved
  bool fused = false;              // attn_qkv, and ffn_up that holds gate and up
  bool head_norms = false;         // attn_q_norm and attn_k_norm, of each head
  bool gemma_norms = false;        // two more norms a block, all of them kept as 1 + w
  bool may_rotate_part = false;    // rope.dimension_count below the size of a head
};

struct LlamaLikeSizes {
  int64_t num_layers = 0;
  int64_t width = 0;
  int64_t hidden = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_size = 0;
  int64_t rotated = 0;  // numbers of a head that turn
  int64_t vocab_size = 0;
  int64_t context_length = 0;
};

struct LlamaLikePlan {
  GgufPlan plan;  // config: the sizes and what all of them have; the caller adds the rest
  LlamaLikeSizes sizes;
  bool attention_bias = false, mlp_bias = false;  // the file has them
};

// InvalidArgument: the file is inconsistent, or a variant that is not supported (mixture of experts, scaled
// rotary positions of a kind that its metadata does not spell out, rotation of a part of a head); says what.
absl::StatusOr<LlamaLikePlan> PlanLlamaLike(const Gguf& gguf, GgufPlanner& planner, const LlamaLike& family);

}  // namespace vernier::storage
