// What worker/plan/activations.h counts for the loss is what LibTorch allocates while it is computed.
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "tests/testing/torch/counting_allocator.h"
#include "worker/models/torch.h"
#include "worker/objectives/linear_cross_entropy.h"
#include "worker/plan/activations.h"

namespace vernier {
namespace {

constexpr int64_t kWidth = 64;
constexpr int64_t kVocabulary = 4096;
constexpr int64_t kTargets = 600;

class LossBytesTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {};  // full tuning, bf16

TEST_P(LossBytesTest, TheScratchIsWhatIsAllocatedOnTheWay) {
  const auto [full, bf16] = GetParam();
  const auto options = at::TensorOptions().dtype(bf16 ? at::kBFloat16 : at::kFloat);
  testing::LiveTensorBytes();
  const at::Tensor hidden = at::full({kTargets, kWidth}, 0.1, options).set_requires_grad(true);
  const at::Tensor head = at::full({kVocabulary, kWidth}, 0.1, options).set_requires_grad(full);
  const at::Tensor targets = at::zeros({kTargets}, at::kLong);
  const at::Tensor weights = at::ones({kTargets}, at::kFloat);
  const int64_t before = testing::LiveTensorBytes();
  testing::ResetPeakTensorBytes();
  const auto result = objectives::ComputeLinearCrossEntropy(hidden, head, targets, weights);
  const int64_t kept = testing::LiveTensorBytes() - before;
  const int64_t on_the_way = testing::PeakTensorBytes() - before - kept;

  v1::ModelShape shape;
  shape.set_hidden_size(kWidth);
  shape.set_vocab_size(kVocabulary);
  v1::Tuning tuning;
  if (full) {
    tuning.mutable_full();
  } else {
    tuning.mutable_lora();
  }
  const int64_t counted = plan::ScratchBytesOf(shape, tuning, bf16, kTargets, kTargets).loss;
  // What a product needs for each thread is not counted, and not every CPU packs the head in bf16.
  constexpr int64_t kOfThreads = 256 << 10, kSingleNumbers = 64;
  const int64_t packed = bf16 && !full ? kVocabulary * kWidth * 2 : 0;
  EXPECT_GE(counted, on_the_way - kOfThreads);
  EXPECT_LE(counted, on_the_way + packed + kSingleNumbers);
}

INSTANTIATE_TEST_SUITE_P(Kinds, LossBytesTest, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) ? "Full" : "Lora") +
                                  (std::get<1>(info.param) ? "Bf16" : "Fp32");
                         });

}  // namespace
}  // namespace vernier
