#include "worker/plan/model_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/memory_store.h"

namespace vernier::plan {
namespace {

using storage::Dtype;
using storage::TensorSpec;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kConfig[] = R"({"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4,
  "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 100, "tie_word_embeddings": true})";

std::vector<TensorSpec> Llama() {
  std::vector<TensorSpec> tensors = {{"model.embed_tokens.weight", Dtype::kF32, {100, 32}},
                                     {"lm_head.weight", Dtype::kF32, {100, 32}},
                                     {"model.norm.weight", Dtype::kF32, {32}}};
  for (int layer = 0; layer < 3; ++layer) {
    const std::string prefix = absl::StrCat("model.layers.", layer, ".");
    tensors.push_back({prefix + "self_attn.q_proj.weight", Dtype::kF32, {32, 32}});
    tensors.push_back({prefix + "self_attn.rotary_emb.inv_freq", Dtype::kF32, {4}});
    tensors.push_back({prefix + "mlp.down_proj.weight", Dtype::kF32, {32, 64}});
    tensors.push_back({prefix + "input_layernorm.weight", Dtype::kF32, {32}});
  }
  return tensors;
}

TEST(ModelShapeTest, SizesComeFromTheConfigLayersFromTheTensors) {
  const auto shape = ModelShapeOf(kConfig, Llama(), "m");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->num_layers(), 3);
  EXPECT_EQ(shape->head_dim(), 8);
  EXPECT_EQ(shape->layers_name(), "model.layers");
  ASSERT_EQ(shape->linears_size(), 2);
  EXPECT_EQ(shape->linears(1).name(), "mlp.down_proj");
  EXPECT_EQ(shape->linears(1).in_features(), 64);
  EXPECT_EQ(shape->linears(1).out_features(), 32);
  EXPECT_THAT(shape->norms(), ElementsAre("input_layernorm"));
  EXPECT_TRUE(shape->rotary());
  EXPECT_TRUE(shape->stored_fp32());
}

TEST(ModelShapeTest, ATiedHeadAndRotaryBuffersAreNotLoaded) {
  const auto shape = ModelShapeOf(kConfig, Llama(), "m");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->matrix_parameters(), 100 * 32 + 3 * (32 * 32 + 32 * 64));
  EXPECT_EQ(shape->vector_parameters(), 32 + 3 * 32);
}

TEST(ModelShapeTest, Gpt2KeepsItsWeightsTheOtherWayRound) {
  const auto shape = ModelShapeOf(R"({"model_type": "gpt2", "n_embd": 32, "n_head": 4, "vocab_size": 9})",
                                  std::vector<TensorSpec>{{"h.0.mlp.c_fc.weight", Dtype::kF32, {32, 128}},
                                                          {"h.0.attn.bias", Dtype::kF32, {1, 1, 16, 16}},
                                                          {"h.0.ln_1.weight", Dtype::kF32, {32}},
                                                          {"wte.weight", Dtype::kF16, {9, 32}}},
                                  "m");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->linears(0).in_features(), 32);
  EXPECT_EQ(shape->linears(0).out_features(), 128);
  EXPECT_EQ(shape->intermediate_size(), 128);
  EXPECT_EQ(shape->layers_name(), "h");
  EXPECT_EQ(shape->matrix_parameters(), 32 * 128 + 9 * 32);
  EXPECT_TRUE(shape->tied_head());
  EXPECT_FALSE(shape->rotary());
  EXPECT_FALSE(shape->stored_fp32());
}

TEST(ModelShapeTest, FilesThatDescribeNoDecoderAreRefused) {
  EXPECT_THAT(ModelShapeOf("{", {}, "m").status().message(), HasSubstr("m/config.json"));
  EXPECT_THAT(ModelShapeOf("[]", {}, "m").status().message(), HasSubstr("no JSON object"));
  EXPECT_THAT(ModelShapeOf("{}", {}, "m").status().message(), HasSubstr("no hidden_size"));
  EXPECT_THAT(ModelShapeOf(kConfig, {}, "m").status().message(), HasSubstr("no tensor is of a layer 0"));
}

TEST(ModelShapeTest, SizesThatNoPlanCanCountWithAreRefused) {
  const auto refusal = [](const std::string& fields) {
    const auto shape = ModelShapeOf(
        absl::StrCat(R"({"model_type": "llama", "vocab_size": 100, )", fields, "}"), Llama(), "m");
    EXPECT_TRUE(absl::IsInvalidArgument(shape.status())) << fields << ": " << shape.status();
    return std::string(shape.status().message());
  };
  EXPECT_THAT(refusal(R"("hidden_size": 32, "num_attention_heads": 4, "head_dim": 0)"),
              HasSubstr("m: head_dim = 0 is outside [1, 16777216]"));
  EXPECT_THAT(refusal(R"("hidden_size": 2, "num_attention_heads": 4)"), HasSubstr("head_dim = 0"));
  EXPECT_THAT(refusal(R"("hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 0)"),
              HasSubstr("num_key_value_heads = 0"));
  EXPECT_THAT(refusal(R"("hidden_size": 1099511627776, "num_attention_heads": 4)"),
              HasSubstr("hidden_size = 1099511627776"));
  EXPECT_THAT(refusal(R"("hidden_size": 16777216, "num_attention_heads": 4, "head_dim": 16777216)"),
              HasSubstr("num_attention_heads x head_dim = "));
}

TEST(ModelShapeTest, AFolderWithoutFilesIsNotFound) {
  storage::MemoryStore store;
  EXPECT_TRUE(absl::IsNotFound(ReadModelShape(store, "tenants/default/models/x").status()));
}

TEST(ModelShapeTest, ReadsTheFilesOfAFolder) {
  storage::MemoryStore store;
  ASSERT_TRUE(store.Put("m/config.json", kConfig).ok());
  const std::string zeros(32 * 32 * 4, '\0');
  storage::TensorView view;
  view.name = "model.layers.0.self_attn.q_proj.weight";
  view.shape = {32, 32};
  view.bytes = zeros;
  ASSERT_TRUE(
      storage::WriteSafetensors(store, "m/model.safetensors", storage::WriteMode::kReplace, {view}).ok());
  const auto shape = ReadModelShape(store, "m");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->num_layers(), 1);
  EXPECT_EQ(shape->stored_bytes(), 32 * 32 * 4);
}

}  // namespace
}  // namespace vernier::plan
