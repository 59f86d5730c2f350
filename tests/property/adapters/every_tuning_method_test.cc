// What holds for every tuning method of adapters/registry.cc, on a small random model of every family.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/adapter.h"
#include "common/check.h"
#include "common/philox.h"
#include "storage/safetensors.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using testing::BatchOf;
using testing::Perturb;
using testing::RandomRows;
using testing::Values;

constexpr uint64_t kSeed = 5;

// A setting of each method that uses as much of it as the laws below allow.
v1::Tuning SpecOf(const std::string& method) {
  v1::Tuning spec;
  if (method == "lora") {
    spec.mutable_lora()->set_rank(3);
    spec.mutable_lora()->set_alpha(7.0);
    spec.mutable_lora()->set_dropout(0.25);
  } else if (method == "full") {
    spec.mutable_full();
  } else {
    ADD_FAILURE() << "no setting for the tuning method " << method << "; add one";
  }
  return spec;
}

int64_t ExpectedCount(const std::string& method, const models::CausalLm& model) {
  int64_t count = 0;
  if (method == "lora") {
    for (const auto& site : model.linear_sites()) count += 3 * (site.in_features + site.out_features);
  } else {
    for (const auto& parameter : model.parameters()) count += parameter.base.numel();
  }
  return count;
}

// A plain model with the merged weights in place.
class MergedOverlay final : public models::Overlay {
 public:
  MergedOverlay(const models::CausalLm& model, const Tuning& tuning) : tuning_(tuning) {
    for (const auto& site : model.linear_sites()) merged_[site.weight] = tuning.Merged(site);
  }
  at::Tensor Use(const models::Parameter& parameter) const override {
    const auto merged = merged_.find(parameter.index);
    return merged != merged_.end() ? merged->second : tuning_.Use(parameter);
  }

 private:
  const Tuning& tuning_;
  std::map<int, at::Tensor> merged_;
};

class EveryTuningMethodTest : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void Load(at::ScalarType dtype = at::kFloat) {
    model_ = testing::LoadSmallModel(family(), dtype);
    tuning_ = Create();
  }
  std::unique_ptr<Tuning> Create() {
    auto tuning = CreateTuning(*model_, SpecOf(method()), kSeed);
    VN_CHECK_OK(tuning.status());
    return *std::move(tuning);
  }
  const std::string& method() const { return std::get<0>(GetParam()); }
  const std::string& family() const { return std::get<1>(GetParam()); }

  objectives::LabelledBatch Batch(bool training) const {
    return BatchOf(RandomRows(4, model_->config().vocab_size), training);
  }
  at::Tensor Logits(const models::Overlay& overlay, bool training = false) const {
    return model_->Logits(model_->Hidden(Batch(training).tokens, overlay), model_->HeadWeight(overlay));
  }
  // A scalar that depends on every logit; summed in double.
  at::Tensor Score(bool training) const {
    const at::Tensor logits = Logits(*tuning_, training).to(at::kDouble);
    std::vector<double> signs;
    for (int64_t i = 0; i < logits.numel(); ++i) {
      signs.push_back(static_cast<double>(DeriveSeed(9, 9, i) % 2001) / 1000.0 - 1.0);
    }
    return (logits * torch::tensor(signs, at::kDouble).view(logits.sizes())).sum();
  }

  std::unique_ptr<models::CausalLm> model_;
  std::unique_ptr<Tuning> tuning_;
  const models::Overlay base_;
};

TEST_P(EveryTuningMethodTest, AFreshOneChangesNoBitOfTheOutput) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Load(dtype);
    if (!tuning_->traits().exact_identity_at_birth) GTEST_SKIP() << "declares no exact identity";
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(Logits(base_), Logits(*tuning_))) << dtype;
    EXPECT_TRUE(at::equal(Logits(base_), Logits(*tuning_, /*training=*/true))) << dtype;
  }
}

TEST_P(EveryTuningMethodTest, TheSameSeedDrawsTheSameParameters) {
  Load();
  const std::unique_ptr<Tuning> again = Create();
  EXPECT_EQ(Values(*tuning_), Values(*again));
}

TEST_P(EveryTuningMethodTest, TrainedParametersAreNamedLeavesAtFixedAddresses) {
  Load();
  std::map<std::string, const void*> addresses;
  for (const TrainableParameter& parameter : tuning_->Trainable()) {
    EXPECT_TRUE(addresses.emplace(parameter.name, parameter.tensor.const_data_ptr()).second)
        << parameter.name;
    EXPECT_EQ(parameter.tensor.scalar_type(), at::kFloat) << parameter.name;
    EXPECT_TRUE(parameter.tensor.is_contiguous() && parameter.tensor.is_leaf() &&
                parameter.tensor.requires_grad())
        << parameter.name;
  }
  EXPECT_FALSE(addresses.empty());
  Score(/*training=*/true).backward();
  for (const TrainableParameter& parameter : tuning_->Trainable()) {
    EXPECT_EQ(addresses.at(parameter.name), parameter.tensor.const_data_ptr()) << parameter.name;
  }
}

TEST_P(EveryTuningMethodTest, CountsAreThoseOfTheFormula) {
  Load();
  EXPECT_EQ(static_cast<int64_t>(Values(*tuning_).size()), ExpectedCount(method(), *model_));
}

TEST_P(EveryTuningMethodTest, OnlyItsOwnParametersGetGradientsAndTheBaseStays) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Load(dtype);
    Perturb(*tuning_);
    std::vector<at::Tensor> before;
    for (const auto& parameter : model_->parameters()) before.push_back(parameter.base.clone());
    Score(/*training=*/true).backward();
    for (const TrainableParameter& parameter : tuning_->Trainable()) {
      ASSERT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
      EXPECT_EQ(parameter.tensor.grad().scalar_type(), at::kFloat) << parameter.name;
      EXPECT_GT(parameter.tensor.grad().abs().sum().item<double>(), 0.0) << parameter.name;
    }
    for (const auto& parameter : model_->parameters()) {
      EXPECT_FALSE(parameter.base.requires_grad() || parameter.base.grad().defined()) << parameter.name;
      EXPECT_TRUE(at::equal(parameter.base, before[parameter.index])) << parameter.name;
    }
  }
}

// Along each parameter's own gradient the score must rise by the gradient's norm; with dropout the draws are
// the same on both sides, so they are no excuse.
TEST_P(EveryTuningMethodTest, GradientsAgreeWithFiniteDifferences) {
  Load();
  Perturb(*tuning_);
  for (const bool training : {false, true}) {
    for (const TrainableParameter& parameter : tuning_->Trainable()) {
      at::Tensor tensor = parameter.tensor;
      tensor.mutable_grad() = at::Tensor();
    }
    Score(training).backward();
    const at::NoGradGuard no_grad;
    for (const TrainableParameter& parameter : tuning_->Trainable()) {
      at::Tensor tensor = parameter.tensor;
      const double norm = tensor.grad().norm().item<double>();
      const at::Tensor direction = tensor.grad() / norm;
      const at::Tensor kept = tensor.clone();
      constexpr double kStep = 2e-3;
      tensor.copy_(kept + kStep * direction);
      const double up = Score(training).item<double>();
      tensor.copy_(kept - kStep * direction);
      const double down = Score(training).item<double>();
      tensor.copy_(kept);
      EXPECT_NEAR((up - down) / (2 * kStep), norm, 0.02 * norm + 1e-3)
          << parameter.name << " training=" << training;
    }
  }
}

TEST_P(EveryTuningMethodTest, SavingAndLoadingKeepsEveryBit) {
  Load();
  Perturb(*tuning_);
  const auto exported = tuning_->Export("base");
  ASSERT_TRUE(exported.ok()) << exported.status();
  const std::string bytes = testing::TensorFileBytes(*exported);
  const auto file = storage::SafetensorsFile::Parse(bytes, exported->tensor_file);
  ASSERT_TRUE(file.ok()) << file.status();
  if (exported->kind == "adapter") {
    EXPECT_EQ(exported->tensor_file, "adapter_model.safetensors");
    EXPECT_EQ(exported->config_file, "adapter_config.json");
    const auto loaded = LoadPeft(*model_, exported->config.dump(), *file);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(Values(*tuning_), Values(**loaded));
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(Logits(*tuning_), Logits(**loaded)));
  } else {
    EXPECT_EQ(exported->kind, "weights");
    EXPECT_EQ(exported->tensor_file, "model.safetensors");
    ASSERT_EQ(file->tensors().size(), model_->parameters().size());
    for (const TrainableParameter& parameter : tuning_->Trainable()) {
      const auto view = file->Find(parameter.name);
      ASSERT_TRUE(view.ok()) << view.status();
      EXPECT_EQ(view->bytes, absl::string_view(static_cast<const char*>(parameter.tensor.const_data_ptr()),
                                               parameter.tensor.nbytes()))
          << parameter.name;
    }
  }
}

TEST_P(EveryTuningMethodTest, AnExportIsACopy) {
  Load();
  const auto exported = tuning_->Export("base");
  ASSERT_TRUE(exported.ok()) << exported.status();
  const std::string before = testing::TensorFileBytes(*exported);
  Perturb(*tuning_);
  EXPECT_EQ(testing::TensorFileBytes(*exported), before);
}

TEST_P(EveryTuningMethodTest, MergedWeightsComputeTheSame) {
  Load();
  if (!tuning_->traits().mergeable) GTEST_SKIP() << "declares that it cannot be merged";
  Perturb(*tuning_);
  const at::NoGradGuard no_grad;
  const at::Tensor unmerged = Logits(*tuning_);
  const at::Tensor merged = Logits(MergedOverlay(*model_, *tuning_));
  EXPECT_LT((merged - unmerged).norm().item<double>(), 1e-5 * unmerged.norm().item<double>());
  EXPECT_GT((Logits(base_) - unmerged).norm().item<double>(), 1e-2 * unmerged.norm().item<double>())
      << "the perturbation changed nothing, so the test could not fail";
}

INSTANTIATE_TEST_SUITE_P(Registries, EveryTuningMethodTest,
                         ::testing::Combine(::testing::ValuesIn(KnownTuningMethods()),
                                            ::testing::ValuesIn(models::KnownModelTypes())),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), "_", std::get<1>(info.param));
                         });

}  // namespace
}  // namespace vernier::adapters
