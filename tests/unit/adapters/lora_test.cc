#include "adapters/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> NamesOf(Tuning& tuning) {
  std::vector<std::string> names;
  for (const TrainableParameter& parameter : tuning.Trainable()) names.push_back(parameter.name);
  return names;
}

class LoraTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Tuning>> Create(const std::function<void(v1::Lora&)>& set) const {
    v1::Tuning spec;
    set(*spec.mutable_lora());
    return CreateTuning(*llama_, spec, 1);
  }
  std::string Error(const std::function<void(v1::Lora&)>& set) const {
    const auto tuning = Create(set);
    EXPECT_EQ(tuning.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(tuning.status().message());
  }
  const Lora::Shape& ShapeAt(Tuning& tuning, const std::string& site_name) const {
    for (const auto& site : llama_->linear_sites()) {
      if (site.name == site_name) return static_cast<Lora&>(tuning).options().shapes[site.index];
    }
    ADD_FAILURE() << site_name;
    return static_cast<Lora&>(tuning).options().shapes[0];
  }

  const std::unique_ptr<models::CausalLm> llama_ = testing::LoadSmallModel("llama");
};

TEST_F(LoraTest, DefaultsAreRankEightOnEveryLinearLayer) {
  const auto tuning = Create([](v1::Lora&) {});
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  for (const auto& site : llama_->linear_sites()) {
    EXPECT_EQ(ShapeAt(**tuning, site.name).rank, 8);
    EXPECT_EQ(ShapeAt(**tuning, site.name).alpha, 16.0);
  }
  EXPECT_EQ((*tuning)->Trainable().size(), 2 * llama_->linear_sites().size());
}

TEST_F(LoraTest, TargetsAreLeavesSuffixesOrFullPaths) {
  const auto tuning = Create([](v1::Lora& lora) {
    lora.add_targets("v_proj");
    lora.add_targets("model.layers.0.mlp.up_proj");
  });
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  EXPECT_THAT(NamesOf(**tuning), ::testing::UnorderedElementsAre(
                                     "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight",
                                     "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight",
                                     "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
                                     "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight",
                                     "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight",
                                     "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"));
}

TEST_F(LoraTest, TheMostExactNameOfAModuleWins) {
  const auto tuning = Create([](v1::Lora& lora) {
    lora.set_rank(4);
    lora.set_alpha(4.0);
    (*lora.mutable_rank_by_module())["q_proj"] = 2;
    (*lora.mutable_rank_by_module())["model.layers.1.self_attn.q_proj"] = 6;
    (*lora.mutable_alpha_by_module())["mlp.up_proj"] = 9.0;
  });
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  EXPECT_EQ(ShapeAt(**tuning, "model.layers.0.self_attn.q_proj").rank, 2);
  EXPECT_EQ(ShapeAt(**tuning, "model.layers.1.self_attn.q_proj").rank, 6);
  EXPECT_EQ(ShapeAt(**tuning, "model.layers.1.self_attn.k_proj").rank, 4);
  EXPECT_EQ(ShapeAt(**tuning, "model.layers.0.mlp.up_proj").alpha, 9.0);
  EXPECT_EQ(ShapeAt(**tuning, "model.layers.0.mlp.gate_proj").alpha, 4.0);
}

TEST_F(LoraTest, RsloraScalesByTheRootOfTheRank) {
  for (const bool rslora : {false, true}) {
    const auto tuning = Create([&](v1::Lora& lora) {
      lora.set_rank(4);
      lora.set_alpha(6.0);
      lora.set_rslora(rslora);
    });
    ASSERT_TRUE(tuning.ok()) << tuning.status();
    testing::Perturb(**tuning);
    const auto& site = llama_->linear_sites()[0];
    const at::Tensor a = (*tuning)->Trainable()[0].tensor, b = (*tuning)->Trainable()[1].tensor;
    const at::NoGradGuard no_grad;
    const at::Tensor want = llama_->parameter(site.weight).base + at::matmul(b, a) * (rslora ? 3.0 : 1.5);
    EXPECT_TRUE(at::allclose((*tuning)->Merged(site), want, 1e-6, 1e-6)) << rslora;
  }
}

TEST_F(LoraTest, StartsUniformInA) {
  const auto tuning = Create([](v1::Lora& lora) { lora.set_rank(64); });
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  const double bound = 1.0 / std::sqrt(24.0);
  const at::Tensor a = (*tuning)->Trainable()[0].tensor;
  const at::Tensor b = (*tuning)->Trainable()[1].tensor;
  EXPECT_EQ(a.sizes().vec(), (std::vector<int64_t>{64, 24}));
  EXPECT_LE(a.abs().max().item<double>(), bound);
  EXPECT_GT(a.max().item<double>(), 0.98 * bound);
  EXPECT_LT(a.min().item<double>(), -0.98 * bound);
  EXPECT_NEAR(a.mean().item<double>(), 0.0, 0.05 * bound);
  EXPECT_NEAR(a.square().mean().item<double>(), bound * bound / 3.0, 0.05 * bound * bound);
  EXPECT_EQ(b.abs().sum().item<double>(), 0.0);
  EXPECT_FALSE(at::equal(a, (*tuning)->Trainable()[2].tensor)) << "two sites share their draws";
}

TEST_F(LoraTest, AnotherSeedStartsElsewhere) {
  v1::Tuning spec;
  spec.mutable_lora();
  EXPECT_NE(testing::Values(**CreateTuning(*llama_, spec, 1)),
            testing::Values(**CreateTuning(*llama_, spec, 2)));
}

TEST_F(LoraTest, AnUnknownTargetNamesTheNearestAndAll) {
  const std::string error = Error([](v1::Lora& lora) {
    lora.add_targets("k_proj");
    lora.add_targets("q_prjo");
  });
  EXPECT_THAT(error, HasSubstr("tuning.lora.targets[1] = \"q_prjo\" is no linear layer of this llama model"));
  EXPECT_THAT(error, HasSubstr("did you mean \"q_proj\"?"));
  EXPECT_THAT(error, HasSubstr("q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"));
  EXPECT_THAT(error, HasSubstr("all_linear"));
}

TEST_F(LoraTest, TheHeadIsNoTarget) {
  EXPECT_THAT(Error([](v1::Lora& lora) { lora.add_targets("lm_head"); }),
              HasSubstr("\"lm_head\" is no linear"));
}

TEST_F(LoraTest, OptionsOutOfRangeAreNamed) {
  const auto rank = [](int value) { return [value](v1::Lora& lora) { lora.set_rank(value); }; };
  EXPECT_THAT(Error(rank(0)), HasSubstr("tuning.lora.rank = 0 is outside [1, 512]"));
  EXPECT_THAT(Error(rank(-3)), HasSubstr("tuning.lora.rank = -3"));
  EXPECT_THAT(Error(rank(513)), HasSubstr("tuning.lora.rank = 513"));
  EXPECT_THAT(Error([](v1::Lora& lora) { lora.set_alpha(0.0); }), HasSubstr("tuning.lora.alpha = 0"));
  EXPECT_THAT(Error([](v1::Lora& lora) { lora.set_alpha(std::nan("")); }), HasSubstr("tuning.lora.alpha"));
  EXPECT_THAT(Error([](v1::Lora& lora) { lora.set_dropout(1.0); }), HasSubstr("tuning.lora.dropout = 1"));
  EXPECT_THAT(Error([](v1::Lora& lora) { lora.set_dropout(-0.1); }), HasSubstr("tuning.lora.dropout = -0.1"));
  EXPECT_THAT(Error([](v1::Lora& lora) { (*lora.mutable_rank_by_module())["q_proj"] = 0; }),
              HasSubstr("tuning.lora.rank_by_module[\"q_proj\"] = 0"));
  EXPECT_THAT(Error([](v1::Lora& lora) { (*lora.mutable_alpha_by_module())["q_proj"] = -1; }),
              HasSubstr("tuning.lora.alpha_by_module[\"q_proj\"] = -1"));
}

TEST_F(LoraTest, AModuleOptionForNoTargetIsAnError) {
  EXPECT_THAT(
      Error([](v1::Lora& lora) { (*lora.mutable_rank_by_module())["up_porj"] = 4; }),
      ::testing::AllOf(HasSubstr("rank_by_module[\"up_porj\"]"), HasSubstr("did you mean \"up_proj\"?")));
  EXPECT_THAT(Error([](v1::Lora& lora) {
                lora.add_targets("q_proj");
                (*lora.mutable_alpha_by_module())["up_proj"] = 4;
              }),
              HasSubstr("alpha_by_module[\"up_proj\"]: that module is not among tuning.lora.targets"));
}

TEST_F(LoraTest, NoMethodIsAnError) {
  const auto tuning = CreateTuning(*llama_, {}, 0);
  EXPECT_EQ(tuning.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tuning.status().message()), HasSubstr("lora or full"));
}

}  // namespace
}  // namespace vernier::adapters
