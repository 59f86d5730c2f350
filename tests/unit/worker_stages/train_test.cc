#include "worker/stages/train.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/checkpoint.h"
#include "storage/manifest.h"
#include "tests/unit/worker_stages/stage_world.h"

namespace vernier::stages {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

std::vector<int64_t> Steps(const std::vector<std::pair<int64_t, double>>& metric) {
  std::vector<int64_t> steps;
  for (const auto& [step, value] : metric) steps.push_back(step);
  return steps;
}

trainer::FaultHooks Faults(const std::string& spec) { return trainer::FaultHooks::Parse(spec).value(); }

// A file that does not exist, for `once=`.
std::string FreshMarker() {
  static int count = 0;
  const std::string path = absl::StrCat(testing::TempDir(), "/train_test_marker_", ++count);
  std::filesystem::remove(path);
  return path;
}

void ResumeFrom(const v1::CheckpointInfo& checkpoint, v1::Task& task) {
  task.mutable_train()->set_resume_key(checkpoint.key());
  task.mutable_train()->set_resume_manifest_sha256(checkpoint.manifest_sha256());
}

TEST(TrainTest, TrainsValidatesAndPublishes) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.set_max_steps(30);
  stage.mutable_validate()->set_every_steps(10);
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  const auto& results = attempt->outcome.results;
  EXPECT_LT(results.at("valid_loss"), results.at("valid_loss_before") - 0.5);
  EXPECT_NEAR(results.at("valid_perplexity"), std::exp(results.at("valid_loss")), 1e-9);
  EXPECT_EQ(results.at("steps"), 30);
  EXPECT_EQ(results.at("epochs"), 6);
  EXPECT_EQ(results.at("rows"), 120);
  EXPECT_NEAR(results.at("tokens"), results.at("tokens_per_second") * results.at("train_seconds"), 1e-3);
  EXPECT_EQ(attempt->outcome.step, 30);
  EXPECT_FALSE(attempt->outcome.stopped);

  EXPECT_THAT(Steps(attempt->context.metric("valid_loss")), ElementsAre(0, 10, 20, 30));
  EXPECT_EQ(attempt->context.metric("train_loss").size(), 30u);
  for (const char* name :
       {"learning_rate", "grad_norm", "tokens_per_second", "step_seconds", "epoch", "tokens"}) {
    EXPECT_EQ(attempt->context.metric(name).size(), 30u) << name;
  }
  // Warm-up over two steps, then a cosine.
  EXPECT_DOUBLE_EQ(attempt->context.metric("learning_rate")[0].second, 5e-3);
  EXPECT_DOUBLE_EQ(attempt->context.metric("learning_rate")[1].second, 1e-2);

  const auto artifact = attempt->context.artifact();
  ASSERT_NE(artifact, nullptr);
  EXPECT_EQ(artifact->name(), "adapter");
  EXPECT_EQ(artifact->key(), absl::StrCat(StageWorld::kOutput, "/artifacts/adapter-1-i1"));
  const auto manifest =
      storage::ReadManifest(world.store, artifact->key(), "vernier.artifact", 1, artifact->manifest_sha256());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_TRUE(storage::VerifyParts(world.store, artifact->key(), *manifest).ok());
  EXPECT_NE(manifest->Find("adapter_config.json"), nullptr);
  EXPECT_NE(manifest->Find("adapter_model.safetensors"), nullptr);
  EXPECT_LE(manifest->fields["serve_check"]["relative_difference"],
            manifest->fields["serve_check"]["tolerance"]);
  EXPECT_EQ(manifest->fields["base_name"], "tiny");
}

TEST(TrainTest, TellsTheChosenPrecisionFirst) {
  StageWorld world;
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  for (const v1::TaskEvent& event : attempt->context.events()) {
    if (event.has_progress()) continue;
    ASSERT_TRUE(event.has_started());
    EXPECT_THAT(event.started().note(), HasSubstr("fp32"));
    EXPECT_THAT(event.started().numeric_class(), HasSubstr("threads=1"));
    break;
  }
}

TEST(TrainTest, WithoutValidationRowsTheLastStepIsPublished) {
  StageWorld world;
  world.validation.clear();
  world.Prepare();
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_THAT(attempt->outcome.results, Not(Contains(Pair("valid_loss", testing::_))));
  EXPECT_TRUE(attempt->context.metric("valid_loss").empty());
  EXPECT_NE(attempt->context.artifact(), nullptr);
}

// Law 3 over everything that a checkpoint must carry.
struct ResumeCase {
  std::string name;
  std::function<void(v1::TrainStage&)> change;
};

class ResumeTest : public testing::TestWithParam<ResumeCase> {
 protected:
  v1::TrainStage Stage() const {
    v1::TrainStage stage = SmallStage();
    GetParam().change(stage);
    return stage;
  }
};

TEST_P(ResumeTest, StoppedAtAnyStepTheRestEqualsTheUndisturbedRun) {
  StageWorld world;
  const auto whole = world.Run(world.TrainTask(Stage()));
  ASSERT_TRUE(whole->status.ok()) << whole->status;
  const auto losses = whole->context.metric("train_loss");
  for (int64_t stop_at = 0; stop_at <= 8; ++stop_at) {
    SCOPED_TRACE(absl::StrCat("stopped at step ", stop_at));
    const auto first = world.Run(world.TrainTask(Stage()), {}, [&](Attempt& attempt) {
      attempt.context.on_event = [&attempt, stop_at](const v1::TaskEvent& event) {
        if (event.has_metric() && event.metric().step() >= stop_at) attempt.context.stop = true;
      };
    });
    ASSERT_TRUE(first->status.ok()) << first->status;
    if (!first->outcome.stopped) {
      // An early stop may come first.
      EXPECT_EQ(StageWorld::TensorDigest(*first), StageWorld::TensorDigest(*whole));
      continue;
    }
    EXPECT_EQ(first->outcome.step, stop_at);
    ASSERT_FALSE(first->context.checkpoints().empty());
    EXPECT_EQ(first->context.checkpoints().back().step(), stop_at);
    EXPECT_EQ(first->context.artifact(), nullptr);

    v1::Task rest = world.TrainTask(Stage());
    ResumeFrom(first->context.checkpoints().back(), rest);
    const auto second = world.Run(rest);
    ASSERT_TRUE(second->status.ok()) << second->status;
    auto both = first->context.metric("train_loss");
    for (const auto& point : second->context.metric("train_loss")) both.push_back(point);
    EXPECT_EQ(both, losses);
    EXPECT_EQ(StageWorld::TensorDigest(*second), StageWorld::TensorDigest(*whole));
    for (const char* name :
         {"valid_loss", "valid_loss_before", "best_step", "tokens", "steps", "train_loss"}) {
      EXPECT_EQ(second->outcome.results.at(name), whole->outcome.results.at(name)) << name;
    }
  }
}

TEST_P(ResumeTest, FromAnOlderCheckpointTheRestEqualsTheUndisturbedRun) {
  StageWorld world;
  const auto whole = world.Run(world.TrainTask(Stage()));
  ASSERT_TRUE(whole->status.ok()) << whole->status;
  for (const v1::CheckpointInfo& checkpoint : whole->context.checkpoints()) {
    SCOPED_TRACE(checkpoint.key());
    v1::Task rest = world.TrainTask(Stage());
    ResumeFrom(checkpoint, rest);
    const auto again = world.Run(rest);
    ASSERT_TRUE(again->status.ok()) << again->status;
    EXPECT_EQ(StageWorld::TensorDigest(*again), StageWorld::TensorDigest(*whole));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ResumeTest,
    testing::ValuesIn<ResumeCase>({
        {"LoraAdamW", [](v1::TrainStage&) {}},
        {"LoraDropout",
         [](v1::TrainStage& stage) { stage.mutable_tuning()->mutable_lora()->set_dropout(0.3); }},
        {"PublishLast", [](v1::TrainStage& stage) { stage.set_publish(v1::PUBLISH_LAST); }},
        {"BestIsNotTheLast",
         [](v1::TrainStage& stage) {  // so fast that it overshoots
           stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(1.0);
           stage.mutable_validate()->set_every_steps(1);
         }},
        {"EarlyStopping",
         [](v1::TrainStage& stage) {
           stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(1.0);
           stage.mutable_validate()->set_every_steps(1);
           stage.mutable_early_stopping()->set_patience(2);
         }},
        {"FullSgdMomentum",
         [](v1::TrainStage& stage) {
           stage.mutable_tuning()->mutable_full();
           stage.mutable_optimizer()->mutable_sgd()->set_learning_rate(0.1);
           stage.mutable_optimizer()->mutable_sgd()->set_momentum(0.9);
         }},
        {"FullAdamW",
         [](v1::TrainStage& stage) {
           stage.mutable_tuning()->mutable_full();
           stage.mutable_optimizer()->mutable_adamw()->set_weight_decay(0.1);
         }},
        {"PaddedTokenBatches",
         [](v1::TrainStage& stage) {
           stage.set_layout(v1::LAYOUT_PADDED);
           stage.mutable_batch()->set_tokens(96);
         }},
        {"Bf16", [](v1::TrainStage& stage) { stage.set_precision(v1::PRECISION_BF16); }},
    }),
    [](const auto& info) { return info.param.name; });

// Held-out rows ask what `world` trains and want another row's answer: what words an answer has is learnt
// first and helps; which answer belongs to which prompt comes later and hurts, the more the surer the model
// is. 50 steps, validated every 5.
v1::TrainStage OverfittingStage(StageWorld& world) {
  world.validation = world.rows;
  for (size_t i = 0; i < world.rows.size(); ++i)
    world.validation[i].answer = world.rows[(i + 1) % world.rows.size()].answer;
  world.Prepare();
  v1::TrainStage stage = SmallStage();
  stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(2e-2);
  stage.mutable_schedule()->mutable_constant();
  stage.mutable_validate()->set_every_steps(5);
  stage.mutable_checkpoint()->set_every_steps(50);
  stage.set_max_steps(50);
  return stage;
}

TEST(TrainTest, BestIsPublishedNotTheLast) {
  StageWorld world(4);
  const v1::TrainStage stage = OverfittingStage(world);
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  const auto validations = attempt->context.metric("valid_loss");
  const auto best = std::min_element(validations.begin(), validations.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  ASSERT_GT(best->first, 0);
  ASSERT_GT(validations.back().second, best->second + 0.1) << "the run was meant to make it worse at last";
  EXPECT_EQ(attempt->outcome.results.at("best_step"), static_cast<double>(best->first));
  EXPECT_EQ(attempt->outcome.results.at("valid_loss"), best->second);
  // What was published computes that loss.
  const auto judged = world.Run(world.EvaluateTask(attempt->context.artifact()->key(), {"loss"}));
  ASSERT_TRUE(judged->status.ok()) << judged->status;
  EXPECT_NEAR(judged->outcome.results.at("loss"), best->second, 1e-6);
}

TEST(TrainTest, ARunThatOnlyMakesWorseSaysThatItPublishesTheStart) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.mutable_tuning()->mutable_full();
  stage.mutable_optimizer()->mutable_sgd()->set_learning_rate(1000);
  stage.mutable_validate()->set_every_steps(1);
  stage.set_max_steps(2);
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  ASSERT_EQ(attempt->outcome.results.at("best_step"), 0) << "the run was meant to make it worse";
  EXPECT_THAT(attempt->context.logs(), testing::Contains(HasSubstr("is the start, untrained")));
}

TEST(TrainTest, EarlyStoppingEndsBeforeTheLastStep) {
  StageWorld world(4);
  v1::TrainStage stage = OverfittingStage(world);
  stage.mutable_early_stopping()->set_patience(2);
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->outcome.results.at("early_stopped"), 1);
  EXPECT_EQ(attempt->outcome.results.at("steps"), attempt->outcome.results.at("best_step") + 2 * 5);
  EXPECT_LT(attempt->outcome.step, 50);
}

TEST(TrainTest, ShardsOnTwoThreadsTrainTheBitsOfOne) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.clear_validate();
  for (const v1::Precision precision : {v1::PRECISION_FP32, v1::PRECISION_BF16}) {
    stage.set_precision(precision);
    const auto one = world.Run(world.TrainTask(stage));
    at::set_num_threads(2);
    const auto two = world.Run(world.TrainTask(stage));
    at::set_num_threads(1);
    ASSERT_TRUE(one->status.ok() && two->status.ok()) << one->status << two->status;
    EXPECT_EQ(StageWorld::TensorDigest(*two), StageWorld::TensorDigest(*one));
  }
}

TEST(TrainTest, AnotherNumericClassIsRefusedWithBothNamed) {
  StageWorld world;
  const auto first = world.Run(world.TrainTask(SmallStage()));
  v1::Task rest = world.TrainTask(SmallStage());
  ResumeFrom(first->context.checkpoints().front(), rest);
  at::set_num_threads(2);
  const auto second = world.Run(rest);
  at::set_num_threads(1);
  EXPECT_EQ(second->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(second->status.message(), HasSubstr("threads=1"));
  EXPECT_THAT(second->status.message(), HasSubstr("threads=2"));
}

TEST(TrainTest, AnotherStageIsRefusedWithTheFieldNamed) {
  StageWorld world;
  const auto first = world.Run(world.TrainTask(SmallStage()));
  v1::TrainStage other = SmallStage();
  other.set_clip_norm(0.25);
  v1::Task rest = world.TrainTask(other);
  ResumeFrom(first->context.checkpoints().front(), rest);
  const auto second = world.Run(rest);
  EXPECT_EQ(second->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(second->status.message(), HasSubstr("stage.clip_norm"));
}

TEST(TrainTest, ADamagedOrMissingCheckpointIsDataLoss) {
  StageWorld world;
  const auto first = world.Run(world.TrainTask(SmallStage()));
  const v1::CheckpointInfo checkpoint = first->context.checkpoints().front();
  const std::string key = checkpoint.key() + "/state.safetensors";
  std::string bytes = world.store.Get(key).value();
  bytes.back() ^= 1;
  ASSERT_TRUE(world.store.Put(key, bytes).ok());
  v1::Task rest = world.TrainTask(SmallStage());
  ResumeFrom(checkpoint, rest);
  const auto damaged = world.Run(rest);
  EXPECT_EQ(damaged->status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(damaged->status.message(), HasSubstr("state.safetensors"));

  rest.mutable_train()->set_resume_key(absl::StrCat(StageWorld::kOutput, "/checkpoints/000000000099-1-i1"));
  EXPECT_EQ(world.Run(rest)->status.code(), absl::StatusCode::kDataLoss);
}

// Another store with something changed.
class WrappedStore : public storage::ObjectStore {
 public:
  explicit WrappedStore(storage::ObjectStore& store) : store_(store) {}
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view key,
                                                                    storage::WriteMode mode) override {
    return store_.OpenWriter(key, mode);
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    return store_.GetRange(key, offset, length);
  }
  absl::StatusOr<storage::ObjectInfo> Head(absl::string_view key) override { return store_.Head(key); }
  absl::StatusOr<std::vector<storage::ObjectInfo>> List(absl::string_view prefix,
                                                        absl::string_view start_after, int limit) override {
    return store_.List(prefix, start_after, limit);
  }
  absl::Status Delete(absl::string_view key) override { return store_.Delete(key); }
  std::optional<std::string> LocalPath(absl::string_view key) override { return store_.LocalPath(key); }
  std::string Uri() const override { return store_.Uri(); }

 private:
  storage::ObjectStore& store_;
};

// Refuses to write keys that contain a text.
class FullStore final : public WrappedStore {
 public:
  FullStore(storage::ObjectStore& store, std::string full) : WrappedStore(store), full_(std::move(full)) {}
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view key,
                                                                    storage::WriteMode mode) override {
    if (absl::StrContains(key, full_))
      return absl::ResourceExhaustedError(absl::StrCat(key, ": no space left"));
    return WrappedStore::OpenWriter(key, mode);
  }

 private:
  const std::string full_;
};

TEST(TrainTest, ACheckpointThatCannotBeWrittenEndsTheAttemptWithItsStatus) {
  StageWorld world;
  FullStore full(world.store, "/checkpoints/");
  world.store_override = &full;
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(attempt->status.message(), HasSubstr("no space left"));
  EXPECT_EQ(attempt->context.artifact(), nullptr);
  EXPECT_TRUE(attempt->context.checkpoints().empty());
}

TEST(TrainTest, AStopThatCannotCheckpointIsNoStop) {
  StageWorld world;
  FullStore full(world.store, "/checkpoints/");
  world.store_override = &full;
  const auto attempt = world.Run(world.TrainTask(SmallStage()), {}, [](Attempt& attempt) {
    attempt.context.on_event = [&attempt](const v1::TaskEvent& event) {
      if (event.has_metric()) attempt.context.stop = true;
    };
  });
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(attempt->outcome.stopped);
}

// Reads other numbers from an adapter than were written.
class LyingStore final : public WrappedStore {
 public:
  using WrappedStore::WrappedStore;
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    absl::StatusOr<std::string> bytes = WrappedStore::GetRange(key, offset, length);
    if (!bytes.ok() || !absl::EndsWith(key, "/adapter_model.safetensors")) return bytes;
    // The signs of the last 500 numbers.
    for (size_t back = 1; back < 2000 && back <= bytes->size(); back += 4)
      (*bytes)[bytes->size() - back] ^= '\x80';
    return bytes;
  }
};

TEST(TrainTest, AnArtifactThatServesSomethingElseIsNotPublished) {
  StageWorld world;
  LyingStore lying(world.store);
  world.store_override = &lying;
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(attempt->status.message(), HasSubstr("it is not published"));
  EXPECT_EQ(attempt->context.artifact(), nullptr);
  const std::string manifest = absl::StrCat(StageWorld::kOutput, "/artifacts/adapter-1-i1/manifest.json");
  EXPECT_EQ(world.store.Head(manifest).status().code(), absl::StatusCode::kNotFound);
}

TEST(TrainTest, AStopBeforeAnythingWasDoneNeedsNoCheckpoint) {
  StageWorld world;
  const auto attempt =
      world.Run(world.TrainTask(SmallStage()), {}, [](Attempt& attempt) { attempt.context.stop = true; });
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_TRUE(attempt->outcome.stopped);
  EXPECT_TRUE(attempt->context.checkpoints().empty());
}

// Opens checkpoints only once training went on.
class SlowStore final : public WrappedStore {
 public:
  SlowStore(storage::ObjectStore& store, RecordingContext& context)
      : WrappedStore(store), context_(context) {}
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view key,
                                                                    storage::WriteMode mode) override {
    if (absl::StrContains(key, "/000000000002-") &&
        !context_.WaitForStep(3, absl::Now() + absl::Seconds(30))) {
      return absl::DeadlineExceededError("training waits for its checkpoint");
    }
    return WrappedStore::OpenWriter(key, mode);
  }

 private:
  RecordingContext& context_;
};

TEST(TrainTest, TrainingGoesOnWhileACheckpointIsWritten) {
  StageWorld world;
  std::unique_ptr<SlowStore> slow;
  const auto attempt = world.Run(world.TrainTask(SmallStage()), {}, [&](Attempt& attempt) {
    slow = std::make_unique<SlowStore>(world.store, attempt.context);
    world.store_override = slow.get();
  });
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->context.checkpoints().size(), 4u);
}

TEST(TrainTest, AGradientThatIsFiniteTheSecondTimeChangesNothing) {
  StageWorld world;
  const auto undisturbed = world.Run(world.TrainTask(SmallStage()));
  const auto attempt = world.Run(world.TrainTask(SmallStage()),
                                 Faults("nan@step=3,point=after_backward,once=" + FreshMarker()));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->outcome.results.at("recomputed_steps"), 1);
  EXPECT_EQ(StageWorld::TensorDigest(*attempt), StageWorld::TensorDigest(*undisturbed));
}

TEST(TrainTest, AGradientThatStaysNotFiniteFailsAndNamesTheRows) {
  StageWorld world;
  const auto attempt = world.Run(world.TrainTask(SmallStage()), Faults("nan@step=3,point=after_backward"));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(attempt->status.message(), HasSubstr("step 3"));
  EXPECT_THAT(attempt->status.message(), HasSubstr("lines "));
  EXPECT_THAT(attempt->status.message(), HasSubstr("on_nonfinite: skip"));
  EXPECT_EQ(attempt->outcome.step, 2);
}

TEST(TrainTest, SkippedStepsAreCountedAndSurviveAResume) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.set_on_nonfinite(v1::ON_NONFINITE_SKIP);
  const trainer::FaultHooks faults =
      Faults("nan@step=2,point=after_backward;nan@step=7,point=after_backward");
  const auto whole = world.Run(world.TrainTask(stage), faults);
  ASSERT_TRUE(whole->status.ok()) << whole->status;
  EXPECT_EQ(whole->outcome.results.at("skipped_steps"), 2);
  EXPECT_EQ(whole->outcome.results.at("steps"), 8);
  EXPECT_EQ(whole->context.metric("train_loss").size(), 6u);

  v1::Task rest = world.TrainTask(stage);
  ResumeFrom(whole->context.checkpoints().at(1), rest);
  const auto again = world.Run(rest, faults);
  ASSERT_TRUE(again->status.ok()) << again->status;
  EXPECT_EQ(again->outcome.results.at("skipped_steps"), 2);
  EXPECT_EQ(StageWorld::TensorDigest(*again), StageWorld::TensorDigest(*whole));
}

TEST(TrainTest, MoreThanTenSkippedStepsFail) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.set_max_steps(20);
  stage.set_on_nonfinite(v1::ON_NONFINITE_SKIP);
  const auto attempt = world.Run(world.TrainTask(stage), Faults("nan@point=after_backward"));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(attempt->status.message(), HasSubstr("10 steps were skipped before"));
  EXPECT_EQ(attempt->outcome.step, 10);
}

TEST(TrainTest, ABatchWithoutTrainedTokensChangesNothing) {
  StageWorld world;
  for (tiny::Row& row : world.rows) row.weight = 0.0f;
  world.Prepare();
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_TRUE(attempt->context.metric("train_loss").empty());
  EXPECT_EQ(attempt->context.metric("learning_rate").size(), 8u);
  EXPECT_EQ(attempt->outcome.results.at("valid_loss"), attempt->outcome.results.at("valid_loss_before"));
}

TEST(TrainTest, FullTuningPublishesAWholeModel) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.mutable_tuning()->mutable_full();
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  const auto artifact = attempt->context.artifact();
  ASSERT_NE(artifact, nullptr);
  EXPECT_EQ(artifact->name(), "weights");
  std::vector<std::string> names;
  for (const v1::ArtifactFile& file : artifact->files()) names.push_back(file.name());
  EXPECT_THAT(names, testing::IsSupersetOf(
                         {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}));
  // It is a model like any other: another stage judges it.
  world.model_key = artifact->key();
  const auto judged = world.Run(world.EvaluateTask("", {"loss", "exact_match"}));
  ASSERT_TRUE(judged->status.ok()) << judged->status;
  EXPECT_NEAR(judged->outcome.results.at("loss"), attempt->outcome.results.at("valid_loss"), 1e-6);
}

TEST(TrainTest, InitFromGoesOnWhereTheAdapterEnded) {
  StageWorld world;
  const auto first = world.Run(world.TrainTask(SmallStage()));
  v1::Task task = world.TrainTask(SmallStage());
  task.mutable_train()->set_init_adapter_key(first->context.artifact()->key());
  task.mutable_train()->mutable_stage()->mutable_tuning()->mutable_lora()->clear_rank();
  const auto second = world.Run(task);
  ASSERT_TRUE(second->status.ok()) << second->status;
  EXPECT_EQ(second->outcome.results.at("valid_loss_before"), first->outcome.results.at("valid_loss"));
  EXPECT_LT(second->outcome.results.at("valid_loss"), first->outcome.results.at("valid_loss"));
}

TEST(TrainTest, InitFromRefusesAnotherShape) {
  StageWorld world;
  const auto first = world.Run(world.TrainTask(SmallStage()));
  v1::Task task = world.TrainTask(SmallStage());
  task.mutable_train()->set_init_adapter_key(first->context.artifact()->key());
  v1::Tuning& tuning = *task.mutable_train()->mutable_stage()->mutable_tuning();
  tuning.mutable_lora()->set_rank(6);
  const auto rank = world.Run(task);
  EXPECT_EQ(rank->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(rank->status.message(), HasSubstr("tuning.lora.rank = 6"));
  EXPECT_THAT(rank->status.message(), HasSubstr("4"));
  tuning.mutable_lora()->clear_rank();
  tuning.mutable_lora()->add_targets("q_proj");
  EXPECT_THAT(world.Run(task)->status.message(), HasSubstr("tuning.lora.targets"));
  tuning.mutable_full();
  EXPECT_EQ(world.Run(task)->status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(TrainTest, AnAdapterAboveAnotherIsJudgedAboveIt) {
  StageWorld world;
  const auto first = world.Run(world.TrainTask(SmallStage()));
  v1::Task task = world.TrainTask(SmallStage());
  task.mutable_train()->set_start_adapter_key(first->context.artifact()->key());
  const auto second = world.Run(task);
  ASSERT_TRUE(second->status.ok()) << second->status;
  EXPECT_NEAR(second->outcome.results.at("valid_loss_before"), first->outcome.results.at("valid_loss"), 1e-5);
  const auto judged = world.Run(world.EvaluateTask(second->context.artifact()->key(), {"loss"}));
  ASSERT_TRUE(judged->status.ok()) << judged->status;
  EXPECT_NEAR(judged->outcome.results.at("loss"), second->outcome.results.at("valid_loss"), 1e-5);
}

TEST(TrainTest, AMissingModelIsNamed) {
  StageWorld world;
  world.model_key = "tenants/default/models/0123";
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(attempt->status.message(), HasSubstr("models/0123"));
  EXPECT_THAT(attempt->status.message(), HasSubstr("import the model again"));
}

TEST(TrainTest, ADamagedModelIsNamed) {
  StageWorld world;
  const std::string key = world.model_key + "/model.safetensors";
  std::string bytes = world.store.Get(key).value();
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(world.store.Put(key, bytes).ok());
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(attempt->status.message(), HasSubstr("model.safetensors"));
}

TEST(TrainTest, ARowLongerThanTheContextIsNamed) {
  StageWorld world;
  world.rows[2].answer = std::string(200, 'x');
  world.Prepare();
  const auto attempt = world.Run(world.TrainTask(SmallStage()));
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(attempt->status.message(), HasSubstr("line 3"));
}

TEST(TrainTest, BadStagesAreNamedByField) {
  StageWorld world;
  const std::vector<std::pair<std::string, std::function<void(v1::TrainStage&)>>> cases = {
      {"max_steps", [](v1::TrainStage& stage) { stage.set_max_steps(0); }},
      {"virtual_shards", [](v1::TrainStage& stage) { stage.set_virtual_shards(3); }},
      {"batch.rows", [](v1::TrainStage& stage) { stage.mutable_batch()->set_rows(0); }},
      {"rank", [](v1::TrainStage& stage) { stage.mutable_tuning()->mutable_lora()->set_rank(0); }},
      {"optimizer", [](v1::TrainStage& stage) { stage.clear_optimizer(); }},
      {"objective", [](v1::TrainStage& stage) { stage.clear_objective(); }},
      {"epochs",
       [](v1::TrainStage& stage) {
         stage.clear_max_steps();
         stage.set_epochs(-1);
       }},
  };
  for (const auto& [field, change] : cases) {
    v1::TrainStage stage = SmallStage();
    change(stage);
    const auto attempt = world.Run(world.TrainTask(stage));
    EXPECT_EQ(attempt->status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(attempt->status.message(), HasSubstr(field));
  }
}

// Law 2: neither packing nor the micro-batch budget nor the number of shards is seen in the losses.
TEST(TrainTest, LossesDoNotDependOnHowABatchIsCut) {
  StageWorld world;
  const auto reference = world.Run(world.TrainTask(SmallStage()))->context.metric("train_loss");
  const std::vector<std::function<void(v1::TrainStage&)>> cuts = {
      [](v1::TrainStage& stage) { stage.set_layout(v1::LAYOUT_PADDED); },
      [](v1::TrainStage& stage) { stage.set_micro_batch_tokens(4096); },
      [](v1::TrainStage& stage) { stage.set_virtual_shards(1); },
  };
  for (const auto& cut : cuts) {
    v1::TrainStage stage = SmallStage();
    cut(stage);
    const auto losses = world.Run(world.TrainTask(stage))->context.metric("train_loss");
    ASSERT_EQ(losses.size(), reference.size());
    for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i].second, reference[i].second, 1e-5) << i;
  }
}

TEST(TrainTest, EpochsDecideTheNumberOfSteps) {
  StageWorld world;
  v1::TrainStage stage = SmallStage();
  stage.clear_max_steps();
  stage.set_epochs(1.5);
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->outcome.results.at("steps"), 8);  // 20 rows of 4: 5 steps an epoch
}

}  // namespace
}  // namespace vernier::stages
