// The loops of each instruction set that this processor has, against the plain ones, over widths on both
// sides of a vector's 16 numbers. layers_test.cc compares the processor's best with double precision.
#include <c10/util/BFloat16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "worker/models/common/kernels.h"

namespace vernier::models::kernels {
namespace {

enum class Set { kPlain, kAvx2, kAvx512 };

bool Has(Set set) {
  switch (set) {
    case Set::kPlain:
      return true;
    case Set::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Set::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  }
  return false;
}

template <typename T>
Loops<T> LoopsOf(Set set) {
  if (set == Set::kAvx512) return avx512::MakeLoops<T>();
  if (set == Set::kAvx2) return avx2::MakeLoops<T>();
  return plain::MakeLoops<T>();
}

constexpr int64_t kWidths[] = {1, 15, 16, 17, 33, 1040};
constexpr int64_t kTokens = 3;

template <typename T>
std::vector<T> Random(int64_t size, int seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<T> numbers(size);
  for (T& x : numbers) x = static_cast<T>(2.0f * normal(generator));
  return numbers;
}

template <typename T>
void ExpectNear(const std::vector<T>& got, const std::vector<T>& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  // A sum in another order may round a bf16 the other way: one unit in its last place.
  const float relative = std::is_same_v<T, float> ? 1e-5f : 1.0f / 128;
  for (size_t i = 0; i < got.size(); ++i) {
    const auto a = static_cast<float>(got[i]), b = static_cast<float>(want[i]);
    ASSERT_NEAR(a, b, relative * std::max(1.0f, std::abs(b))) << what << " " << i;
  }
}

template <typename T>
class KernelLoopsTest : public ::testing::Test {
 protected:
  // Calls body(loops of a set, plain loops) for each set but the plain one.
  template <typename Body>
  void ForSets(const Body& body) {
    int compared = 0;
    for (const Set set : {Set::kAvx2, Set::kAvx512}) {
      if (!Has(set)) continue;
      SCOPED_TRACE(set == Set::kAvx2 ? "avx2" : "avx512");
      body(LoopsOf<T>(set), LoopsOf<T>(Set::kPlain));
      ++compared;
    }
    if (compared == 0) GTEST_SKIP() << "this processor runs the plain loops only";
  }
};

using Types = ::testing::Types<float, c10::BFloat16>;
TYPED_TEST_SUITE(KernelLoopsTest, Types);

TYPED_TEST(KernelLoopsTest, Norms) {
  using T = TypeParam;
  this->ForSets([](const Loops<T>& loops, const Loops<T>& plain) {
    for (const int64_t width : kWidths) {
      SCOPED_TRACE(width);
      const RmsNormShape shape = {.num_tokens = kTokens, .width = width};
      const int64_t size = kTokens * width;
      const auto x = Random<T>(size, 1), delta = Random<T>(size, 2), grad = Random<T>(size, 3),
                 grad_sum = Random<T>(size, 4);
      const auto weight = Random<float>(width, 5);
      std::vector<T> sum[2], y[2], grad_x[2];
      std::vector<float> rstd[2], grad_weight[2];
      for (int i = 0; i < 2; ++i) {
        const Loops<T>& use = i == 0 ? loops : plain;
        sum[i].resize(size);
        y[i].resize(size);
        grad_x[i].resize(size);
        rstd[i].resize(kTokens);
        grad_weight[i].resize(width);
        use.add_rms_norm(shape, x.data(), delta.data(), weight.data(), sum[i].data(), y[i].data(),
                         rstd[i].data(), 0, kTokens);
        use.rms_norm_backward_input(shape, grad.data(), grad_sum.data(), x.data(), weight.data(),
                                    rstd[i].data(), grad_x[i].data(), 0, kTokens);
        use.rms_norm_backward_weight(width, grad.data(), x.data(), rstd[i].data(), grad_weight[i].data(), 0,
                                     kTokens);
      }
      EXPECT_EQ(0, std::memcmp(sum[0].data(), sum[1].data(), size * sizeof(T)));
      ExpectNear(y[0], y[1], "y");
      ExpectNear(rstd[0], rstd[1], "rstd");
      ExpectNear(grad_x[0], grad_x[1], "gradient to x");
      ExpectNear(grad_weight[0], grad_weight[1], "gradient to the weight");
    }
  });
}

TYPED_TEST(KernelLoopsTest, Rotations) {
  using T = TypeParam;
  this->ForSets([](const Loops<T>& loops, const Loops<T>& plain) {
    for (const int64_t half : {1, 8, 15, 16, 17, 32}) {
      for (const float direction : {1.0f, -1.0f}) {
        SCOPED_TRACE(half);
        const int64_t head_dim = 2 * half + 5;  // a part of each head stays
        const RotateShape shape = {.token_stride = 2 * head_dim + 3,
                                   .head_stride = head_dim + 1,
                                   .direction = direction,
                                   .num_tokens = kTokens,
                                   .num_heads = 2,
                                   .head_dim = head_dim,
                                   .half = half};
        const auto x = Random<T>(kTokens * shape.token_stride, 1);
        const auto cos = Random<float>(kTokens * half, 2), sin = Random<float>(kTokens * half, 3);
        std::vector<T> y[2];
        for (int i = 0; i < 2; ++i) {
          y[i].resize(kTokens * 2 * head_dim);
          (i == 0 ? loops : plain).rotate(shape, x.data(), cos.data(), sin.data(), y[i].data(), 0, kTokens);
        }
        ExpectNear(y[0], y[1], "rotated");
      }
    }
  });
}

TYPED_TEST(KernelLoopsTest, Gates) {
  using T = TypeParam;
  this->ForSets([](const Loops<T>& loops, const Loops<T>& plain) {
    for (const int64_t width : kWidths) {
      SCOPED_TRACE(width);
      const GateShape shape = {
          .num_tokens = kTokens, .width = width, .gate_stride = 2 * width, .up_stride = width + 3};
      const int64_t size = kTokens * width;
      const auto gate = Random<T>(kTokens * 2 * width, 1), up = Random<T>(kTokens * (width + 3), 2),
                 grad = Random<T>(size, 3);
      std::vector<T> y[2], grad_gate[2], grad_up[2];
      for (int i = 0; i < 2; ++i) {
        const Loops<T>& use = i == 0 ? loops : plain;
        y[i].resize(size);
        grad_gate[i].resize(size);
        grad_up[i].resize(size);
        use.silu_gate(shape, gate.data(), up.data(), y[i].data(), 0, kTokens);
        use.silu_gate_backward(shape, grad.data(), gate.data(), up.data(), grad_gate[i].data(),
                               grad_up[i].data(), 0, kTokens);
      }
      ExpectNear(y[0], y[1], "y");
      ExpectNear(grad_gate[0], grad_gate[1], "gradient to gate");
      ExpectNear(grad_up[0], grad_up[1], "gradient to up");
    }
  });
}

TYPED_TEST(KernelLoopsTest, Losses) {
  using T = TypeParam;
  this->ForSets([](const Loops<T>& loops, const Loops<T>& plain) {
    for (const int64_t width : kWidths) {
      for (const float cap : {0.0f, 1.5f}) {
        SCOPED_TRACE(width);
        const CrossEntropyShape shape = {
            .num_targets = kTokens, .vocabulary = width, .cap = cap, .want_gradient = true};
        const auto logits = Random<T>(kTokens * width, 1);
        const auto weights = Random<float>(kTokens, 2);
        const std::vector<int64_t> targets = {0, width / 2, width - 1};
        std::vector<T> grad[2] = {logits, logits};
        std::vector<float> nll[2];
        const std::unique_ptr<bool[]> correct[2] = {std::make_unique<bool[]>(kTokens),
                                                    std::make_unique<bool[]>(kTokens)};
        for (int i = 0; i < 2; ++i) {
          nll[i].resize(kTokens);
          (i == 0 ? loops : plain)
              .cross_entropy(shape, grad[i].data(), targets.data(), weights.data(), nll[i].data(),
                             correct[i].get(), 0, kTokens);
        }
        ExpectNear(nll[0], nll[1], "nll");
        ExpectNear(grad[0], grad[1], "gradient to the logits");
        for (int64_t t = 0; t < kTokens; ++t) EXPECT_EQ(correct[0][t], correct[1][t]);
      }
    }
  });
}

TYPED_TEST(KernelLoopsTest, AttentionScores) {
  using T = TypeParam;
  this->ForSets([](const Loops<T>& loops, const Loops<T>& plain) {
    for (const int64_t keys : {1, 16, 33, 40}) {
      for (const int64_t window : {0, 5, 20}) {
        for (const float cap : {0.0f, 1.5f}) {
          SCOPED_TRACE(::testing::Message() << keys << " keys, window " << window << ", cap " << cap);
          const ScoreShape shape = {.num_rows = 2 * keys,
                                    .num_keys = keys,
                                    .head_dim = 24,
                                    .queries = keys,
                                    .window = window,
                                    .scale = 0.7f,
                                    .cap = cap};
          const int64_t size = shape.num_rows * keys;
          const auto scores = Random<float>(size, 1), grad_p = Random<float>(size, 2);
          const auto out = Random<T>(shape.num_rows * 24, 3), grad = Random<T>(shape.num_rows * 24, 4);
          std::vector<T> p[2], p_again[2], grad_scores[2];
          std::vector<float> log_sum[2];
          for (int i = 0; i < 2; ++i) {
            const Loops<T>& use = i == 0 ? loops : plain;
            for (auto* v : {&p[i], &p_again[i], &grad_scores[i]}) v->assign(size, static_cast<T>(NAN));
            log_sum[i].resize(shape.num_rows);
            use.attention_weights(shape, scores.data(), p[i].data(), log_sum[i].data(), 0, shape.num_rows);
            use.attention_gradients(shape, scores.data(), grad_p.data(), out.data(), grad.data(),
                                    log_sum[i].data(), p_again[i].data(), grad_scores[i].data(), 0,
                                    shape.num_rows);
          }
          ExpectNear(p[0], p[1], "p");
          ExpectNear(log_sum[0], log_sum[1], "log sum");
          ExpectNear(p_again[0], p[1], "p again");
          ExpectNear(grad_scores[0], grad_scores[1], "gradient to the scores");
        }
      }
    }
  });
}

// A model that has broken must not look as if it had a loss.
TYPED_TEST(KernelLoopsTest, WhatIsNotANumberStaysNone) {
  using T = TypeParam;
  for (const Set set : {Set::kPlain, Set::kAvx2, Set::kAvx512}) {
    if (!Has(set)) continue;
    const Loops<T> loops = LoopsOf<T>(set);
    for (const float cap : {0.0f, 1.5f}) {
      for (const int64_t broken : {int64_t{3}, int64_t{32}, int64_t{-1}}) {  // -1: all of them
        SCOPED_TRACE(::testing::Message()
                     << "set " << static_cast<int>(set) << ", cap " << cap << ", at " << broken);
        std::vector<T> logits = Random<T>(33, 1);
        std::vector<float> scores = Random<float>(33, 2);
        for (int64_t i = 0; i < 33; ++i) {
          if (broken == i || broken < 0) {
            logits[i] = static_cast<T>(NAN);
            scores[i] = NAN;
          }
        }
        const int64_t target = 1;
        float weight = 1.0f, nll = 0.0f, log_sum = 0.0f;
        bool correct = false;
        loops.cross_entropy({.num_targets = 1, .vocabulary = 33, .cap = cap}, logits.data(), &target, &weight,
                            &nll, &correct, 0, 1);
        EXPECT_TRUE(std::isnan(nll)) << nll;
        std::vector<T> p(33);
        loops.attention_weights({.num_rows = 1, .num_keys = 33, .head_dim = 8, .diagonal = 32, .cap = cap},
                                scores.data(), p.data(), &log_sum, 0, 1);
        EXPECT_TRUE(std::isnan(log_sum)) << log_sum;
        EXPECT_TRUE(std::isnan(static_cast<float>(p[0]))) << static_cast<float>(p[0]);
      }
    }
  }
}

}  // namespace
}  // namespace vernier::models::kernels
