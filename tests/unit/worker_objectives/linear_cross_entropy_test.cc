#include "worker/objectives/linear_cross_entropy.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/models/torch.h"
#include "worker/objectives/objective.h"

namespace vernier::objectives {
namespace {

constexpr int64_t kWidth = 12;
constexpr int64_t kVocabulary = 31;

struct Inputs {
  at::Tensor hidden, head, targets, weights;
};

// More rows than one chunk holds, and not a multiple of it.
Inputs Make(int64_t n) {
  const auto waves = [](int64_t size, double step) { return at::arange(size, at::kFloat).mul(step).sin(); };
  Inputs in;
  in.hidden = waves(n * kWidth, 0.7).view({n, kWidth}).set_requires_grad(true);
  in.head = waves(kVocabulary * kWidth, 1.3).view({kVocabulary, kWidth}).set_requires_grad(true);
  in.targets = at::arange(n, at::kLong).mul(7).remainder(kVocabulary);
  in.weights = at::arange(n, at::kFloat).remainder(4).add(0.5);
  return in;
}

class LinearCrossEntropyTest : public ::testing::TestWithParam<int64_t> {};

// Against the same thing with plain operations; `logit_cap` 0: none.
void ExpectUnfused(int64_t n, double logit_cap) {
  const Inputs ours = Make(n);
  const LinearCrossEntropy got =
      ComputeLinearCrossEntropy(ours.hidden, ours.head, ours.targets, ours.weights, logit_cap);
  (got.loss * 3.0).backward();

  const Inputs plain = Make(n);
  at::Tensor logits = at::linear(plain.hidden, plain.head);
  if (logit_cap > 0.0) logits = at::tanh(logits / logit_cap) * logit_cap;
  const at::Tensor nll = -at::log_softmax(logits, 1).gather(1, plain.targets.unsqueeze(1)).squeeze(1);
  const at::Tensor loss = (nll * plain.weights).sum();
  (loss * 3.0).backward();

  EXPECT_NEAR(got.loss.item<double>(), loss.item<double>(), 1e-5 * loss.item<double>());
  EXPECT_TRUE(at::allclose(got.nll_N, nll, 1e-5, 1e-5));
  EXPECT_TRUE(at::equal(got.correct_N, logits.argmax(1).eq(plain.targets)));
  EXPECT_TRUE(at::allclose(ours.hidden.grad(), plain.hidden.grad(), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(ours.head.grad(), plain.head.grad(), 1e-4, 1e-4));
}

TEST_P(LinearCrossEntropyTest, EqualsTheUnfusedComputation) { ExpectUnfused(GetParam(), 0.0); }

TEST_P(LinearCrossEntropyTest, CappedLogitsToo) { ExpectUnfused(GetParam(), 1.5); }

INSTANTIATE_TEST_SUITE_P(Sizes, LinearCrossEntropyTest, ::testing::Values(1, 255, 256, 600),
                         [](const auto& info) { return absl::StrCat("N", info.param); });

TEST(LinearCrossEntropyTest, AFrozenHeadGetsNoGradient) {
  Inputs in = Make(10);
  in.head = in.head.detach();
  ComputeLinearCrossEntropy(in.hidden, in.head, in.targets, in.weights).loss.backward();
  EXPECT_TRUE(in.hidden.grad().defined());
  EXPECT_FALSE(in.head.grad().defined());
}

TEST(LinearCrossEntropyTest, Bf16KeepsItsTypesAndStaysNear) {
  Inputs in = Make(300);
  const at::Tensor hidden = in.hidden.detach().to(at::kBFloat16).set_requires_grad(true);
  const at::Tensor head = in.head.detach().to(at::kBFloat16).set_requires_grad(true);
  const LinearCrossEntropy got = ComputeLinearCrossEntropy(hidden, head, in.targets, in.weights);
  got.loss.backward();
  EXPECT_EQ(got.loss.scalar_type(), at::kFloat);
  EXPECT_EQ(hidden.grad().scalar_type(), at::kBFloat16);
  EXPECT_EQ(head.grad().scalar_type(), at::kBFloat16);
  const LinearCrossEntropy want = ComputeLinearCrossEntropy(in.hidden, in.head, in.targets, in.weights);
  EXPECT_NEAR(got.loss.item<double>(), want.loss.item<double>(), 0.01 * want.loss.item<double>());
}

TEST(CreateObjectiveTest, NoLossIsAnError) {
  EXPECT_EQ(CreateObjective({}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::objectives
