// Our layers against the same thing written with plain tensor operations in double precision: values and
// gradients.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "worker/models/common/activation.h"
#include "worker/models/common/attention.h"
#include "worker/models/common/rms_norm.h"
#include "worker/models/common/rotary.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using Layer = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

struct LayerRun {
  at::Tensor out;
  std::vector<at::Tensor> grads;
};

LayerRun RunLayer(const Layer& layer, const std::vector<at::Tensor>& inputs, const at::Tensor& grad) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_(true));
  LayerRun run;
  run.out = layer(leaves);
  run.out.backward(grad.to(run.out.scalar_type()));
  for (const at::Tensor& leaf : leaves) run.grads.push_back(leaf.grad());
  return run;
}

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).norm() / want.norm()).item<double>();
}

// `reference` gets the same numbers in double.
void ExpectSame(const Layer& layer, const Layer& reference, const std::vector<at::Tensor>& inputs,
                double tolerance) {
  std::vector<at::Tensor> exact;
  for (const at::Tensor& input : inputs) exact.push_back(input.to(at::kDouble));
  at::manual_seed(9);
  const at::Tensor grad = torch::randn(reference(exact).sizes(), at::kDouble).to(inputs[0].scalar_type());
  const LayerRun got = RunLayer(layer, inputs, grad);
  const LayerRun want = RunLayer(reference, exact, grad);
  EXPECT_EQ(got.out.scalar_type(), inputs[0].scalar_type());
  EXPECT_LT(RelativeError(got.out, want.out), tolerance);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_LT(RelativeError(got.grads[i], want.grads[i]), tolerance) << "gradient of input " << i;
  }
  // Without a graph the values are the same bits.
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(layer(inputs), got.out));
}

class LayersTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    at::manual_seed(4);
    at::set_num_threads(1);  // computes layers so small fastest
  }
  void TearDown() override { at::set_num_threads(threads_before_); }
  at::Tensor Random(std::vector<int64_t> shape) const { return torch::randn(shape).to(GetParam()); }
  double tolerance() const { return GetParam() == at::kFloat ? 2e-6 : 1e-2; }

  const int threads_before_ = at::get_num_threads();
};

TEST_P(LayersTest, RmsNorm) {
  const auto reference = [](const std::vector<at::Tensor>& in) {
    return in[0] * (in[0].square().mean(1, true) + 1e-3).rsqrt() * in[1];
  };
  // Widths around the number of lanes, tokens around a block of weight gradients.
  for (const auto& [tokens, width] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 5}, {3, 15}, {64, 16}, {65, 33}, {200, 576}}) {
    SCOPED_TRACE(width);
    ExpectSame([](const auto& in) { return RmsNorm(in[0], in[1], 1e-3); }, reference,
               {Random({tokens, width}), torch::randn({width})}, tolerance());
  }
}

TEST_P(LayersTest, Gated) {
  const auto tanh_form = [](const at::Tensor& x) {
    return 0.5 * x * (1.0 + at::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x.pow(3))));
  };
  const auto exact = [](const at::Tensor& x) { return 0.5 * x * (1.0 + at::erf(x / std::sqrt(2.0))); };
  const std::pair<Activation, std::function<at::Tensor(const at::Tensor&)>> kinds[] = {
      {Activation::kSilu, [](const at::Tensor& x) { return x * x.sigmoid(); }},
      {Activation::kGeluTanh, tanh_form},
      {Activation::kGelu, exact}};
  for (const auto& [kind, reference] : kinds) {
    SCOPED_TRACE(static_cast<int>(kind));
    ExpectSame([&](const auto& in) { return Gated(kind, in[0], in[1]); },
               [&](const auto& in) { return reference(in[0]) * in[1]; }, {Random({7, 9}), Random({7, 9})},
               tolerance());
    ExpectSame([&](const auto& in) { return Activate(kind, in[0]); },
               [&](const auto& in) { return reference(in[0]); }, {Random({7, 9})}, tolerance());
  }
}

RotaryAngles AnglesOf(const RotaryOptions& options, const at::Tensor& positions_T) {
  return Rotary(options).At(positions_T, {0, positions_T.numel()}, /*past=*/0);
}

// The first 2 * half numbers of each of 2 heads of 6 turn.
at::Tensor RotaryReference(const at::Tensor& flat, const RotaryAngles& angles) {
  const at::Tensor x = flat.reshape({-1, 2, 6});
  const int64_t half = angles.cos_Th.size(1);
  const at::Tensor cos = angles.cos_Th.to(at::kDouble).unsqueeze(1),
                   sin = angles.sin_Th.to(at::kDouble).unsqueeze(1);
  const at::Tensor a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
  return at::cat({a * cos - b * sin, b * cos + a * sin, x.narrow(2, 2 * half, 6 - 2 * half)}, 2);
}

TEST_P(LayersTest, Rotary) {
  for (const int64_t rotated : {6, 4, 2}) {
    SCOPED_TRACE(rotated);
    const RotaryAngles angles = AnglesOf({.head_dim = 6, .rotated = rotated, .theta = 100.0},
                                         torch::tensor({0, 1, 2, 0, 40}, at::kLong));
    ExpectSame([&](const auto& in) { return ApplyRotary(in[0], angles); },
               [&](const auto& in) { return RotaryReference(in[0], angles); }, {Random({5, 12})},
               tolerance());
  }
}

TEST_P(LayersTest, RotaryOfAPartOfAWiderTensor) {
  const RotaryAngles angles =
      AnglesOf({.head_dim = 6, .rotated = 4, .theta = 100.0}, torch::tensor({0, 1, 2, 0, 40}, at::kLong));
  // q of a layer that makes q, k and v one after the other, and one head by head.
  ExpectSame([&](const auto& in) { return ApplyRotary(in[0].narrow(1, 5, 12), angles); },
             [&](const auto& in) { return RotaryReference(in[0].narrow(1, 5, 12), angles); },
             {Random({5, 30})}, tolerance());
  ExpectSame([&](const auto& in) { return ApplyRotary(in[0].select(2, 1), angles); },
             [&](const auto& in) { return RotaryReference(in[0].select(2, 1), angles); },
             {Random({5, 2, 3, 6})}, tolerance());
}

at::Tensor AttentionReference(const std::vector<at::Tensor>& in, const std::vector<int64_t>& offsets,
                              const AttentionRule& rule) {
  std::vector<at::Tensor> rows;
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    const int64_t length = offsets[r + 1] - offsets[r];
    if (length == 0) continue;
    const auto heads = [&](const at::Tensor& x) { return x.narrow(0, offsets[r], length).transpose(0, 1); };
    const int64_t group = in[0].size(1) / in[1].size(1);
    const at::Tensor q = heads(in[0]);
    const at::Tensor k = heads(in[1]).repeat_interleave(group, 0);
    const at::Tensor v = heads(in[2]).repeat_interleave(group, 0);
    at::Tensor hidden = at::ones({length, length}, at::kBool).triu(1);
    if (rule.window > 0) hidden = hidden.logical_or(at::ones({length, length}, at::kBool).tril(-rule.window));
    at::Tensor scores = at::matmul(q, k.transpose(1, 2)) * rule.scale;
    if (rule.cap > 0) scores = at::tanh(scores / rule.cap) * rule.cap;
    rows.push_back(
        at::matmul(scores.masked_fill(hidden, -INFINITY).softmax(-1), v).transpose(0, 1).flatten(1));
  }
  return at::cat(rows);
}

TEST_P(LayersTest, PackedAttention) {
  const std::vector<int64_t> offsets = {0, 3, 3, 4, 80, 89};
  const AttentionRule rule = {.scale = 0.4};
  for (const int64_t kv_heads : {1, 2, 4}) {
    SCOPED_TRACE(kv_heads);
    ExpectSame([&](const auto& in) { return PackedAttention(in[0], in[1], in[2], offsets, rule); },
               [&](const auto& in) { return AttentionReference(in, offsets, rule); },
               {Random({89, 4, 6}), Random({89, kv_heads, 6}), Random({89, kv_heads, 6})}, tolerance());
  }
}

// On both sides of the lengths at which backward changes: one block, several, the flash kernel.
TEST_P(LayersTest, PackedAttentionOfLongRows) {
  const AttentionRule rule = {.scale = 0.4};
  for (const int64_t length : {256, 257, 512, 513, 700}) {
    SCOPED_TRACE(length);
    const std::vector<int64_t> offsets = {0, 5, 5 + length};
    ExpectSame([&](const auto& in) { return PackedAttention(in[0], in[1], in[2], offsets, rule); },
               [&](const auto& in) { return AttentionReference(in, offsets, rule); },
               {Random({5 + length, 4, 8}), Random({5 + length, 2, 8}), Random({5 + length, 2, 8})},
               tolerance());
  }
}

// Heads of whole tiles, in rows on both sides of a block's 32 tokens and of a strip's 128.
TEST_P(LayersTest, PackedAttentionOfWideHeads) {
  const std::vector<int64_t> offsets = {0, 1, 1, 32, 64, 97, 225, 354, 654};
  for (const int64_t head_dim : {32, 64, 96}) {
    for (const int64_t window : {0, 2, 5, 32, 33, 100, 299}) {
      const int64_t kv_heads = head_dim == 64 ? 2 : 6;
      SCOPED_TRACE(::testing::Message() << head_dim << " wide, window " << window);
      const AttentionRule rule = {.scale = 0.2, .window = window};
      ExpectSame(
          [&](const auto& in) { return PackedAttention(in[0], in[1], in[2], offsets, rule); },
          [&](const auto& in) { return AttentionReference(in, offsets, rule); },
          {Random({654, 6, head_dim}), Random({654, kv_heads, head_dim}), Random({654, kv_heads, head_dim})},
          tolerance());
    }
  }
}

// So many heads of so long a row that their gradients do not lie in memory together.
TEST_P(LayersTest, PackedAttentionOfManyWideHeads) {
  const AttentionRule rule = {.scale = 0.1, .window = 50};
  const std::vector<int64_t> offsets = {0, 700, 1400};
  ExpectSame([&](const auto& in) { return PackedAttention(in[0], in[1], in[2], offsets, rule); },
             [&](const auto& in) { return AttentionReference(in, offsets, rule); },
             {Random({1400, 16, 128}), Random({1400, 4, 128}), Random({1400, 4, 128})}, tolerance());
}

TEST_P(LayersTest, GradientsOfAttentionAreTheSameBitsWhateverIsPackedWithItOnAnyNumberOfThreads) {
  const at::Tensor grad = Random({200, 6 * 64});
  const std::vector<at::Tensor> inputs = {Random({200, 6, 64}), Random({200, 2, 64}), Random({200, 2, 64})};
  const auto row = [](const at::Tensor& x) { return x.narrow(0, 40, 75).clone(); };
  const auto gradients = [&](const std::vector<at::Tensor>& in, const std::vector<int64_t>& offsets,
                             const at::Tensor& to) {
    return RunLayer([&](const auto& x) { return PackedAttention(x[0], x[1], x[2], offsets, {.scale = 0.3}); },
                    in, to)
        .grads;
  };
  const auto alone = gradients({row(inputs[0]), row(inputs[1]), row(inputs[2])}, {0, 75}, row(grad));
  std::vector<at::Tensor> poisoned = inputs;
  for (at::Tensor& x : poisoned) x.narrow(0, 115, 85).fill_(NAN);
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    const auto together = gradients(poisoned, {0, 40, 115, 200}, grad);
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_TRUE(at::equal(together[i].narrow(0, 40, 75), alone[i])) << threads << " threads, input " << i;
    }
  }
  at::set_num_threads(before);
}

// Rows shorter and longer than windows, and than the blocks that a long row is cut into.
TEST_P(LayersTest, PackedAttentionWithAWindow) {
  const std::vector<int64_t> offsets = {0, 3, 3, 4, 154, 163, 296};
  for (const int64_t window : {2, 5, 64, 100, 149, 150, 151}) {
    for (const int64_t kv_heads : {1, 4}) {
      SCOPED_TRACE(window);
      const AttentionRule rule = {.scale = 0.4, .window = window};
      ExpectSame([&](const auto& in) { return PackedAttention(in[0], in[1], in[2], offsets, rule); },
                 [&](const auto& in) { return AttentionReference(in, offsets, rule); },
                 {Random({296, 4, 6}), Random({296, kv_heads, 6}), Random({296, kv_heads, 6})}, tolerance());
    }
  }
}

TEST_P(LayersTest, ATokenThatSeesItselfAloneAnswersItsValue) {
  const at::Tensor q = Random({70, 2, 8}), k = Random({70, 2, 8}), v = Random({70, 2, 8});
  for (const double cap : {0.0, 2.0}) {
    const at::Tensor out = PackedAttention(q, k, v, {0, 3, 70}, {.scale = 0.3, .window = 1, .cap = cap});
    EXPECT_LT(RelativeError(out, v.flatten(1).to(at::kDouble)), tolerance()) << cap;
  }
}

TEST_P(LayersTest, PackedAttentionWithCappedScores) {
  const std::vector<int64_t> offsets = {0, 3, 3, 4, 154, 163, 296};
  for (const int64_t window : {0, 5, 140}) {
    for (const int64_t kv_heads : {1, 2, 4}) {
      SCOPED_TRACE(window);
      const AttentionRule rule = {.scale = 0.8, .window = window, .cap = 1.5};
      ExpectSame([&](const auto& in) { return PackedAttention(in[0], in[1], in[2], offsets, rule); },
                 [&](const auto& in) { return AttentionReference(in, offsets, rule); },
                 {Random({296, 4, 6}), Random({296, kv_heads, 6}), Random({296, kv_heads, 6})}, tolerance());
    }
  }
}

TEST_P(LayersTest, ARowsAttentionIsTheSameBitsWhateverIsPackedWithIt) {
  const at::Tensor q = Random({70, 4, 8}), k = Random({70, 2, 8}), v = Random({70, 2, 8});
  const auto part = [](const at::Tensor& x) { return x.narrow(0, 20, 33).contiguous(); };
  const at::Tensor together = PackedAttention(q, k, v, {0, 20, 53, 70}, {.scale = 0.3});
  EXPECT_TRUE(at::equal(together.narrow(0, 20, 33),
                        PackedAttention(part(q), part(k), part(v), {0, 33}, {.scale = 0.3})));
}

TEST_P(LayersTest, CachedAttentionGrowsItsCache) {
  const at::Tensor q = Random({200, 4, 8}), k = Random({200, 2, 8}), v = Random({200, 2, 8});
  const at::Tensor whole = PackedAttention(q, k, v, {0, 200}, {.scale = 0.3});
  KvCache cache;
  int64_t grown = 0;
  for (int64_t t = 0; t < 200; ++t) {
    const void* before = cache.keys.empty() ? nullptr : cache.keys[0].const_data_ptr();
    const at::Tensor out = CachedAttention(q.narrow(0, t, 1), k.narrow(0, t, 1), v.narrow(0, t, 1), cache,
                                           /*layer=*/0, {.scale = 0.3});
    ++cache.length;
    grown += cache.keys[0].const_data_ptr() != before;
    EXPECT_LT(RelativeError(out[0], whole[t].to(at::kDouble)), tolerance()) << t;
  }
  EXPECT_LE(grown, 3) << "the cache is copied at every token";
}

// A prompt, single tokens and several at once, whatever of the window lies in the cache.
TEST_P(LayersTest, CachedAttentionIsThatOfTheWholeRow) {
  const at::Tensor q = Random({300, 4, 8}), k = Random({300, 2, 8}), v = Random({300, 2, 8});
  for (const AttentionRule rule :
       {AttentionRule{.scale = 0.3, .window = 7}, AttentionRule{.scale = 0.3, .window = 90},
        AttentionRule{.scale = 0.3, .cap = 2.0}, AttentionRule{.scale = 0.3, .window = 7, .cap = 2.0}}) {
    const at::Tensor whole =
        AttentionReference({q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble)}, {0, 300}, rule);
    KvCache cache;
    for (const int64_t length : {150, 1, 1, 3, 100, 1, 44}) {
      const auto part = [&](const at::Tensor& x) { return x.narrow(0, cache.length, length); };
      const at::Tensor out = CachedAttention(part(q), part(k), part(v), cache, /*layer=*/0, rule);
      EXPECT_LT(RelativeError(out, part(whole)), tolerance())
          << cache.length << " " << rule.window << " " << rule.cap;
      cache.length += length;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, LayersTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return info.param == at::kFloat ? "Fp32" : "Bf16"; });

TEST(LayersTest, ResultsDoNotDependOnTheNumberOfThreads) {
  at::manual_seed(5);
  const at::Tensor x = torch::randn({300, 512}), weight = torch::randn({512}),
                   grad = torch::randn({300, 512});
  const int before = at::get_num_threads();
  std::vector<LayerRun> runs;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    runs.push_back(RunLayer([](const auto& in) { return RmsNorm(in[0], in[1], 1e-5); }, {x, weight}, grad));
    runs.push_back(RunLayer(
        [](const auto& in) {
          const at::Tensor h = in[0].unflatten(1, {8, 64});
          return PackedAttention(h, h, h, {0, 100, 300}, {.scale = 0.125});
        },
        {x}, grad));
  }
  at::set_num_threads(before);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::equal(runs[i].out, runs[i + 2].out));
    for (size_t g = 0; g < runs[i].grads.size(); ++g)
      EXPECT_TRUE(at::equal(runs[i].grads[g], runs[i + 2].grads[g]));
  }
}

TEST(PositionsOfTest, StartAgainInEveryRowAndGoOnAfterACache) {
  TokenBatch batch;
  batch.ids_T = at::zeros({5}, at::kLong);
  batch.row_offsets = {0, 3, 3, 5};
  EXPECT_TRUE(at::equal(PositionsOf(batch, nullptr, 3), torch::tensor({0, 1, 2, 0, 1}, at::kLong)));
  batch.row_offsets = {0, 5};
  KvCache cache;
  cache.length = 7;
  EXPECT_TRUE(at::equal(PositionsOf(batch, &cache, 12), torch::tensor({7, 8, 9, 10, 11}, at::kLong)));
  EXPECT_THROW(PositionsOf(batch, &cache, 11), c10::Error);
}

TEST(PositionsOfTest, OffsetsThatDoNotCoverTheTokensAreErrors) {
  TokenBatch batch;
  batch.ids_T = at::zeros({5}, at::kLong);
  KvCache cache;
  for (const std::vector<int64_t>& offsets :
       {std::vector<int64_t>{}, {0}, {0, 4}, {1, 5}, {0, 4, 2, 5}, {0, -1, 5}, {0, 9, 5}}) {
    batch.row_offsets = offsets;
    EXPECT_THROW(PositionsOf(batch, nullptr, 100), c10::Error);
  }
  batch.row_offsets = {0, 2, 5};
  EXPECT_THROW(PositionsOf(batch, &cache, 100), c10::Error) << "two rows with one cache";
}

}  // namespace
}  // namespace vernier::models
