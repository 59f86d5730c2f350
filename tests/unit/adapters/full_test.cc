#include "adapters/full.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<Tuning>> Create(const models::CausalLm& model,
                                               const std::vector<std::string>& freeze) {
  v1::Tuning spec;
  *spec.mutable_full()->mutable_freeze() = {freeze.begin(), freeze.end()};
  return CreateTuning(model, spec, 0);
}

TEST(FullTest, FrozenPartsStayOut) {
  const auto model = testing::LoadSmallModel("llama");
  const auto tuning = Create(*model, {"embed_tokens", "layers.0."});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  std::set<std::string> trained;
  for (const TrainableParameter& parameter : (*tuning)->Trainable()) trained.insert(parameter.name);
  for (const auto& parameter : model->parameters()) {
    const bool frozen = parameter.name == "model.embed_tokens.weight" ||
                        parameter.name.find("layers.0.") != std::string::npos;
    EXPECT_EQ(trained.contains(parameter.name), !frozen) << parameter.name;
    EXPECT_EQ((*tuning)->Use(parameter).requires_grad(), !frozen) << parameter.name;
  }
}

TEST(FullTest, FrozenPartsAreExportedToo) {
  const auto model = testing::LoadSmallModel("gpt2");
  const auto tuning = Create(*model, {"wte"});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  const auto exported = (*tuning)->Export("base");
  ASSERT_TRUE(exported.ok()) << exported.status();
  std::vector<std::string> names, wanted;
  for (const auto& [name, tensor] : exported->tensors) names.push_back(name);
  for (const auto& parameter : model->parameters()) wanted.push_back(parameter.name);
  EXPECT_EQ(names, wanted);
  EXPECT_EQ(std::count(names.begin(), names.end(), "lm_head.weight"), 0) << "a tied head is stored once";
}

TEST(FullTest, NormsAndBiasesDoNotDecay) {
  const auto model = testing::LoadSmallModel("llama");
  const auto tuning = Create(*model, {});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  for (const TrainableParameter& parameter : (*tuning)->Trainable()) {
    const bool vector = parameter.name.ends_with("bias") || parameter.name.ends_with("norm.weight");
    EXPECT_EQ(parameter.decay, !vector) << parameter.name;
  }
}

TEST(FullTest, MastersAreFloatAndTheModelSeesItsOwnType) {
  const auto model = testing::LoadSmallModel("llama", at::kBFloat16);
  const auto tuning = Create(*model, {});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  for (const TrainableParameter& parameter : (*tuning)->Trainable()) {
    EXPECT_EQ(parameter.tensor.scalar_type(), at::kFloat);
  }
  for (const auto& parameter : model->parameters()) {
    EXPECT_EQ((*tuning)->Use(parameter).scalar_type(), parameter.base.scalar_type()) << parameter.name;
  }
}

// An update below a bf16 step must not be lost: masters add it up.
TEST(FullTest, SmallUpdatesAddUpInTheMasters) {
  const auto model = testing::LoadSmallModel("llama", at::kBFloat16);
  const auto tuning = Create(*model, {});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  const auto& parameter = model->parameters().front();
  const TrainableParameter master = (*tuning)->Trainable().front();
  ASSERT_EQ(master.name, parameter.name);
  float* const values = static_cast<float*>(master.tensor.data_ptr());
  values[0] = 1.0f;
  const at::NoGradGuard no_grad;
  const float before = (*tuning)->Use(parameter).flatten()[0].item<float>();
  for (int step = 0; step < 100; ++step) values[0] += 1e-4f;
  EXPECT_GT((*tuning)->Use(parameter).flatten()[0].item<float>(), before);
}

TEST(FullTest, ExportKeepsTheTypesOfTheFiles) {
  const auto model = testing::LoadSmallModel("llama", at::kBFloat16);  // the files are fp32
  const auto tuning = Create(*model, {});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  const auto exported = (*tuning)->Export("base");
  ASSERT_TRUE(exported.ok()) << exported.status();
  for (const auto& [name, tensor] : exported->tensors) EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
}

TEST(FullTest, APatternThatFreezesNothingIsAnError) {
  const auto model = testing::LoadSmallModel("llama");
  const auto tuning = Create(*model, {"embed_tokens", "embd_tokens"});
  EXPECT_EQ(tuning.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tuning.status().message()),
              HasSubstr("tuning.full.freeze[1] = \"embd_tokens\" is in no parameter's name"));
  EXPECT_THAT(std::string(tuning.status().message()), HasSubstr("did you mean \"embed_tokens\"?"));
  EXPECT_THAT(std::string(tuning.status().message()), HasSubstr("model.embed_tokens.weight"));
  EXPECT_EQ(Create(*model, {""}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::adapters
