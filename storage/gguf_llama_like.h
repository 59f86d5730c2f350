// GGUF files of the architectures that name their tensors as llama does: what they share. Internal to import
// and export.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"
#include "storage/gguf_sizes.h"

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

// Linear layers that have biases.
struct LlamaLikeBiases {
  bool attention = false;  // q, k and v
  bool out = false;        // of attention
  bool mlp = false;
};

// The tensors of such a model but for its head, in the order of the blocks.
std::vector<GgufRule> LlamaLikeRules(const LlamaLike& family, const LlamaLikeSizes& sizes,
                                     const LlamaLikeBiases& biases);

struct LlamaLikePlan {
  GgufPlan plan;  // config: the sizes and what all of them have; the caller adds the rest
  LlamaLikeSizes sizes;
  LlamaLikeBiases biases;
};

// InvalidArgument: the file is inconsistent, or a variant that is not supported (mixture of experts, scaled
// rotary positions of a kind that its metadata does not spell out, rotation of a part of a head); says what.
absl::StatusOr<LlamaLikePlan> PlanLlamaLike(const Gguf& gguf, GgufPlanner& planner, const LlamaLike& family);

// Adds to `describer` what all of them have, and ends it. InvalidArgument: what the format cannot say.
absl::StatusOr<GgufDescription> DescribeLlamaLike(const GgufModelFacts& facts, const LlamaLike& family,
                                                  GgufDescriber& describer);

}  // namespace vernier::storage
