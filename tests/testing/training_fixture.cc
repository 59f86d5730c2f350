#include "tests/testing/training_fixture.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/testing/tiny_model.h"

namespace vernier {

v1::JobSpec TrainingTest::Job() {
  v1::JobSpec spec;
  spec.mutable_model()->set_base("tiny");
  spec.mutable_data()->set_source("train");
  spec.mutable_data()->mutable_validation()->set_from("valid");
  spec.set_max_attempts(10);
  v1::TrainStage& train = *spec.mutable_train();
  train.mutable_tuning()->mutable_lora()->set_rank(4);
  train.mutable_tuning()->mutable_lora()->set_dropout(0.1);
  train.mutable_optimizer()->mutable_adamw()->set_learning_rate(5e-3);
  train.mutable_schedule()->mutable_cosine();
  train.mutable_schedule()->set_warmup_steps(5);
  train.mutable_batch()->set_rows(8);
  train.set_max_steps(kSteps);
  train.mutable_validate()->set_every_steps(20);
  train.mutable_checkpoint()->set_every_steps(2);
  train.set_precision(v1::PRECISION_FP32);
  train.set_threads(1);
  return spec;
}

void TrainingTest::Start(Service::Options options) {
  if (!std::filesystem::exists(ModelFolder())) {
    ASSERT_TRUE(tiny::WriteModelFolder(ModelFolder()).ok());
    folder_.Write("train.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(64)));
    folder_.Write("valid.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(8, 1000)));
  }
  if (options.data_dir.empty()) options.data_dir = folder_.File("data");
  options.import_roots = {folder_.path()};
  auto service = Service::Start(std::move(options));
  ASSERT_TRUE(service.ok()) << service.status();
  service_ = *std::move(service);
  const auto imported = service_->client().ImportModel(ModelFolder(), "tiny", nullptr);
  ASSERT_TRUE(imported.ok()) << imported.status();
  for (const char* const name : {"train", "valid"}) {
    const auto uploaded = service_->client().UploadDataset(folder_.File(absl::StrCat(name, ".jsonl")), name);
    ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  }
}

void TrainingTest::Stop() {
  const auto code = service_->Stop();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0);
}

std::string TrainingTest::Submit(const v1::JobSpec& spec) {
  const auto name = service_->Submit(spec);
  EXPECT_TRUE(name.ok()) << name.status();
  return name.value_or("");
}

std::string TrainingTest::Undisturbed() { return DigestOf(Submit(Job())); }

std::string TrainingTest::DigestOf(const std::string& name, absl::Duration patience) {
  if (name.empty()) return "";  // Submit has told
  const auto job = service_->AwaitEnd(name, patience);
  if (!job.ok() || job->state() != v1::JOB_STATE_SUCCEEDED) {
    ADD_FAILURE() << (job.ok() ? job->DebugString() : job.status().ToString()) << "\n" << service_->Logs();
    return "";
  }
  std::string digests;
  for (const char* const file : {"adapter_model.safetensors", "ledger.safetensors"}) {
    const auto digest = ArtifactDigest(service_->client(), name, file);
    EXPECT_TRUE(digest.ok()) << digest.status();
    absl::StrAppend(&digests, digest.value_or("none"), " ");
  }
  return digests;
}

v1::Job TrainingTest::Get(const std::string& name) {
  const auto job = service_->GetJob(name);
  return job.ok() ? *job : v1::Job();
}

int64_t TrainingTest::StepOf(const std::string& name) {
  const v1::Job job = Get(name);
  return job.stages_size() == 0 ? 0 : job.stages(0).progress().step();
}

bool TrainingTest::JobEnded(const std::string& name) {
  const v1::JobState state = Get(name).state();
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED;
}

void TrainingTest::AwaitStep(const std::string& name, int64_t step) {
  const absl::Status reached =
      AwaitCondition("training", [&] { return StepOf(name) >= step || JobEnded(name); });
  ASSERT_TRUE(reached.ok()) << reached << "\n" << service_->Logs();
}

}  // namespace vernier
