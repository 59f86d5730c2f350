// The whole path of one machine without the service: SmolLM2 from its GGUF file, rows rendered with its own
// template, LoRA training, the published adapter judged and asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "storage/folder_store.h"
#include "storage/layout.h"
#include "storage/model_import.h"
#include "tests/testing/cached_inputs.h"
#include "tests/testing/temp_folder.h"
#include "tests/unit/worker_stages/stage_world.h"
#include "worker/data/prepare.h"
#include "worker/data/text/gguf_tokenizer.h"

namespace vernier::stages {
namespace {

using testing::HasSubstr;

constexpr char kDataset[] = "tenants/default/datasets/d/data";

// Package descriptions with synopses, in the style of the quickstart's data.
std::string Rows() {
  const std::pair<const char*, const char*> packages[] = {
      {"A terminal program that shows running processes and lets one stop them.",
       "interactive process viewer"},
      {"A library that reads and writes compressed archives of several formats.",
       "multi-format archive library"},
      {"A daemon that keeps the clock of the machine in step with servers.", "network time daemon"},
      {"A small editor for text files with syntax colours, for the console.", "small console text editor"},
      {"A tool that finds duplicate files by size and digest.", "duplicate file finder"},
      {"A game in which falling blocks must be put together without gaps.", "falling blocks game"},
      {"A server that hands out addresses to machines that join a network.", "DHCP server"},
      {"A program that draws graphs of functions and of measured data.", "function and data plotter"},
  };
  std::string rows;
  for (int i = 0; i < 3; ++i) {
    for (const auto& [description, synopsis] : packages) {
      absl::StrAppend(&rows, R"({"messages":[{"role":"user","content":"Package )", i, ": ", description,
                      R"("},{"role":"assistant","content":")", synopsis, "\"}]}\n");
    }
  }
  return rows;
}

TEST(RealModelTest, SmolLm2LearnsAndTheAdapterIsJudgedAndAsked) {
  const std::string gguf = CachedInput(kSmolLm2Gguf);
  if (gguf.empty()) GTEST_SKIP() << kSmolLm2Gguf << " is not in " << CacheFolder() << "; run tools/setup";
  const TempFolder folder;
  const auto store = storage::FolderStore::Open({.root = folder.path()});
  ASSERT_TRUE(store.ok()) << store.status();
  const auto imported =
      storage::ImportModel(gguf, **store, "default", {.tokenizer_from_gguf = data::TokenizerJsonFromGguf});
  ASSERT_TRUE(imported.ok()) << imported.status();
  const std::string model_key = storage::ModelFolder("default", imported->digest);

  StageWorld world;
  world.store_override = store->get();
  world.model_key = model_key;
  ASSERT_TRUE((*store)->Put(kDataset, Rows()).ok());
  v1::Task prepare = world.NewTask();
  prepare.set_tenant("default");
  prepare.set_threads(1);
  prepare.mutable_prepare()->set_dataset_key(kDataset);
  prepare.mutable_prepare()->set_model_key(model_key);
  prepare.mutable_prepare()->set_validation_fraction(0.25);
  prepare.mutable_prepare()->set_context_length(static_cast<int32_t>(imported->context_length));
  const auto prepared = data::RunPrepare(prepare, **store, nullptr);
  ASSERT_TRUE(prepared.ok()) << prepared.status();

  v1::TrainStage stage = SmallStage();
  stage.set_max_steps(6);
  stage.mutable_batch()->set_rows(8);
  stage.set_precision(v1::PRECISION_AUTO);
  stage.set_micro_batch_tokens(1024);
  stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(5e-4);
  stage.mutable_validate()->set_every_steps(0);
  stage.mutable_checkpoint()->set_every_steps(3);
  v1::Task train = world.TrainTask(stage);
  train.mutable_train()->set_prepared_key(prepared->key());
  const auto trained = world.Run(train);
  ASSERT_TRUE(trained->status.ok()) << trained->status;
  const auto& results = trained->outcome.results;
  VN_LOG(INFO) << "trained valid_loss_before=" << results.at("valid_loss_before")
               << " valid_loss=" << results.at("valid_loss")
               << " tokens_per_second=" << results.at("tokens_per_second")
               << " serve_difference=" << results.at("serve_difference");
  EXPECT_LT(results.at("valid_loss"), results.at("valid_loss_before") - 0.5);
  EXPECT_LE(results.at("serve_difference"), 1e-5);
  const std::string adapter = trained->context.artifact()->key();

  v1::Task evaluate = world.EvaluateTask(adapter, {"loss", "rouge_l"});
  evaluate.mutable_evaluate()->set_prepared_key(prepared->key());
  evaluate.mutable_evaluate()->mutable_stage()->set_precision(v1::PRECISION_AUTO);
  evaluate.mutable_evaluate()->mutable_stage()->set_max_rows(3);
  const auto judged = world.Run(evaluate);
  ASSERT_TRUE(judged->status.ok()) << judged->status;
  EXPECT_GT(judged->outcome.results.at("rouge_l"), 0.0);

  v1::Task generate = world.NewTask();
  generate.mutable_generate()->set_model_key(model_key);
  generate.mutable_generate()->set_precision(v1::PRECISION_FP32);
  generate.mutable_generate()->add_prompts("The capital of France is");
  generate.mutable_generate()->mutable_decoding()->set_max_new_tokens(4);
  const auto asked = world.Run(generate);
  ASSERT_TRUE(asked->status.ok()) << asked->status;
  std::string answer;
  for (const v1::TaskEvent& event : asked->context.events()) {
    if (event.has_generated()) answer += event.generated().text();
  }
  EXPECT_THAT(answer, HasSubstr("Paris"));
}

}  // namespace
}  // namespace vernier::stages
