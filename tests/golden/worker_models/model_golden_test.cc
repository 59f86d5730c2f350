// Logits of tiny random models against transformers', in fp32. Made by
// tests/golden/make/make_model_goldens.py.
#include <gtest/gtest.h>

#include "tests/golden/worker_models/golden_file.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

class ModelGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    absl::StatusOr<storage::SafetensorsFile> golden =
        storage::SafetensorsFile::Open(GoldenPath(GetParam() + "/golden.safetensors"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    ids_ = GoldenTensor(*golden, "ids");
    logits_ = GoldenTensor(*golden, "logits");
    const at::Tensor offsets = GoldenTensor(*golden, "offsets");
    offsets_.assign(offsets.const_data_ptr<int64_t>(), offsets.const_data_ptr<int64_t>() + offsets.numel());
  }
  std::unique_ptr<CausalLm> Load(at::ScalarType dtype) {
    absl::StatusOr<std::unique_ptr<CausalLm>> model = LoadCausalLm(GoldenPath(GetParam()), dtype);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  at::Tensor ids_, logits_;
  std::vector<int64_t> offsets_;
};

TEST_P(ModelGoldenTest, PackedRowsHaveTheLogitsOfTransformers) {
  const std::unique_ptr<CausalLm> model = Load(at::kFloat);
  ASSERT_NE(model, nullptr);
  EXPECT_LE(LogitError(LogitsOf(*model, ids_, offsets_), logits_), 1e-5);
}

TEST_P(ModelGoldenTest, Bf16IsClose) {
  const std::unique_ptr<CausalLm> model = Load(at::kBFloat16);
  ASSERT_NE(model, nullptr);
  EXPECT_LE(LogitError(LogitsOf(*model, ids_, offsets_), logits_), 0.05);
}

INSTANTIATE_TEST_SUITE_P(Models, ModelGoldenTest,
                         ::testing::Values("llama_grouped_sharded", "llama_tied_llama3_bf16",
                                           "llama_linear_mlp_bias", "gpt2_tied", "gpt2_bare"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::models
