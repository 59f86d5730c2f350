#include "worker/models/common/attention.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Keys and values grow by doubling from here, so that n tokens cost O(n) copies.
constexpr int64_t kMinCapacity = 64;

// [L, H, C] of one row as [1, H, L, C], the kernel's order; a view.
at::Tensor RowHeads(const at::Tensor& x_THC, int64_t begin, int64_t length) {
  return x_THC.narrow(0, begin, length).transpose(0, 1).unsqueeze(0);
}

struct PackedResult {
  at::Tensor out_THC;
  tensor_list log_sums;  // per row that is not empty
};

// Calls body(begin, length) for every row that is not empty.
template <typename Body>
void ForRows(const std::vector<int64_t>& row_offsets, const Body& body) {
  for (size_t row = 0; row + 1 < row_offsets.size(); ++row) {
    const int64_t begin = row_offsets[row];
    const int64_t length = row_offsets[row + 1] - begin;
    if (length > 0) body(begin, length);
  }
}

PackedResult Forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const std::vector<int64_t>& row_offsets, double scale) {
  PackedResult result;
  result.out_THC = at::empty(q.sizes(), q.options());
  ForRows(row_offsets, [&](int64_t begin, int64_t length) {
    auto [out, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(
        RowHeads(q, begin, length), RowHeads(k, begin, length), RowHeads(v, begin, length), /*dropout_p=*/0.0,
        /*is_causal=*/true, /*attn_mask=*/{}, scale);
    RowHeads(result.out_THC, begin, length).copy_(out);
    result.log_sums.push_back(std::move(log_sum));
  });
  return result;
}

class Function final : public torch::autograd::Function<Function> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, std::vector<int64_t> row_offsets, double scale) {
    PackedResult result = Forward(q, k, v, row_offsets, scale);
    tensor_list saved = {q, k, v, result.out_THC};
    saved.insert(saved.end(), result.log_sums.begin(), result.log_sums.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["row_offsets"] = std::move(row_offsets);
    context->saved_data["scale"] = scale;
    return result.out_THC;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3];
    const std::vector<int64_t> row_offsets = context->saved_data["row_offsets"].toIntVector();
    const double scale = context->saved_data["scale"].toDouble();
    at::Tensor grad_q = at::empty(q.sizes(), q.options());
    at::Tensor grad_k = at::empty(k.sizes(), k.options());
    at::Tensor grad_v = at::empty(v.sizes(), v.options());
    size_t next = 4;
    ForRows(row_offsets, [&](int64_t begin, int64_t length) {
      const auto [row_q, row_k, row_v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          RowHeads(grads[0], begin, length), RowHeads(q, begin, length), RowHeads(k, begin, length),
          RowHeads(v, begin, length), RowHeads(out, begin, length), saved[next++], /*dropout_p=*/0.0,
          /*is_causal=*/true, /*attn_mask=*/{}, scale);
      RowHeads(grad_q, begin, length).copy_(row_q);
      RowHeads(grad_k, begin, length).copy_(row_k);
      RowHeads(grad_v, begin, length).copy_(row_v);
    });
    return {grad_q, grad_k, grad_v, at::Tensor(), at::Tensor()};
  }
};

// Puts x [T, G, C] behind the `length` tokens of `store` [G, capacity, C]; returns all of them, [G, length +
// T, C].
at::Tensor Append(at::Tensor& store, const at::Tensor& x_TGC, int64_t length) {
  const int64_t needed = length + x_TGC.size(0);
  if (!store.defined() || store.size(1) < needed) {
    const int64_t capacity = std::max({needed, kMinCapacity, store.defined() ? 2 * store.size(1) : 0});
    at::Tensor grown = at::empty({x_TGC.size(1), capacity, x_TGC.size(2)}, x_TGC.options());
    if (length > 0) grown.narrow(1, 0, length).copy_(store.narrow(1, 0, length));
    store = grown;
  }
  store.narrow(1, length, x_TGC.size(0)).copy_(x_TGC.transpose(0, 1));
  return store.narrow(1, 0, needed);
}

}  // namespace

at::Tensor PackedAttention(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC,
                           const std::vector<int64_t>& row_offsets, double scale) {
  const bool differentiable =
      at::GradMode::is_enabled() && (q_THC.requires_grad() || k_TGC.requires_grad() || v_TGC.requires_grad());
  const at::Tensor out_THC = differentiable ? Function::apply(q_THC, k_TGC, v_TGC, row_offsets, scale)
                                            : Forward(q_THC, k_TGC, v_TGC, row_offsets, scale).out_THC;
  return out_THC.flatten(1);
}

at::Tensor CachedAttention(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC,
                           KvCache& cache, int64_t layer, double scale) {
  const at::NoGradGuard no_grad;
  const int64_t num_new = q_THC.size(0);
  if (static_cast<int64_t>(cache.keys.size()) <= layer) {
    cache.keys.resize(layer + 1);
    cache.values.resize(layer + 1);
  }
  const at::Tensor keys = Append(cache.keys[layer], k_TGC, cache.length);
  const at::Tensor values = Append(cache.values[layer], v_TGC, cache.length);
  // The kernel's own causal mask starts both sequences at the same token. A single new token sees everything.
  const bool starts = cache.length == 0;
  std::optional<at::Tensor> mask;
  if (!starts && num_new > 1) {
    mask =
        at::full({num_new, cache.length + num_new}, -std::numeric_limits<float>::infinity(), q_THC.options())
            .triu_(cache.length + 1);
  }
  const at::Tensor out = std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
      RowHeads(q_THC, 0, num_new), keys.unsqueeze(0), values.unsqueeze(0), /*dropout_p=*/0.0,
      /*is_causal=*/starts, mask, scale));
  return out.squeeze(0).transpose(0, 1).flatten(1);
}

at::Tensor PositionsOf(const TokenBatch& batch, const KvCache* cache, int64_t max_positions) {
  const std::vector<int64_t>& offsets = batch.row_offsets;
  const int64_t num_tokens = batch.ids_T.numel();
  TORCH_CHECK(offsets.size() >= 2 && offsets.front() == 0 && offsets.back() == num_tokens,
              "row offsets do not cover the ", num_tokens, " tokens of the batch");
  TORCH_CHECK(cache == nullptr || offsets.size() == 2, "a cache holds one row; the batch has ",
              offsets.size() - 1);
  const int64_t start = cache == nullptr ? 0 : cache->length;
  at::Tensor positions_T = at::empty({num_tokens}, at::TensorOptions().dtype(at::kLong));
  int64_t* const positions = positions_T.mutable_data_ptr<int64_t>();
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    const int64_t length = offsets[row + 1] - offsets[row];
    TORCH_CHECK(length >= 0 && offsets[row + 1] <= num_tokens, "row ", row, " of the batch has the offsets [",
                offsets[row], ", ", offsets[row + 1], ") of ", num_tokens, " tokens");
    TORCH_CHECK(start + length <= max_positions, "row ", row, " of the batch has ", start + length,
                " tokens; the model's context is ", max_positions);
    for (int64_t t = 0; t < length; ++t) positions[offsets[row] + t] = start + t;
  }
  return positions_T;
}

}  // namespace vernier::models
