#include "adapters/thin_products.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>

#include "adapters/thin_products_amx.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using amx::Half;
using amx::kTile;

// Tokens, or panels of 32 columns, that a thread takes at least.
constexpr int64_t kGrainTokens = 64;
constexpr int64_t kGrainPanels = 2;

int64_t InTiles(int64_t size) { return (size + kTile - 1) / kTile * kTile; }

const Half* Read(const at::Tensor& tensor) {
  return reinterpret_cast<const Half*>(tensor.const_data_ptr<at::BFloat16>());
}

Half* Write(at::Tensor& tensor) { return reinterpret_cast<Half*>(tensor.mutable_data_ptr<at::BFloat16>()); }

// Rows from end to end, as the kernels of our own want them.
at::Tensor InRows(const at::Tensor& x) { return x.stride(1) == 1 ? x : x.contiguous(); }

amx::Matrix ViewOf(const at::Tensor& matrix) {
  return {matrix.const_data_ptr<float>(), matrix.size(0), matrix.size(1), matrix.stride(0), matrix.stride(1)};
}

void Project(const at::Tensor& x, const amx::Packed& weight, at::Tensor h) {
  Half* const out = Write(h);
  at::parallel_for(0, x.size(0), kGrainTokens, [&](int64_t begin, int64_t end) {
    amx::Project(Read(x), x.stride(0), weight, out, h.stride(0), begin, end);
  });
}

void AddProduct(const at::Tensor& h, const amx::Packed& weight, at::Tensor& y) {
  Half* const out = Write(y);
  at::parallel_for(0, y.size(0), kGrainTokens, [&](int64_t begin, int64_t end) {
    amx::AddProduct(Read(h), h.stride(0), weight, out, y.stride(0), begin, end);
  });
}

// h^T y, [P, N] in fp32.
at::Tensor TurnedProduct(const at::Tensor& h, const at::Tensor& y) {
  const std::vector<Half> turned = amx::Turned(Read(h), h.stride(0), h.size(0), h.size(1));
  at::Tensor product = at::empty({h.size(1), y.size(1)}, h.options().dtype(at::kFloat));
  float* const out = product.mutable_data_ptr<float>();
  at::parallel_for(0, y.size(1) / (2 * kTile), kGrainPanels, [&](int64_t begin, int64_t end) {
    amx::TurnedProduct(turned.data(), h.size(1), Read(y), y.stride(0), y.size(0), out, product.stride(0),
                       begin, end);
  });
  return product;
}

}  // namespace

ThinProducts::ThinProducts(at::ScalarType dtype, std::vector<int64_t> ranks,
                           const std::vector<int64_t>& widths)
    : dtype_(dtype), ranks_(std::move(ranks)) {
  tiles_ = dtype == at::kBFloat16 && amx::Available() &&
           std::all_of(widths.begin(), widths.end(), [](int64_t width) { return width % (2 * kTile) == 0; });
  offsets_.push_back(0);
  for (const int64_t rank : ranks_) offsets_.push_back(offsets_.back() + (tiles_ ? InTiles(rank) : rank));
}

at::Tensor ThinProducts::Columns(const at::Tensor& h_TP, int64_t term) const {
  return h_TP.narrow(1, offsets_[term], offsets_[term + 1] - offsets_[term]);
}

at::Tensor ThinProducts::Empty(int64_t num_tokens) const {
  // A thread's last tile may start at any token.
  const int64_t rows = tiles_ ? num_tokens + kTile - 1 : num_tokens;
  return at::empty({rows, num_columns()}, at::TensorOptions().dtype(dtype_)).narrow(0, 0, num_tokens);
}

void ThinProducts::ProjectAll(const at::Tensor& x_TI, const std::vector<ThinFactor>& a_RI,
                              at::Tensor& h_TP) const {
  if (tiles_) {
    amx::Packed weight(x_TI.size(1), num_columns(), 2 * kTile);
    for (size_t i = 0; i < a_RI.size(); ++i) {
      weight.Put(ViewOf(a_RI[i].matrix.t()), 0, offsets_[i], static_cast<float>(a_RI[i].scale));
    }
    Project(InRows(x_TI), weight, h_TP);
    return;
  }
  std::vector<at::Tensor> scaled;
  for (const ThinFactor& a : a_RI) scaled.push_back(a.matrix.mul(a.scale));
  at::mm_out(h_TP, x_TI, at::cat(scaled).to(dtype_).t());
}

void ThinProducts::ProjectTurned(int64_t term, const at::Tensor& y_TO, const ThinFactor& b_OR,
                                 at::Tensor& h_TP) const {
  at::Tensor columns = Columns(h_TP, term);
  if (tiles_) {
    amx::Packed weight(y_TO.size(1), columns.size(1), 2 * kTile);
    weight.Put(ViewOf(b_OR.matrix), 0, 0, static_cast<float>(b_OR.scale));
    Project(InRows(y_TO), weight, columns);
    return;
  }
  at::mm_out(columns, y_TO, b_OR.matrix.mul(b_OR.scale).to(dtype_));
}

void ThinProducts::AddTurned(int64_t term, const at::Tensor& h_TP, const at::Tensor& b_OR,
                             at::Tensor& y_TO) const {
  const at::Tensor columns = Columns(h_TP, term);
  if (tiles_) {
    amx::Packed weight(columns.size(1), y_TO.size(1), kTile);
    weight.Put(ViewOf(b_OR.t()), 0, 0, 1.0f);
    AddProduct(columns, weight, y_TO);
    return;
  }
  y_TO.addmm_(columns, b_OR.to(dtype_).t());
}

void ThinProducts::AddAll(const at::Tensor& h_TP, const std::vector<at::Tensor>& a_RI,
                          at::Tensor& x_TI) const {
  if (tiles_) {
    amx::Packed weight(num_columns(), x_TI.size(1), kTile);
    for (size_t i = 0; i < a_RI.size(); ++i) weight.Put(ViewOf(a_RI[i]), offsets_[i], 0, 1.0f);
    AddProduct(h_TP, weight, x_TI);
    return;
  }
  x_TI.addmm_(h_TP, at::cat(a_RI).to(dtype_));
}

std::vector<at::Tensor> ThinProducts::GradientsOfAll(const at::Tensor& h_TP, const at::Tensor& x_TI) const {
  const at::Tensor all = tiles_ ? TurnedProduct(h_TP, InRows(x_TI)) : at::mm(h_TP.t(), x_TI).to(at::kFloat);
  std::vector<at::Tensor> gradients;
  for (size_t i = 0; i < ranks_.size(); ++i) gradients.push_back(all.narrow(0, offsets_[i], ranks_[i]));
  return gradients;
}

at::Tensor ThinProducts::GradientOfTurned(int64_t term, const at::Tensor& h_TP,
                                          const at::Tensor& y_TO) const {
  const at::Tensor columns = Columns(h_TP, term);
  if (!tiles_) return at::mm(y_TO.t(), columns).to(at::kFloat);
  return TurnedProduct(columns, InRows(y_TO)).narrow(0, 0, ranks_[term]).t();
}

}  // namespace vernier::adapters
