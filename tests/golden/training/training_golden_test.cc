// Losses, gradients and a loss curve of peft and torch, in numbers made by
// tests/golden/make/make_training_goldens.py (which names the versions), against ours on the same tiny models
// and adapters.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/adapter.h"
#include "adapters/tensor_view.h"
#include "common/check.h"
#include "common/child_process.h"
#include "common/file.h"
#include "storage/safetensors.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/torch/small_model.h"
#include "tests/testing/torch/train_step.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"
#include "worker/optim/schedule.h"
#include "worker/trainer/run.h"

namespace vernier::trainer {
namespace {

using nlohmann::json;
using testing::LabelledRow;

constexpr double kTolerance = 1e-4;
constexpr char kScript[] = VERNIER_SOURCE_DIR "/tests/golden/make/make_training_goldens.py";

double RelativeDifference(const at::Tensor& got, const at::Tensor& want) {
  VN_CHECK(got.sizes() == want.sizes());
  return (got - want).norm().item<double>() / want.norm().item<double>();
}

class TrainingGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);  // computes models so small fastest
    folder_ = absl::StrCat(VERNIER_SOURCE_DIR "/tests/golden/training/", GetParam());
    model_ = models::LoadCausalLm(folder_, at::kFloat).value();
    golden_ = json::parse(ReadFile(folder_ + "/golden.json").value());
    tensors_.emplace(storage::SafetensorsFile::Open(folder_ + "/golden.safetensors").value());
    for (const json& row : golden_["rows"]) {
      labelled_.push_back({row["ids"].get<std::vector<int64_t>>(), row["weights"].get<std::vector<float>>()});
    }
    rows_.emplace(testing::PreparedOf(labelled_));
  }

  at::Tensor Golden(const std::string& name) const {
    return adapters::ToFloatTensor(tensors_->Find(name).value()).value();
  }

  std::unique_ptr<adapters::Tuning> Load(const std::string& adapter) const {
    const std::string at = absl::StrCat(folder_, "/", adapter, "/");
    const auto file = storage::SafetensorsFile::Open(at + "adapter_model.safetensors");
    VN_CHECK_OK(file.status());
    auto tuning = adapters::LoadPeft(*model_, ReadFile(at + "adapter_config.json").value(), *file);
    VN_CHECK_OK(tuning.status());
    return *std::move(tuning);
  }

  static v1::TrainStage Stage(const json& curve) {
    v1::TrainStage stage;
    stage.mutable_objective()->mutable_causal_lm();
    v1::AdamW& adamw = *stage.mutable_optimizer()->mutable_adamw();
    adamw.set_learning_rate(curve["learning_rate"].get<double>());
    adamw.set_weight_decay(curve["weight_decay"].get<double>());
    return stage;
  }

  std::unique_ptr<trainer::Run> RunOf(std::unique_ptr<adapters::Tuning> tuning) const {
    auto run = trainer::Run::Create(*model_, std::move(tuning), Stage(golden_["curve"]));
    VN_CHECK_OK(run.status());
    return *std::move(run);
  }

  at::Tensor Logits(const models::Overlay& overlay) const {
    const at::NoGradGuard no_grad;
    return model_->Logits(model_->Hidden(testing::BatchOf(labelled_).tokens, overlay),
                          model_->HeadWeight(overlay));
  }

  // One step over all rows; every gradient must match "<prefix>/<name>".
  void ExpectLossAndGradients(std::unique_ptr<adapters::Tuning> tuning, double loss,
                              const std::string& prefix) {
    const std::unique_ptr<trainer::Run> run = RunOf(std::move(tuning));
    std::vector<int64_t> all(rows_->num_rows());
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
    const data::BatchPlanOptions options = {.micro_batch_tokens =
                                                40};  // several micro-batches in every shard
    FlatGradient gradient;
    const auto got = testing::StepGradient(*run, *rows_, testing::GlobalBatchOf(*rows_, all, 0, options),
                                           options.layout, gradient);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_NEAR(*got, loss, kTolerance * loss);
    int64_t offset = 0;
    for (const adapters::TrainableParameter& parameter : run->tuning().Trainable()) {
      const at::Tensor ours = torch::from_blob(gradient.data() + offset, parameter.tensor.sizes());
      EXPECT_LE(RelativeDifference(ours, Golden(absl::StrCat(prefix, "/", parameter.name))), kTolerance)
          << parameter.name;
      offset += parameter.tensor.numel();
    }
    EXPECT_EQ(offset, static_cast<int64_t>(gradient.size()));
    // No gradient of theirs is left over.
    int64_t golden_size = 0;
    for (const storage::TensorView& view : tensors_->tensors()) {
      if (absl::StartsWith(view.name, prefix + "/")) golden_size += view.NumElements();
    }
    EXPECT_EQ(offset, golden_size);
  }

  std::string folder_;
  std::unique_ptr<models::CausalLm> model_;
  json golden_;
  std::optional<storage::SafetensorsFile> tensors_;
  std::vector<LabelledRow> labelled_;
  std::optional<data::PreparedRows> rows_;
};

TEST_P(TrainingGoldenTest, AdaptersThatPeftWroteGivePeftsLogits) {
  for (const std::string adapter : {"adapter", "adapter_regex"}) {
    const at::Tensor want = Golden(adapter + "_logits");
    EXPECT_LE(RelativeDifference(Logits(*Load(adapter)), want), kTolerance) << adapter;
    EXPECT_GT(RelativeDifference(Logits(models::Overlay()), want), 100 * kTolerance)
        << adapter << " changes so little that the test could not fail";
  }
}

TEST_P(TrainingGoldenTest, LossAndEveryLoraGradientOfOneStepEqualPefts) {
  for (const std::string adapter : {"adapter", "adapter_regex"}) {
    SCOPED_TRACE(adapter);
    ExpectLossAndGradients(Load(adapter), golden_[adapter + "_loss"].get<double>(), adapter + "_grad");
  }
}

TEST_P(TrainingGoldenTest, LossAndEveryGradientOfFullFineTuningEqualTorchs) {
  v1::Tuning spec;
  spec.mutable_full();
  ExpectLossAndGradients(adapters::CreateTuning(*model_, spec, 0).value(), golden_["base_loss"].get<double>(),
                         "full_grad");
}

TEST_P(TrainingGoldenTest, TwentyAdamWStepsFollowTorchsLossCurve) {
  const json& curve = golden_["curve"];
  const std::unique_ptr<trainer::Run> run = RunOf(Load("adapter"));
  v1::Schedule schedule;
  schedule.mutable_linear();
  schedule.set_warmup_steps(curve["warmup_steps"].get<int64_t>());
  const int64_t steps = curve["steps"].get<int64_t>();
  const int64_t rows_per_step = curve["rows_per_step"].get<int64_t>();
  ASSERT_EQ(curve["losses"].size(), static_cast<size_t>(steps));
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < rows_per_step; ++i)
      rows.push_back((step * rows_per_step + i) % rows_->num_rows());
    const data::BatchPlanOptions options = {.micro_batch_tokens = 24};
    const auto got =
        testing::TrainStep(*run, *rows_, testing::GlobalBatchOf(*rows_, rows, step, options), options.layout,
                           curve["clip_norm"].get<double>(), optim::ScheduleFactor(schedule, step, steps));
    ASSERT_TRUE(got.ok()) << got.status();
    const double loss = curve["losses"][step].get<double>();
    const double norm = curve["gradient_norms"][step].get<double>();
    EXPECT_NEAR(got->loss, loss, kTolerance * loss) << "step " << step;
    EXPECT_NEAR(got->gradient_norm, norm, 10 * kTolerance * norm) << "step " << step;
  }
}

// What we write is what peft writes: the same config and the same tensors, byte for byte.
TEST_P(TrainingGoldenTest, AReadAdapterIsExportedAsPeftWroteIt) {
  const auto exported = Load("adapter")->Export(absl::StrCat("tiny-", GetParam()));
  ASSERT_TRUE(exported.ok()) << exported.status();
  json ours = exported->config;
  json theirs = json::parse(ReadFile(folder_ + "/adapter/adapter_config.json").value());
  // Both are sets.
  std::sort(ours["target_modules"].begin(), ours["target_modules"].end());
  std::sort(theirs["target_modules"].begin(), theirs["target_modules"].end());
  EXPECT_EQ(ours, theirs) << json::diff(ours, theirs);

  const std::string bytes = testing::TensorFileBytes(*exported);
  const auto our_file = storage::SafetensorsFile::Parse(bytes, "ours");
  ASSERT_TRUE(our_file.ok()) << our_file.status();
  const auto their_file = storage::SafetensorsFile::Open(folder_ + "/adapter/adapter_model.safetensors");
  ASSERT_TRUE(their_file.ok()) << their_file.status();
  EXPECT_EQ(our_file->metadata(), their_file->metadata());
  ASSERT_EQ(our_file->tensors().size(), their_file->tensors().size());
  for (const storage::TensorView& theirs_view : their_file->tensors()) {
    const auto view = our_file->Find(theirs_view.name);
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_EQ(view->shape, theirs_view.shape) << theirs_view.name;
    EXPECT_EQ(view->bytes, theirs_view.bytes) << theirs_view.name;
  }
}

// Needs a Python with peft: VERNIER_GOLDEN_PYTHON=/path/to/python ctest -R training_golden_test.
TEST_P(TrainingGoldenTest, PeftOpensOurAdapterAndGetsOurLogits) {
  const char* const python = std::getenv("VERNIER_GOLDEN_PYTHON");
  if (python == nullptr) {
    GTEST_SKIP()
        << "VERNIER_GOLDEN_PYTHON names no Python with peft; AReadAdapterIsExportedAsPeftWroteIt compares "
           "with files that peft wrote";
  }
  v1::Tuning spec;
  v1::Lora& lora = *spec.mutable_lora();
  lora.set_rank(5);
  lora.set_alpha(6.5);
  lora.set_rslora(true);
  const models::LinearSite& site = model_->linear_sites()[2];
  (*lora.mutable_rank_by_module())[site.name] = 2;
  (*lora.mutable_alpha_by_module())[model_->linear_sites()[0].leaf] = 3.0;
  auto tuning = adapters::CreateTuning(*model_, spec, 4);
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  testing::Perturb(**tuning);
  const auto exported = (*tuning)->Export(GetParam());
  ASSERT_TRUE(exported.ok()) << exported.status();

  const TempFolder folder;
  folder.Write(exported->tensor_file, testing::TensorFileBytes(*exported));
  folder.Write(exported->config_file, exported->config.dump(1));
  folder.Write("family.txt", GetParam());
  adapters::Exported logits;
  logits.tensor_file = "logits.safetensors";
  logits.tensors.emplace_back("logits", Logits(**tuning).contiguous());
  folder.Write(logits.tensor_file, testing::TensorFileBytes(logits));

  const std::string log = folder.File("check.log");
  const auto child = SpawnChild({.arguments = {python, kScript, "--check", folder.path()}, .log_path = log});
  ASSERT_TRUE(child.ok()) << child.status();
  int exit_code = 0;
  const std::string how = WaitChild(*child, &exit_code);
  ReapChild(*child);
  EXPECT_EQ(exit_code, 0) << how << "\n" << ReadFile(log).value_or("");
}

INSTANTIATE_TEST_SUITE_P(Families, TrainingGoldenTest,
                         ::testing::Values("llama", "gpt2", "qwen2", "gemma3_text", "phi3", "gpt_neox"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::trainer
