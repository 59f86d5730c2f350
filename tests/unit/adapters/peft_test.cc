// Reading and writing adapter_config.json and adapter_model.safetensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter.h"
#include "adapters/lora.h"
#include "adapters/peft_config.h"
#include "storage/safetensors.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class PeftTest : public ::testing::Test {
 protected:
  // An adapter on q_proj and down_proj, exported.
  void SetUp() override {
    v1::Tuning spec;
    spec.mutable_lora()->set_rank(3);
    spec.mutable_lora()->add_targets("q_proj");
    spec.mutable_lora()->add_targets("down_proj");
    auto tuning = CreateTuning(*model_, spec, 1);
    ASSERT_TRUE(tuning.ok()) << tuning.status();
    testing::Perturb(**tuning);
    exported_ = (*tuning)->Export("tiny").value();
  }

  absl::StatusOr<std::unique_ptr<Tuning>> Load(const json& config) const {
    return Load(config, exported_.tensors);
  }
  absl::StatusOr<std::unique_ptr<Tuning>> Load(
      const json& config, const std::vector<std::pair<std::string, at::Tensor>>& tensors) const {
    Exported files = exported_;
    files.tensors = tensors;
    const std::string bytes = testing::TensorFileBytes(files);
    const auto file = storage::SafetensorsFile::Parse(bytes, "adapter_model.safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    return LoadPeft(*model_, config.dump(), *file);
  }
  std::string Error(const json& config) const { return Message(Load(config)); }
  static std::string Message(const absl::StatusOr<std::unique_ptr<Tuning>>& tuning) {
    EXPECT_EQ(tuning.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(tuning.status().message());
  }
  json With(const std::string& field, json value) const {
    json config = exported_.config;
    config[field] = std::move(value);
    return config;
  }
  // The ranks of q_proj and down_proj in layers 0 and 1.
  std::vector<int64_t> RanksOf(const Lora::Options& options) const {
    std::vector<int64_t> ranks;
    for (const auto& site : model_->linear_sites()) {
      if (site.leaf == "q_proj" || site.leaf == "down_proj") ranks.push_back(options.shapes[site.index].rank);
    }
    return ranks;
  }

  const std::unique_ptr<models::CausalLm> model_ = testing::LoadSmallModel("llama");
  Exported exported_;
};

TEST_F(PeftTest, WhatIsExportedLoads) {
  const auto loaded = Load(exported_.config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->Export("tiny")->config, exported_.config);
}

TEST_F(PeftTest, TargetsAreLeavesUnlessThoseMeanMore) {
  EXPECT_EQ(exported_.config["target_modules"], json({"q_proj", "down_proj"}));
  v1::Tuning spec;
  spec.mutable_lora()->add_targets("model.layers.1.self_attn.q_proj");
  spec.mutable_lora()->add_targets("v_proj");
  const auto config = CreateTuning(*model_, spec, 1).value()->Export("tiny")->config;
  EXPECT_EQ(config["target_modules"], json({"v_proj", "model.layers.1.self_attn.q_proj"}));
}

TEST_F(PeftTest, RanksAndAlphasThatDifferBecomePatterns) {
  v1::Tuning spec;
  v1::Lora& lora = *spec.mutable_lora();
  lora.set_rank(4);
  lora.set_alpha(2.5);
  (*lora.mutable_rank_by_module())["down_proj"] = 2;
  (*lora.mutable_alpha_by_module())["model.layers.0.self_attn.k_proj"] = 8.0;
  const auto config = CreateTuning(*model_, spec, 1).value()->Export("tiny")->config;
  EXPECT_EQ(config["r"], 4);
  EXPECT_EQ(config["lora_alpha"], 2.5);
  EXPECT_EQ(config["rank_pattern"], json({{"down_proj", 2}}));
  EXPECT_EQ(config["alpha_pattern"], json({{"model.layers.0.self_attn.k_proj", 8}}));
  EXPECT_EQ(config["alpha_pattern"].dump(), R"({"model.layers.0.self_attn.k_proj":8})") << "8, not 8.0";
}

TEST_F(PeftTest, FanInFanOutFollowsTheModel) {
  EXPECT_EQ(exported_.config["fan_in_fan_out"], false);
  const auto gpt2 = testing::LoadSmallModel("gpt2");
  v1::Tuning spec;
  spec.mutable_lora();
  EXPECT_EQ(CreateTuning(*gpt2, spec, 1).value()->Export("tiny")->config["fan_in_fan_out"], true);
}

TEST_F(PeftTest, PatternsAreRegularExpressionsOnTheEndOfThePath) {
  struct Case {
    json pattern;
    std::vector<int64_t> ranks;  // q 0, down 0, q 1, down 1
  };
  for (const Case& c : std::vector<Case>{
           {json::object(), {3, 3, 3, 3}},
           {{{"q_proj", 5}}, {5, 3, 5, 3}},
           {{{"model.layers.1.self_attn.q_proj", 5}}, {3, 3, 5, 3}},
           {{{R"(layers\.0\..*)", 5}}, {5, 5, 3, 3}},
           {{{"proj", 5}}, {3, 3, 3, 3}},  // no whole part of the path
           {{{"(q|down)_proj", 5}}, {5, 5, 5, 5}},
           {{{"^model.layers.0.mlp.down_proj", 5}}, {3, 5, 3, 3}},
       }) {
    const auto options = ReadPeftConfig(*model_, With("rank_pattern", c.pattern).dump());
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(RanksOf(*options), c.ranks) << c.pattern;
  }
}

TEST_F(PeftTest, TargetsMayBeOneRegularExpressionOverWholePaths) {
  const auto options = ReadPeftConfig(*model_, With("target_modules", R"(.*\.1\..*\.(q|down)_proj)").dump());
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(RanksOf(*options), (std::vector<int64_t>{0, 0, 3, 3}));
  EXPECT_THAT(Error(With("target_modules", "q_proj")), HasSubstr("target_modules names no linear layer"));
  const auto all = ReadPeftConfig(*model_, With("target_modules", "all-linear").dump());
  ASSERT_TRUE(all.ok()) << all.status();
  for (const Lora::Shape& shape : all->shapes) EXPECT_EQ(shape.rank, 3);
}

TEST_F(PeftTest, ExcludedModulesAreNoTargets) {
  const auto options = ReadPeftConfig(
      *model_, With("exclude_modules", {"model.layers.0.mlp.down_proj", "embed_tokens"}).dump());
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(RanksOf(*options), (std::vector<int64_t>{3, 0, 3, 3}));
}

TEST_F(PeftTest, WhatWouldBeIgnoredIsRefusedByName) {
  const std::vector<std::pair<std::string, json>> fields = {
      {"use_dora", true},
      {"bias", "all"},
      {"bias", "lora_only"},
      {"modules_to_save", {"lm_head"}},
      {"layers_to_transform", {0, 1}},
      {"layers_to_transform", 0},
      {"layers_pattern", "layers"},
      {"lora_bias", true},
      {"trainable_token_indices", {1, 2}},
      {"target_parameters", {"mlp.experts"}},
      {"loftq_config", {{"loftq_bits", 4}}},
      {"init_lora_weights", "pissa"},
      {"init_lora_weights", "olora"},
      {"layer_replication", json::array({{0, 1}})},
      {"alora_invocation_tokens", {5}},
      {"task_type", "SEQ_CLS"},
      {"peft_type", "IA3"},
      {"a_field_of_tomorrow", 0.5},
  };
  for (const auto& [field, value] : fields) {
    EXPECT_THAT(Error(With(field, value)), HasSubstr(field)) << value;
  }
  EXPECT_THAT(Error(With("use_dora", true)), HasSubstr("merge the adapter into its base"));
}

TEST_F(PeftTest, WhatChangesNothingIsAccepted) {
  for (const auto& [field, value] : std::vector<std::pair<std::string, json>>{
           {"base_model_name_or_path", "/elsewhere"},
           {"revision", "main"},
           {"inference_mode", false},
           {"fan_in_fan_out", true},
           {"init_lora_weights", "gaussian"},
           {"init_lora_weights", false},
           {"modules_to_save", json::array()},
           {"task_type", nullptr},
           {"a_field_of_tomorrow", nullptr},
       }) {
    const auto loaded = Load(With(field, value));
    EXPECT_TRUE(loaded.ok()) << field << ": " << loaded.status();
  }
}

TEST_F(PeftTest, BadValuesAreNamed) {
  const std::vector<std::tuple<std::string, json, std::string>> cases = {
      {"r", 0, "r = 0 is not a whole number in [1, 512]"},
      {"r", 2.5, "r = 2.5"},
      {"r", 1e9, "r = 1e+09"},
      {"r", "8", "r = \"8\" is not a number"},
      {"lora_dropout", 1.0, "lora_dropout = 1"},
      {"use_rslora", "yes", "use_rslora"},
      {"target_modules", 3, "target_modules must be a list"},
      {"target_modules", {3}, "target_modules holds 3"},
      {"target_modules", "(", "is no regular expression"},
      {"target_modules", nullptr, "target_modules names no linear layer"},
      {"rank_pattern", {{"q_proj", "x"}}, "rank_pattern[\"q_proj\"] = \"x\" is not a number"},
      {"rank_pattern", {{"q_proj", 0}}, "rank_pattern = 0"},
      {"rank_pattern", {{"[", 4}}, "is no regular expression"},
      {"rank_pattern", {4}, "rank_pattern must be an object"},
      {"rank_pattern",
       {{"q_proj", 4}, {".*_proj", 5}},
       "both match model.layers.0.self_attn.q_proj and differ"},
  };
  for (const auto& [field, value, want] : cases) {
    EXPECT_THAT(Error(With(field, value)), HasSubstr(want)) << field << " = " << value;
  }
  EXPECT_EQ(ReadPeftConfig(*model_, "{").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadPeftConfig(*model_, "[]").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ReadPeftConfig(*model_, "{}").status().message()),
              HasSubstr("peft_type is missing"));
}

TEST_F(PeftTest, AnUnknownTargetNamesTheNearest) {
  const std::string error = Error(With("target_modules", {"q_proj", "down_prj"}));
  EXPECT_THAT(error, HasSubstr("\"down_prj\" is no linear layer of this llama model"));
  EXPECT_THAT(error, HasSubstr("did you mean \"down_proj\"?"));
}

// A pattern that would take exponential time is refused, not run.
TEST_F(PeftTest, AHostileExpressionEndsSoon) {
  const auto start = std::chrono::steady_clock::now();
  const auto options = ReadPeftConfig(*model_, With("target_modules", R"((([a-z0-9_.]+)+)+[XY])").dump());
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(options.status().message()), HasSubstr("takes too long to match"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(PeftTest, AMissingTensorIsNamed) {
  auto tensors = exported_.tensors;
  const std::string name = tensors[3].first;
  tensors.erase(tensors.begin() + 3);
  EXPECT_THAT(Message(Load(exported_.config, tensors)), HasSubstr("tensor \"" + name + "\" is missing"));
}

TEST_F(PeftTest, ALeftOverTensorIsNamed) {
  auto tensors = exported_.tensors;
  tensors.emplace_back("base_model.model.lm_head.lora_A.weight", at::zeros({3, 24}));
  EXPECT_THAT(Message(Load(exported_.config, tensors)),
              HasSubstr("tensor \"base_model.model.lm_head.lora_A.weight\" belongs to nothing"));
}

TEST_F(PeftTest, AWrongShapeIsNamed) {
  auto tensors = exported_.tensors;
  tensors[0].second = at::zeros({4, 24});
  EXPECT_THAT(Message(Load(exported_.config, tensors)),
              HasSubstr("tensor \"" + tensors[0].first +
                        "\" has shape [4, 24], the config and the model ask for [3, 24]"));
  EXPECT_THAT(Error(With("r", 5)), ::testing::AllOf(HasSubstr("ask for [5, 24]"), HasSubstr("and 3 more")));
}

TEST_F(PeftTest, HalfPrecisionTensorsAreConverted) {
  auto tensors = exported_.tensors;
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kBFloat16);
  const auto loaded = Load(exported_.config, tensors);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(at::equal((*loaded)->Trainable()[0].tensor, tensors[0].second.to(at::kFloat)));
}

}  // namespace
}  // namespace vernier::adapters
