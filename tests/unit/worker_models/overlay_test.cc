// The base overlay's linear layer, and that models ask the overlay wherever it matters.
#include <gtest/gtest.h>

#include <set>

#include "tests/testing/family_model.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

struct LinearCase {
  std::string name;
  bool weight_is_io;
  bool has_bias;
  at::ScalarType dtype;
};

class OverlayLinearTest : public ::testing::TestWithParam<LinearCase> {};

TEST_P(OverlayLinearTest, IsTheProductPlusTheBiasInTheDtypeOfX) {
  at::manual_seed(1);
  const LinearSite site = {.in_features = 5, .out_features = 3, .weight_is_io = GetParam().weight_is_io};
  const at::Tensor x = torch::randn({4, 5}).to(GetParam().dtype);
  const at::Tensor weight_OI = torch::randn({3, 5}).to(GetParam().dtype);
  const at::Tensor bias = GetParam().has_bias ? torch::randn({3}) : at::Tensor();
  const at::Tensor weight = site.weight_is_io ? weight_OI.t().contiguous() : weight_OI;
  const at::Tensor got = Overlay().Linear(site, x, weight, bias, TokenBatch());
  at::Tensor want = at::matmul(x.to(at::kDouble), weight_OI.to(at::kDouble).t());
  if (bias.defined()) want = want + bias.to(at::kDouble);
  EXPECT_EQ(got.scalar_type(), GetParam().dtype);
  EXPECT_LT((got.to(at::kDouble) - want).abs().max().item<double>(),
            GetParam().dtype == at::kFloat ? 1e-5 : 0.05);
}

INSTANTIATE_TEST_SUITE_P(Cases, OverlayLinearTest,
                         ::testing::ValuesIn<LinearCase>({{"Plain", false, false, at::kFloat},
                                                          {"Bias", false, true, at::kFloat},
                                                          {"Conv1d", true, true, at::kFloat},
                                                          {"Conv1dNoBias", true, false, at::kFloat},
                                                          {"Bf16Bias", false, true, at::kBFloat16},
                                                          {"Bf16Conv1d", true, true, at::kBFloat16}}),
                         [](const auto& info) { return info.param.name; });

// Notes what it is asked.
class Recorder final : public Overlay {
 public:
  at::Tensor Use(const Parameter& parameter) const override {
    used.insert(parameter.name);
    return parameter.base;
  }
  at::Tensor Linear(const LinearSite& site, const at::Tensor& x, const at::Tensor& weight,
                    const at::Tensor& bias, const TokenBatch& batch) const override {
    EXPECT_EQ(x.sizes().vec(), (std::vector<int64_t>{batch.ids_T.numel(), site.in_features}));
    linear.insert(site.name);
    return Overlay::Linear(site, x, weight, bias, batch);
  }
  mutable std::set<std::string> used, linear;
};

TEST(OverlayTest, EveryParameterAndEveryLinearSiteIsAskedFor) {
  for (const std::string& family : KnownModelTypes()) {
    const TempFolder folder;
    ASSERT_TRUE(testing::WriteFamilyModel(*testing::SmallModelOf(family), folder.path()).ok());
    const std::unique_ptr<CausalLm> model = *LoadCausalLm(folder.path(), at::kFloat);
    TokenBatch batch;
    batch.ids_T = at::arange(5, at::TensorOptions().dtype(at::kLong));
    batch.row_offsets = {0, 2, 5};
    const Recorder recorder;
    model->Hidden(batch, recorder);
    model->HeadWeight(recorder);
    for (const Parameter& p : model->parameters()) EXPECT_TRUE(recorder.used.contains(p.name)) << p.name;
    for (const LinearSite& site : model->linear_sites())
      EXPECT_TRUE(recorder.linear.contains(site.name)) << site.name;
  }
}

}  // namespace
}  // namespace vernier::models
