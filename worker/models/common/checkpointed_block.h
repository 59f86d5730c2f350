// Activation checkpointing: a part of the forward pass whose activations are not kept for the backward pass,
// but computed again there.
//
// Bits      The gradient is that without it, bit by bit: the second computation is the first one again, and
//           what it adds to a parameter's gradient is added at the same place in the order.
// Memory    Keeps the input. While the part is computed, forward or again, all of its activations are there.
// Source    arXiv 1604.06174.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace vernier::models {

// A differentiable function of one tensor and of parameters. It owns what it captures, or that outlives the
// backward pass, and computes the same every time it is called.
using BlockFn = std::function<at::Tensor(const at::Tensor& x)>;

// block(x). Where no gradient is wanted, neither to x nor to a parameter, nothing is kept. Differentiable
// once. The backward pass throws what `block` throws.
at::Tensor CheckpointedBlock(const at::Tensor& x, BlockFn block);

}  // namespace vernier::models
