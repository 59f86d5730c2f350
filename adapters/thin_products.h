// Products with matrices of few rows or columns, as low-rank terms have them: next to the base's products
// they are small in operations but pass over all of its inputs and outputs. On processors with AMX, in bf16,
// they have kernels of their own (thin_products_amx.h); else they are LibTorch's.
//
// Letters   T tokens, I / O features, R rank; P columns of a term: R, or R up to a whole tile with zeros
// behind.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace vernier::adapters {

// A trained matrix [R, I] (or [I, R]: turned) with a factor, fp32.
struct ThinFactor {
  at::Tensor matrix;
  double scale = 1.0;
};

// How the ranks of several terms on the same x lie side by side.
class ThinProducts {
 public:
  // For activations of `dtype` whose widths are `widths`.
  ThinProducts(at::ScalarType dtype, std::vector<int64_t> ranks, const std::vector<int64_t>& widths);

  int64_t num_columns() const { return offsets_.back(); }

  // [T, P..] without values, for Project; up to a tile of rows behind them may be read.
  at::Tensor Empty(int64_t num_tokens) const;
  // h's columns of term i = x [T, I] (scale_i A_i [R, I])^T.
  void ProjectAll(const at::Tensor& x_TI, const std::vector<ThinFactor>& a_RI, at::Tensor& h_TP) const;
  // h's columns of term i = y [T, O] (scale B [O, R]).
  void ProjectTurned(int64_t term, const at::Tensor& y_TO, const ThinFactor& b_OR, at::Tensor& h_TP) const;
  // y [T, O] += (h's columns of term i) B [O, R]^T.
  void AddTurned(int64_t term, const at::Tensor& h_TP, const at::Tensor& b_OR, at::Tensor& y_TO) const;
  // x [T, I] += the sum over terms of (h's columns of term i) A_i [R, I].
  void AddAll(const at::Tensor& h_TP, const std::vector<at::Tensor>& a_RI, at::Tensor& x_TI) const;
  // (h's columns of term i)^T x for every term, each [R, I] in fp32.
  std::vector<at::Tensor> GradientsOfAll(const at::Tensor& h_TP, const at::Tensor& x_TI) const;
  // y^T (h's columns of term i), [O, R] in fp32.
  at::Tensor GradientOfTurned(int64_t term, const at::Tensor& h_TP, const at::Tensor& y_TO) const;

 private:
  at::Tensor Columns(const at::Tensor& h_TP, int64_t term) const;

  const at::ScalarType dtype_;
  const std::vector<int64_t> ranks_;
  bool tiles_ = false;
  std::vector<int64_t> offsets_;  // first column of each term, and the end
};

}  // namespace vernier::adapters
