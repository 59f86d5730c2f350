// Tiny random models of every family against transformers, in fp32: logits of packed rows, gradients of every
// parameter, and greedy decoding over a cache. Rows are longer than the families' windows. Made by
// tests/golden/make/make_model_goldens.py.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <utility>

#include "tests/golden/worker_models/golden_file.h"
#include "worker/models/generate.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

constexpr double kTolerance = 1e-4;
constexpr int64_t kPrompt = 6;  // tokens of the first row that decoding goes on from

// Lets every parameter train.
class AllTrain final : public Overlay {
 public:
  explicit AllTrain(const CausalLm& model) {
    for (const Parameter& parameter : model.parameters()) {
      leaves.push_back(parameter.base.detach().clone().requires_grad_(true));
    }
  }
  at::Tensor Use(const Parameter& parameter) const override { return leaves[parameter.index]; }

  std::vector<at::Tensor> leaves;
};

class FamilyGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    absl::StatusOr<storage::SafetensorsFile> golden =
        storage::SafetensorsFile::Open(GoldenPath(GetParam() + "/golden.safetensors"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *std::move(golden);
    absl::StatusOr<std::unique_ptr<CausalLm>> model = LoadCausalLm(GoldenPath(GetParam()), at::kFloat);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    ids_ = Golden("ids");
    offsets_ = ListOf(Golden("offsets"));
  }
  at::Tensor Golden(const std::string& name) const { return GoldenTensor(golden_, name); }
  static std::vector<int64_t> ListOf(const at::Tensor& tensor) {
    return {tensor.const_data_ptr<int64_t>(), tensor.const_data_ptr<int64_t>() + tensor.numel()};
  }

  storage::SafetensorsFile golden_;
  std::unique_ptr<CausalLm> model_;
  at::Tensor ids_;
  std::vector<int64_t> offsets_;
};

TEST_P(FamilyGoldenTest, PackedRowsHaveTheLogitsOfTransformers) {
  EXPECT_LE(LogitError(LogitsOf(*model_, ids_, offsets_), Golden("logits")), kTolerance);
}

TEST_P(FamilyGoldenTest, Bf16IsClose) {
  const auto model = LoadCausalLm(GoldenPath(GetParam()), at::kBFloat16);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LE(LogitError(LogitsOf(**model, ids_, offsets_), Golden("logits")), 0.08);
}

TEST_P(FamilyGoldenTest, EveryParametersGradientIsThatOfTransformers) {
  const AllTrain overlay(*model_);
  const at::Tensor logits = LogitsOf(*model_, ids_, offsets_, overlay);
  at::Tensor nll = at::zeros({});
  int64_t count = 0;
  for (size_t row = 0; row + 1 < offsets_.size(); ++row) {
    const int64_t begin = offsets_[row], targets = offsets_[row + 1] - begin - 1;
    nll = nll + at::cross_entropy_loss(logits.narrow(0, begin, targets), ids_.narrow(0, begin + 1, targets),
                                       {}, at::Reduction::Sum);
    count += targets;
  }
  (nll / static_cast<double>(count)).backward();
  std::set<std::string> seen;
  for (const Parameter& parameter : model_->parameters()) {
    const at::Tensor grad = overlay.leaves[parameter.index].grad().flatten();
    // transformers 5 names gpt_neox's head so.
    const std::string name = parameter.name == "embed_out.weight" ? "lm_head.weight" : parameter.name;
    const at::Tensor want = Golden("grad/" + name);
    seen.insert("grad/" + name);
    const double norm = want[0].item<double>();
    EXPECT_NEAR(grad.norm().item<double>(), norm, kTolerance * norm + 1e-6) << name;
    // The product with a ramp has the size of the norm times that of the ramp.
    const double ramp = std::sqrt(static_cast<double>(grad.numel()) / 3.0);
    EXPECT_NEAR(grad.dot(at::linspace(-1, 1, grad.numel())).item<double>(), want[1].item<double>(),
                kTolerance * norm * ramp + 1e-6)
        << name;
  }
  const at::Tensor embedding = Golden("embedding_grad");
  EXPECT_LE(LogitError(overlay.leaves[0].grad(), embedding), kTolerance);
  for (const storage::TensorView& view : golden_.tensors()) {
    EXPECT_TRUE(!view.name.starts_with("grad/") || seen.contains(view.name))
        << view.name << " is no parameter";
  }
}

TEST_P(FamilyGoldenTest, GreedyDecodingOverACacheContinuesAsTransformersDoes) {
  const std::vector<int64_t> want = ListOf(Golden("greedy"));
  const std::vector<int64_t> prompt = ListOf(ids_.narrow(0, 0, kPrompt));
  const auto got =
      Generate(*model_, Overlay(), prompt, {.max_new_tokens = static_cast<int64_t>(want.size())});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->ids, want);
}

INSTANTIATE_TEST_SUITE_P(Models, FamilyGoldenTest,
                         ::testing::Values("llama_dynamic", "llama_yarn", "mistral", "qwen2", "qwen3",
                                           "gemma2", "gemma3", "phi3", "phi3_longrope", "gpt_neox",
                                           "gpt_neox_one_after_the_other", "smollm3", "olmo2"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::models
