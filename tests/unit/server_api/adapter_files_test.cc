#include "server/api/adapter_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "storage/memory_store.h"

namespace vernier::server {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json GoodConfig() {
  return {{"peft_type", "LORA"},
          {"r", 4},
          {"lora_alpha", 8},
          {"target_modules", {"q_proj"}},
          {"bias", "none"},
          {"use_dora", false},
          {"modules_to_save", nullptr},
          {"rank_pattern", json::object()}};
}

TEST(CheckAdapterConfigTest, TakesWhatPeftWrites) {
  EXPECT_TRUE(CheckAdapterConfig(GoodConfig().dump()).ok());
  json config = GoodConfig();
  config["target_modules"] = "all-linear";
  config["rank_pattern"] = {{"q_proj", 8}};
  EXPECT_TRUE(CheckAdapterConfig(config.dump()).ok());
}

struct ConfigCase {
  std::string name, field;
  json value;
};
class AdapterConfigTest : public testing::TestWithParam<ConfigCase> {};

TEST_P(AdapterConfigTest, NamesTheFieldItCannotUse) {
  json config = GoodConfig();
  config[GetParam().field] = GetParam().value;
  const absl::Status status = CheckAdapterConfig(config.dump());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("adapter_config.json: " + GetParam().field));
}

INSTANTIATE_TEST_SUITE_P(Cases, AdapterConfigTest,
                         testing::ValuesIn<ConfigCase>({
                             {"OtherType", "peft_type", "IA3"},
                             {"RankZero", "r", 0},
                             {"RankText", "r", "4"},
                             {"RankHuge", "r", 100000},
                             {"NoAlpha", "lora_alpha", nullptr},
                             {"NoTargets", "target_modules", json::array()},
                             {"Dora", "use_dora", true},
                             {"Bias", "bias", "all"},
                             {"SavedModules", "modules_to_save", {"lm_head"}},
                             {"RankPattern", "rank_pattern", {{"q_proj", -1}}},
                         }),
                         [](const auto& info) { return info.param.name; });

TEST(CheckAdapterConfigTest, BrokenJsonIsRefused) {
  EXPECT_THAT(std::string(CheckAdapterConfig("{").message()), HasSubstr("adapter_config.json"));
  EXPECT_FALSE(CheckAdapterConfig("[]").ok());
}

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;
  storage::Dtype dtype = storage::Dtype::kF32;
};
struct TensorCase {
  std::string name;
  std::vector<Tensor> tensors;
  std::string message;  // "" = fine
};
class AdapterTensorsTest : public testing::TestWithParam<TensorCase> {};

TEST_P(AdapterTensorsTest, WantsPairsThatFit) {
  storage::MemoryStore store;
  std::vector<storage::TensorView> views;
  const std::string bytes(1 << 16, '\0');
  for (const Tensor& tensor : GetParam().tensors) {
    storage::TensorView view;
    view.name = tensor.name;
    view.shape = tensor.shape;
    view.dtype = tensor.dtype;
    view.bytes = absl::string_view(bytes).substr(0, view.NumBytes());
    views.push_back(view);
  }
  ASSERT_TRUE(storage::WriteSafetensors(store, "a", storage::WriteMode::kReplace, views).ok());
  const auto file = storage::SafetensorsFile::Open(store, "a");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status status = CheckAdapterTensors(*file);
  if (GetParam().message.empty()) {
    EXPECT_TRUE(status.ok()) << status;
  } else {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
  }
}

constexpr char kA[] = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
constexpr char kB[] = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";

INSTANTIATE_TEST_SUITE_P(
    Cases, AdapterTensorsTest,
    testing::ValuesIn<TensorCase>({
        {"Pair", {{kA, {4, 16}}, {kB, {16, 4}}}, ""},
        {"HalfPrecision", {{kA, {4, 16}, storage::Dtype::kBF16}, {kB, {16, 4}, storage::Dtype::kF16}}, ""},
        {"Empty", {}, "holds no tensors"},
        {"NoB", {{kA, {4, 16}}}, "has no lora_B beside it"},
        {"NoA",
         {{kA, {4, 16}}, {kB, {16, 4}}, {"base_model.model.x.lora_B.weight", {2, 2}}},
         "has no lora_A"},
        {"RanksDiffer", {{kA, {4, 16}}, {kB, {16, 8}}}, "has rank 4, and its lora_B rank 8"},
        {"OneDimension", {{kA, {4}}, {kB, {16, 4}}}, "does not have two dimensions"},
        {"RankHuge", {{kA, {1024, 4}}, {kB, {4, 1024}}}, "has rank 1024"},
        {"Integers", {{kA, {4, 16}, storage::Dtype::kI32}, {kB, {16, 4}}}, "is I32"},
        {"NotLora", {{"base_model.model.lm_head.weight", {4, 4}}}, "lm_head.weight is not base_model.model."},
        {"NoPrefix", {{"q_proj.lora_A.weight", {4, 4}}}, "q_proj.lora_A.weight is not base_model.model."},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::server
