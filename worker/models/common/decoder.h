// The decoder that all families share: blocks of causal attention and a feed-forward around a residual
// stream. What a family does differently is a trait below, filled from its config.json (<family>/config.cc),
// or a tensor that it has or lacks (<family>/weights.cc). Nothing here knows a family by name.
//
// One block, where a norm that a family does not have changes nothing:
//   x += attention_out_norm(attention(attention_norm(x)))
//   x += mlp_out_norm(mlp(mlp_norm(x)))
// and with parallel_residual both read the same x.
//
// Letters   T tokens, D hidden width, H query heads, G key-value heads, C numbers per head, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/models/common/activation.h"
#include "worker/models/common/attention.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/common/parameter_layout.h"
#include "worker/models/common/rotary.h"
#include "worker/models/model.h"

namespace vernier::models {

enum class NormKind {
  kRms,         // x / rms(x) * w
  kRmsPlusOne,  // x / rms(x) * (1 + w): Gemma
  kLayer,       // (x - mean) / deviation * w + b
};

// How one linear layer holds q, k and v: the order of its outputs.
enum class QkvOrder {
  kByKind,  // all of q, all of k, all of v
  kByHead,  // q, k and v of head 0, of head 1, ... (as many key-value heads as heads)
};

struct LayerTraits {
  AttentionRule attention;
  int rotary = 0;  // index into DecoderTraits::rotaries; -1: no rotary positions in this layer
};

struct DecoderTraits {
  ModelConfig model;
  NormKind norm = NormKind::kRms;
  bool parallel_residual = false;
  double embedding_scale = 1.0;
  Activation activation = Activation::kSilu;
  QkvOrder qkv_order = QkvOrder::kByKind;
  std::vector<RotaryOptions> rotaries;
  std::vector<LayerTraits> layers;  // model.num_layers of them
};

// A norm's parameters; weight -1: there is no such norm.
struct NormWeights {
  int weight = -1;
  int bias = -1;
};

// One block. Sites that are -1 are not there: q, k and v are either three layers or one (qkv), gate and up
// either two or one (gate_up: the gate's outputs, then the other's); without a gate the feed-forward is
// down(activation(up(x))).
struct DecoderLayer {
  int q = -1, k = -1, v = -1, qkv = -1, attention_out = -1;  // linear sites
  int gate = -1, up = -1, gate_up = -1, down = -1;
  NormWeights attention_norm, attention_out_norm, mlp_norm, mlp_out_norm;
  NormWeights q_norm,
      k_norm;  // before rotary positions; of each head, or of all heads at once, by their size
};

struct DecoderWeights {
  ParameterLayout layout;
  std::string base_prefix;  // of all names but the head's
  int embedding = -1;       // parameters
  int positions = -1;       // learned positions, or -1
  NormWeights final_norm;
  int head = -1;  // the embedding when tied
  std::vector<DecoderLayer> layers;
  // Buffers that old files carry along, by their name there; null: none.
  bool (*may_be_left_over)(absl::string_view name) = nullptr;
};

// Reads the tensors that `weights` declares out of `folder`. Errors as LoadCausalLm.
absl::StatusOr<std::unique_ptr<CausalLm>> LoadDecoder(const ModelFolder& folder, DecoderTraits traits,
                                                      DecoderWeights weights, at::ScalarType compute_dtype);

}  // namespace vernier::models
