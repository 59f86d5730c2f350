// The backward pass of packed rows in tiles (attention_amx.h): the heads of all rows, shared out over the
// threads. Against blocks of matrix products it takes a fraction of the time (docs/performance.md).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/models/common/attention.h"

namespace vernier::models {

// Whether this processor and these heads can: bf16 on AMX, heads of a multiple of 32 numbers, no cap.
bool TakesTiles(const at::Tensor& q_THC, const AttentionRule& rule);

struct PackedRows {
  at::Tensor q_THC, k_TGC, v_TGC;  // adjacent numbers
  at::Tensor out_THC;
  at::Tensor log_sum_TH;  // fp32
  at::Tensor grad_THC;    // to `out`
  std::vector<int64_t> row_offsets;
};

struct PackedGradients {
  at::Tensor q_THC, k_TGC, v_TGC;  // bf16
};

// The same bits for any number of threads.
PackedGradients TileAttentionBackward(const PackedRows& rows, const AttentionRule& rule);

}  // namespace vernier::models
