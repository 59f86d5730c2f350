// Dropout whose every draw is a pure function of (seed, step, row of the global batch, position in the row,
// site, channel): packing, padding, micro-batches and ranks change no draw (law 2).
//
// Letters  T tokens, I channels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "worker/models/model.h"

namespace vernier::adapters {

// What stays of an input.
struct DropoutMask {
  // uint8 [T, ceil(I / 8)], bit (c mod 8) of byte c / 8 is channel c: a sixteenth of a bf16 input, small
  // enough to keep for the backward pass. Undefined: everything stays.
  at::Tensor keep_bits;
  // 1 / share that is kept: what drop(x) is multiplied by. Apart from the mask, because 1 / 0.9 is no bf16
  // number.
  double scale = 1.0;

  // x where kept, else zero; fp32 or bf16. Turns a gradient of the output into one of the input, too.
  at::Tensor Apply(const at::Tensor& x_TI) const;
};

// Thread-safe: immutable.
class KeyedDropout {
 public:
  // `rate` in [0, 1), rounded to 1/65536.
  KeyedDropout(double rate, uint64_t seed);

  // For the input of `site`; keeps everything unless `batch` trains and carries the keys of its rows.
  DropoutMask Draw(const models::LinearSite& site, const models::TokenBatch& batch) const;

 private:
  const uint32_t threshold_;  // a 16-bit draw below it is dropped
  const uint64_t seed_;
};

}  // namespace vernier::adapters
