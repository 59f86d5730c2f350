// Causal attention of rows that lie end to end, and of one row over its cache. Softmax and sums are fp32. A
// row's result is a pure function of that row: whatever else is packed with it changes no bit.
//
// Letters   T tokens, H query heads, G key-value heads (H a multiple of G), C numbers per head.
// Speed     Work grows with tokens x window, memory with tokens. Forward, and over a cache: LibTorch's flash
//           kernel, or block_attention.h where scores are capped or a window is shorter than the row.
//           Backward: tile_attention.h where the processor has tiles, else block_attention.h, or the flash
//           kernel for long rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/models/model.h"

namespace vernier::models {

struct AttentionRule {
  double scale = 1.0;  // scores are q k^T * scale
  int64_t window = 0;  // a token sees itself and the window - 1 tokens before it; 0: all before it
  double cap = 0.0;    // scores become cap * tanh(score / cap) before the softmax; 0: they stay
};

// q [T, H, C], k and v [T, G, C], any strides with adjacent numbers -> [T, H * C]. For backward it keeps q,
// k, v, the result and one number per head and token; no token-by-token matrix.
at::Tensor PackedAttention(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC,
                           const std::vector<int64_t>& row_offsets, const AttentionRule& rule);

// The same for one row whose first `cache.length` tokens are in `cache`; appends k and v of the new ones to
// `layer`, but leaves `cache.length` to the caller. Work grows with T x (length + T), or T x window. Not
// differentiable.
at::Tensor CachedAttention(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC,
                           KvCache& cache, int64_t layer, const AttentionRule& rule);

// Position of every token within its row, int64 [T]; a cached row goes on after its cached tokens.
// Throws c10::Error: offsets that do not cover the ids, a row longer than `max_positions`, several rows with
// a cache.
at::Tensor PositionsOf(const TokenBatch& batch, const KvCache* cache, int64_t max_positions);

}  // namespace vernier::models
