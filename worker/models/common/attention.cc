#include "worker/models/common/attention.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "worker/models/common/block_attention.h"
#include "worker/models/common/query_blocks.h"
#include "worker/models/common/tile_attention.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Keys and values grow by doubling from here, so that n tokens cost O(n) copies.
constexpr int64_t kMinCapacity = 64;

// Bounds of a block of queries in a windowed row: 512 of them against a window of 4,096 are a mask of 5 MB in
// bf16.
constexpr int64_t kMinWindowBlock = 64;
constexpr int64_t kMaxWindowBlock = 512;

// Rows longer than this pass backward through LibTorch's flash kernel: it overtakes products of blocks here,
// is twice as fast at 8,192 tokens, and takes twice as long at 128 (docs/performance.md).
constexpr int64_t kLongRow = 512;

// [L, H, C] of one row as [1, H, L, C], the kernel's order; a view.
at::Tensor RowHeads(const at::Tensor& x_THC, int64_t begin, int64_t length) {
  return x_THC.narrow(0, begin, length).transpose(0, 1).unsqueeze(0);
}

// One call of the kernel: a block of queries, and how it tells which keys they see.
struct Call {
  QueryBlock queries;
  bool causal = false;             // the kernel's own mask, which starts both sequences at the same token
  std::optional<at::Tensor> mask;  // [queries, keys], added to the scores; neither: every key is seen
};

// Queries in a call of a windowed row: the longer, the fewer calls and the more masked scores.
int64_t WindowBlockOf(int64_t window) {
  return std::clamp<int64_t>(window, kMinWindowBlock, kMaxWindowBlock);
}

// Calls body(Call) for the `num_new` tokens of a row that follow `past` others. Only rows with a window that
// is shorter than they take more than one call.
template <typename Body>
void ForCalls(int64_t num_new, int64_t past, int64_t window, const at::TensorOptions& options,
              const Body& body) {
  if (window == 0 || past + num_new <= window) {
    Call call{{0, num_new, 0, past + num_new}, /*causal=*/past == 0, {}};
    // A single new token sees everything.
    if (past > 0 && num_new > 1) {
      call.mask = at::full({num_new, past + num_new}, -std::numeric_limits<float>::infinity(), options)
                      .triu_(past + 1);
    }
    body(call);
    return;
  }
  const int64_t block = std::min(WindowBlockOf(window), num_new);
  // Of a block that sees all of its keys' window - 1 tokens before it; blocks at a row's start see fewer.
  at::Tensor hidden;
  if (block > 1) {
    hidden = at::full({block, window - 1 + block}, -std::numeric_limits<float>::infinity(), options);
    hidden = hidden.triu(window).add_(hidden.tril(-1));
  }
  ForQueryBlocks(num_new, past, window, block, [&](const QueryBlock& queries) {
    Call call{queries, false, {}};
    if (queries.length > 1) {
      const int64_t cut = queries.first_key - (past + queries.begin - window + 1);
      call.mask = hidden.narrow(0, 0, queries.length).narrow(1, cut, queries.num_keys());
    }
    body(call);
  });
}

// Calls body(begin, length) for every row that is not empty.
template <typename Body>
void ForRows(const std::vector<int64_t>& row_offsets, const Body& body) {
  for (size_t row = 0; row + 1 < row_offsets.size(); ++row) {
    const int64_t begin = row_offsets[row];
    const int64_t length = row_offsets[row + 1] - begin;
    if (length > 0) body(begin, length);
  }
}

// A row that the flash kernel takes in one call. It knows no cap, and a window only as a mask.
bool IsPlain(int64_t length, const AttentionRule& rule) {
  return rule.cap == 0.0 && (rule.window == 0 || length <= rule.window);
}

BlockAttentionResult Forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const std::vector<int64_t>& row_offsets, const AttentionRule& rule) {
  BlockAttentionResult all = {at::empty(q.sizes(), q.options()),
                              at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat))};
  ForRows(row_offsets, [&](int64_t begin, int64_t length) {
    const auto row = [&](const at::Tensor& x) { return x.narrow(0, begin, length); };
    if (IsPlain(length, rule)) {
      const auto [out, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(
          RowHeads(q, begin, length), RowHeads(k, begin, length), RowHeads(v, begin, length),
          /*dropout_p=*/0.0, /*is_causal=*/true, /*attn_mask=*/{}, rule.scale);
      RowHeads(all.out_NHC, begin, length).copy_(out);
      row(all.log_sum_NH).transpose(0, 1).copy_(log_sum.squeeze(0));
      return;
    }
    const BlockAttentionResult result = BlockAttention(row(q), row(k), row(v), /*past=*/0, rule);
    row(all.out_NHC).copy_(result.out_NHC);
    row(all.log_sum_NH).copy_(result.log_sum_NH);
  });
  return all;
}

std::vector<double> Packed(const AttentionRule& rule) {
  return {rule.scale, static_cast<double>(rule.window), rule.cap};
}

AttentionRule Unpacked(const c10::IValue& value) {
  const std::vector<double> numbers = value.toDoubleVector();
  return {numbers[0], static_cast<int64_t>(numbers[1]), numbers[2]};
}

class AttentionFunction final : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, std::vector<int64_t> row_offsets,
                            const AttentionRule& rule) {
    BlockAttentionResult result = Forward(q, k, v, row_offsets, rule);
    context->save_for_backward({q, k, v, result.out_NHC, result.log_sum_NH});
    context->saved_data["row_offsets"] = std::move(row_offsets);
    context->saved_data["rule"] = Packed(rule);
    return result.out_NHC;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    RefuseSecondDerivative("packed attention");
    const auto saved = context->get_saved_variables();
    const std::vector<int64_t> row_offsets = context->saved_data["row_offsets"].toIntVector();
    const AttentionRule rule = Unpacked(context->saved_data["rule"]);
    if (TakesTiles(saved[0], rule)) {
      PackedGradients gradients = TileAttentionBackward({.q_THC = saved[0],
                                                         .k_TGC = saved[1],
                                                         .v_TGC = saved[2],
                                                         .out_THC = saved[3],
                                                         .log_sum_TH = saved[4],
                                                         .grad_THC = grads[0].contiguous(),
                                                         .row_offsets = row_offsets},
                                                        rule);
      return {gradients.q_THC, gradients.k_TGC, gradients.v_TGC, at::Tensor(), at::Tensor()};
    }
    tensor_list out;
    for (int i = 0; i < 3; ++i) out.push_back(at::empty(saved[i].sizes(), saved[i].options()));
    ForRows(row_offsets, [&](int64_t begin, int64_t length) {
      const auto row = [&](const at::Tensor& x) { return x.narrow(0, begin, length); };
      if (length > kLongRow && IsPlain(length, rule)) {
        const auto heads = [&](const at::Tensor& x) { return RowHeads(x, begin, length); };
        const auto [grad_q, grad_k, grad_v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
            heads(grads[0]), heads(saved[0]), heads(saved[1]), heads(saved[2]), heads(saved[3]),
            row(saved[4]).transpose(0, 1).unsqueeze(0), /*dropout_p=*/0.0, /*is_causal=*/true,
            /*attn_mask=*/{}, rule.scale);
        heads(out[0]).copy_(grad_q);
        heads(out[1]).copy_(grad_k);
        heads(out[2]).copy_(grad_v);
        return;
      }
      const BlockAttentionGradients gradients = BlockAttentionBackward(
          row(grads[0]), row(saved[0]), row(saved[1]), row(saved[2]), {row(saved[3]), row(saved[4])}, rule);
      row(out[0]).copy_(gradients.q_NHC);
      row(out[1]).copy_(gradients.k_SGC);
      row(out[2]).copy_(gradients.v_SGC);
    });
    return {out[0], out[1], out[2], at::Tensor(), at::Tensor()};
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
                           const std::vector<int64_t>& row_offsets, const AttentionRule& rule) {
  const bool differentiable =
      at::GradMode::is_enabled() && (q_THC.requires_grad() || k_TGC.requires_grad() || v_TGC.requires_grad());
  const at::Tensor out_THC = differentiable ? AttentionFunction::apply(q_THC, k_TGC, v_TGC, row_offsets, rule)
                                            : Forward(q_THC, k_TGC, v_TGC, row_offsets, rule).out_NHC;
  return out_THC.flatten(1);
}

at::Tensor CachedAttention(const at::Tensor& q_THC, const at::Tensor& k_TGC, const at::Tensor& v_TGC,
                           KvCache& cache, int64_t layer, const AttentionRule& rule) {
  const at::NoGradGuard no_grad;
  const int64_t num_new = q_THC.size(0);
  if (static_cast<int64_t>(cache.keys.size()) <= layer) {
    cache.keys.resize(layer + 1);
    cache.values.resize(layer + 1);
  }
  const at::Tensor keys = Append(cache.keys[layer], k_TGC, cache.length);
  const at::Tensor values = Append(cache.values[layer], v_TGC, cache.length);
  if (rule.cap > 0.0) {
    return BlockAttention(q_THC, keys.transpose(0, 1), values.transpose(0, 1), cache.length, rule)
        .out_NHC.flatten(1);
  }
  at::Tensor out_THC;
  ForCalls(num_new, cache.length, rule.window, q_THC.options(), [&](const Call& call) {
    const QueryBlock& queries = call.queries;
    const at::Tensor out =
        std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
                        RowHeads(q_THC, queries.begin, queries.length),
                        keys.narrow(1, queries.first_key, queries.num_keys()).unsqueeze(0),
                        values.narrow(1, queries.first_key, queries.num_keys()).unsqueeze(0),
                        /*dropout_p=*/0.0, call.causal, call.mask, rule.scale))
            .squeeze(0)
            .transpose(0, 1);
    if (queries.length == num_new) {
      out_THC = out;
      return;
    }
    if (!out_THC.defined()) out_THC = at::empty(q_THC.sizes(), q_THC.options());
    out_THC.narrow(0, queries.begin, queries.length).copy_(out);
  });
  return out_THC.flatten(1);
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
