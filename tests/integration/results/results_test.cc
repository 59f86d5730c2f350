// What `vernier` shows of real jobs: compare, report, ledger, metrics and conversations, through real
// processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/testing/process.h"
#include "tests/testing/service.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_model.h"

namespace vernier {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr int kSteps = 60;

// One service and two jobs for all tests: both are slow to make and only looked at.
class ResultsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TempFolder>();
    ASSERT_TRUE(tiny::WriteModelFolder(folder_->File("tiny")).ok());
    folder_->Write("train.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(32)));
    folder_->Write("valid.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(6)));
    auto service = Service::Start({.data_dir = folder_->File("data"), .import_roots = {folder_->path()}});
    ASSERT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
    ASSERT_TRUE(service_->client().ImportModel(folder_->File("tiny"), "tiny", nullptr).ok());
    for (const char* const name : {"train", "valid"}) {
      ASSERT_TRUE(service_->client().UploadDataset(folder_->File(absl::StrCat(name, ".jsonl")), name).ok());
    }
    for (const double rate : {5e-3, 2e-2}) {
      const auto name = service_->Submit(Job(rate));
      ASSERT_TRUE(name.ok()) << name.status();
      const auto job = service_->AwaitEnd(*name);
      ASSERT_TRUE(job.ok()) << job.status();
      ASSERT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED) << job->DebugString() << service_->Logs();
      jobs_.push_back(*name);
    }
  }
  static void TearDownTestSuite() {
    if (service_ != nullptr) {
      EXPECT_TRUE(service_->Stop().ok());
    }
    service_.reset();
    jobs_.clear();
    folder_.reset();
  }

  static v1::JobSpec Job(double learning_rate) {
    v1::JobSpec spec;
    spec.set_name(absl::StrCat("rate-", learning_rate));
    spec.mutable_model()->set_base("tiny");
    spec.mutable_data()->set_source("train");
    spec.mutable_data()->mutable_validation()->set_from("valid");
    v1::Stage& before = *spec.add_stages();
    before.set_id("before");
    Judge(*before.mutable_evaluate());
    v1::Stage& sft = *spec.add_stages();
    sft.set_id("sft");
    v1::TrainStage& train = *sft.mutable_train();
    train.mutable_tuning()->mutable_lora()->set_rank(8);
    train.mutable_optimizer()->mutable_adamw()->set_learning_rate(learning_rate);
    train.mutable_batch()->set_rows(8);
    train.set_max_steps(kSteps);
    train.mutable_validate()->set_every_steps(10);
    train.set_precision(v1::PRECISION_FP32);
    train.set_threads(1);
    v1::Stage& after = *spec.add_stages();
    after.set_id("after");
    Judge(*after.mutable_evaluate());
    after.mutable_evaluate()->mutable_model()->set_stage("sft");
    return spec;
  }
  static void Judge(v1::EvaluateStage& stage) {
    stage.add_metrics("loss");
    stage.add_metrics("rouge_l");
    stage.mutable_decoding()->set_max_new_tokens(16);
    stage.set_precision(v1::PRECISION_FP32);
    stage.set_threads(1);
  }

  // Its standard output; a failure for another exit code than `want`.
  static std::string Vernier(std::vector<std::string> arguments, int want = 0, const std::string& in = "") {
    static int runs = 0;
    const std::string base = folder_->File(absl::StrCat("run-", ++runs));
    folder_->Write(absl::StrCat("run-", runs, ".in"), in);
    std::vector<std::string> command = {
        "/bin/bash", "-c",
        absl::StrCat("\"$0\" --data-dir \"$1\" \"${@:2}\" < ", base, ".in > ", base, ".out"),
        std::string(VERNIER_BIN_DIR) + "/vernier", folder_->File("data")};
    command.insert(command.end(), arguments.begin(), arguments.end());
    auto process = TestProcess::Start(std::move(command), base + ".err", {"LC_ALL=C", "COLUMNS=100"});
    EXPECT_TRUE(process.ok()) << process.status();
    const auto code = (*process)->AwaitExit(absl::Minutes(1));
    EXPECT_TRUE(code.ok()) << code.status();
    EXPECT_EQ(code.value_or(-1), want) << (*process)->Output();
    errors_ = (*process)->Output();
    return ReadFile(base + ".out").value_or("");
  }
  static json VernierJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--output", "json"});
    const std::string out = Vernier(std::move(arguments));
    json parsed = json::parse(out, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(parsed.is_discarded()) << out;
    return parsed;
  }

  static std::unique_ptr<TempFolder> folder_;
  static std::unique_ptr<Service> service_;
  static std::vector<std::string> jobs_;
  static std::string errors_;  // what the last command wrote to standard error
};
std::unique_ptr<TempFolder> ResultsTest::folder_;
std::unique_ptr<Service> ResultsTest::service_;
std::vector<std::string> ResultsTest::jobs_;
std::string ResultsTest::errors_;

TEST_F(ResultsTest, CompareTellsWhatDiffersAndWhatCameOfIt) {
  const std::string text = Vernier({"compare", jobs_[0], jobs_[1]});
  EXPECT_THAT(text, HasSubstr("stages.sft.train.optimizer.adamw.learning_rate  0.005  0.02"));
  EXPECT_THAT(text, Not(HasSubstr("batch.rows"))) << "it is the same in both";
  EXPECT_THAT(text, HasSubstr("B validation loss"));
  EXPECT_THAT(text, HasSubstr("B - A"));
  EXPECT_THAT(text, HasSubstr("Row by row: A after -> B after, 6 validation rows, by rouge_l"));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) EXPECT_LE(line.size(), 100u) << line;
}

TEST_F(ResultsTest, CompareAloneSetsBeforeAndAfterSideBySide) {
  const json compared = VernierJson({"compare", jobs_[1]});
  ASSERT_EQ(compared["rows"].size(), 1u);
  const json& rows = compared["rows"][0];
  EXPECT_EQ(rows["before"]["stage"], "before");
  EXPECT_EQ(rows["after"]["stage"], "after");
  ASSERT_EQ(rows["rows"].size(), 6u);
  EXPECT_GT(rows["mean_after"], rows["mean_before"]);
  double last = INFINITY;
  for (const json& row : rows["rows"]) {
    EXPECT_LE(row["gain"].get<double>(), last);
    last = row["gain"];
    EXPECT_TRUE(row.contains("prediction_after"));
  }
  EXPECT_EQ(compared["jobs"][0]["curves"]["sft"]["train_loss"].size(), static_cast<size_t>(kSteps));
  EXPECT_EQ(compared["jobs"][0]["curves"]["sft"]["valid_loss"].size(), 7u);
}

TEST_F(ResultsTest, ReportIsOnePageOfItsOwn) {
  const std::string path = folder_->File("page.html");
  Vernier({"report", jobs_[1], "-o", path});
  const std::string page = ReadFile(path).value_or("");
  for (const char* const id : {"curves", "samples", "data", "rows", "time", "artifacts", "configuration"}) {
    EXPECT_THAT(page, HasSubstr(absl::StrCat("<section id=\"", id, "\""))) << id;
  }
  EXPECT_THAT(page, Not(HasSubstr("http:")));
  EXPECT_THAT(page, Not(HasSubstr("https:")));
  EXPECT_THAT(page, HasSubstr("rate-0.02"));
  EXPECT_EQ(Vernier({"report", jobs_[1], "-o", "-"}).size() > 1000, true);
  Vernier({"report", "jobs/0000"}, /*want=*/3);
}

TEST_F(ResultsTest, LedgerTellsOneRowsStory) {
  const json row = VernierJson({"ledger", jobs_[1], "--row", "5"});
  EXPECT_EQ(row["line"], 5);
  // 60 steps of 8 of 32 rows: every row in each of the 15 epochs.
  ASSERT_EQ(row["visits"].size(), 15u);
  std::set<int64_t> epochs;
  for (const json& visit : row["visits"]) epochs.insert((visit["step"].get<int64_t>() - 1) / 4);
  EXPECT_EQ(epochs.size(), 15u);
  EXPECT_LT(row["loss_after"], row["loss_before"]);
  EXPECT_EQ(row["loss_before"], row["visits"][0]["loss"]);
  EXPECT_THAT(Vernier({"ledger", jobs_[1], "--row", "5"}), HasSubstr("trained by 15 steps"));
  Vernier({"ledger", jobs_[1], "--row", "33"}, /*want=*/3);
  EXPECT_THAT(errors_, HasSubstr("trains no row of line 33"));
  EXPECT_THAT(Vernier({"ledger", jobs_[1], "--row", "2", "--validation"}), HasSubstr("AFTER STEP"));
}

TEST_F(ResultsTest, LedgerListsTheRowsThatCostMost) {
  const std::string worst = Vernier({"ledger", jobs_[1], "--worst", "3"});
  EXPECT_THAT(worst, HasSubstr("answer  "));
  EXPECT_THAT(worst, HasSubstr("at step "));
  EXPECT_THAT(Vernier({"ledger", jobs_[1], "--worst"}), HasSubstr("line "));
  const json summary = VernierJson({"ledger", jobs_[1]});
  EXPECT_EQ(summary["rows_trained"], 32);
  EXPECT_EQ(summary["visits"], kSteps * 8);
  EXPECT_LT(summary["validation_loss_after"], summary["validation_loss_before"]);
}

TEST_F(ResultsTest, LedgerOfAPausedJobIsThatOfItsCheckpoint) {
  v1::JobSpec spec = Job(1e-3);
  spec.mutable_stages(1)->mutable_train()->set_max_steps(1'000'000);
  const auto name = service_->Submit(spec);
  ASSERT_TRUE(name.ok()) << name.status();
  ASSERT_TRUE(AwaitCondition("training",
                             [&] {
                               const auto job = service_->GetJob(*name);
                               return job.ok() && job->stages(1).progress().step() >= 5;
                             })
                  .ok())
      << service_->Logs();
  Vernier({"pause", *name});
  ASSERT_TRUE(AwaitCondition("paused",
                             [&] {
                               const auto job = service_->GetJob(*name);
                               return job.ok() && job->state() == v1::JOB_STATE_PAUSED;
                             })
                  .ok())
      << service_->Logs();
  const json summary = VernierJson({"ledger", *name});
  EXPECT_GE(summary["last_step"], 5);
  EXPECT_EQ(summary["visits"], summary["last_step"].get<int64_t>() * 8);
  EXPECT_THAT(Vernier({"ledger", *name, "--worst"}), HasSubstr("texts are shown once the stage has ended"));
  EXPECT_THAT(Vernier({"report", *name, "-o", "-"}), HasSubstr("PAUSED"));
  Vernier({"cancel", *name});
}

TEST_F(ResultsTest, MetricsAreExported) {
  const std::string runs = folder_->File("runs");
  Vernier({"metrics", jobs_[0], "--tensorboard", runs});
  const std::string folder = absl::StrCat(runs, "/", absl::string_view(jobs_[0]).substr(5), "/sft");
  ASSERT_TRUE(std::filesystem::exists(folder)) << errors_;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    ++files;
    EXPECT_THAT(entry.path().filename().string(), HasSubstr("tfevents"));
    EXPECT_THAT(ReadFile(entry.path().string()).value_or(""), HasSubstr("loss/valid"));
  }
  EXPECT_EQ(files, 1);
  const std::vector<std::string> csv =
      absl::StrSplit(Vernier({"metrics", jobs_[0], "--csv"}), '\n', absl::SkipEmpty());
  EXPECT_EQ(csv.size(), 1u + kSteps + 1) << "a header, step 0 and every step";
  EXPECT_THAT(csv[0], HasSubstr("train_loss"));
}

TEST_F(ResultsTest, AConversationKeepsOneTrainer) {
  const std::string out = Vernier({"generate", "-i", "--adapter", jobs_[1], "--max-new-tokens", "12", "3 is"},
                                  0, "5 is\n/reset\n\n3 is\n");
  const std::vector<std::string> answers = absl::StrSplit(out, '\n', absl::SkipEmpty());
  ASSERT_EQ(answers.size(), 3u) << out << errors_;
  EXPECT_EQ(answers[0], answers[2]) << "what was said in between is forgotten";
  int logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_->File("data/agent/logs"))) {
    logs += absl::StartsWith(entry.path().filename().string(), "generations-") ? 1 : 0;
  }
  EXPECT_EQ(logs, 1) << "one trainer, one log";
  ASSERT_TRUE(AwaitCondition("the trainer is gone", [&] {
                return absl::IsNotFound(service_->FindProcess("vernier-trainer").status());
              }).ok());
}

TEST_F(ResultsTest, AConversationThatOutgrowsTheContextIsAnErrorOverAPipe) {
  Vernier(
      {"generate", "-i", "--adapter", jobs_[1], "--max-new-tokens", "4", std::string(tiny::kContext, 'x')},
      /*want=*/2);
  EXPECT_THAT(errors_, HasSubstr("leaves no room for an answer"));
}

}  // namespace
}  // namespace vernier
