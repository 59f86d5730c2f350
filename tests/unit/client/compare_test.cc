#include "client/compare.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace vernier::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::Pair;
using testing::UnorderedElementsAre;

v1::Job JobOf(const std::string& text) {
  v1::Job job;
  if (!google::protobuf::TextFormat::ParseFromString(text, &job)) ADD_FAILURE() << "not a Job: " << text;
  return job;
}

constexpr char kJob[] = R"(
  name: "jobs/1" spec { name: "first" seed: 17 model { base: "smollm2" }
    stages { id: "sft" train { batch { rows: 16 } optimizer { adamw { learning_rate: 0.0002 } }
                               precision: PRECISION_BF16 tuning { lora { targets: "q_proj" } } } }
    stages { id: "after" evaluate { data { source: "t" validation { from: "v" } } metrics: "loss" } } }
  stages { id: "sft" kind: "train" results { key: "valid_loss" value: 2 } results { key: "steps" value: 8 }
           notes: "numeric class: precision=bf16 threads=2" notes: "packed" }
  stages { id: "after" kind: "evaluate" results { key: "loss" value: 3 } })";

TEST(FlattenSpecTest, NamesStagesByIdAndWritesEnumsAsInYaml) {
  const auto leaves = FlattenSpec(JobOf(kJob).spec());
  EXPECT_THAT(leaves, UnorderedElementsAre(Pair("seed", "17"), Pair("model.base", "smollm2"),
                                           Pair("stages.sft.train.batch.rows", "16"),
                                           Pair("stages.sft.train.optimizer.adamw.learning_rate", "0.0002"),
                                           Pair("stages.sft.train.precision", "bf16"),
                                           Pair("stages.sft.train.tuning.lora.targets.0", "q_proj"),
                                           Pair("stages.after.evaluate.data.source", "t"),
                                           Pair("stages.after.evaluate.data.validation.from", "v"),
                                           Pair("stages.after.evaluate.metrics.0", "loss")));
}

TEST(CompareSpecsTest, TellsOnlyWhatDiffers) {
  const v1::Job first = JobOf(kJob);
  v1::Job second = first;
  second.set_name("jobs/2");
  second.mutable_spec()->set_name("second");
  second.mutable_spec()->mutable_stages(0)->mutable_train()->mutable_batch()->set_rows(32);
  second.mutable_spec()->mutable_stages(0)->mutable_train()->clear_precision();
  second.mutable_stages(0)->set_notes(0, "numeric class: precision=fp32 threads=2");
  const std::vector<v1::Job> jobs = {first, second};
  const std::vector<Difference> differences = CompareSpecs(jobs);
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].path, "stages.sft (numeric class).precision");
  EXPECT_EQ(differences[1].path, "stages.sft.train.batch.rows");
  EXPECT_THAT(differences[1].values, ElementsAre(Optional(std::string("16")), Optional(std::string("32"))));
  EXPECT_EQ(differences[2].path, "stages.sft.train.precision");
  EXPECT_THAT(differences[2].values, ElementsAre(Optional(std::string("bf16")), std::nullopt));
}

TEST(CompareSpecsTest, EqualJobsDifferInNothing) {
  const std::vector<v1::Job> jobs = {JobOf(kJob), JobOf(kJob), JobOf(kJob)};
  EXPECT_THAT(CompareSpecs(jobs), IsEmpty());
}

TEST(CompareResultsTest, SetsStagesOfTheSameIdSideBySide) {
  v1::Job second = JobOf(kJob);
  (*second.mutable_stages(0)->mutable_results())["valid_loss"] = 1.5;
  second.mutable_stages(0)->mutable_results()->erase("steps");
  const std::vector<v1::Job> jobs = {JobOf(kJob), second};
  const std::vector<ComparedMetric> metrics = CompareResults(jobs);
  ASSERT_EQ(metrics.size(), 3u);
  EXPECT_EQ(metrics[0].metric, "steps");
  EXPECT_THAT(metrics[0].values, ElementsAre(Optional(8.0), std::nullopt));
  EXPECT_EQ(metrics[1].metric, "valid_loss");
  EXPECT_THAT(metrics[1].values, ElementsAre(Optional(2.0), Optional(1.5)));
  EXPECT_EQ(metrics[2].stage, "after");
}

TEST(CompareResultsTest, TheOnlyStageOfAKindIsTheSameWhateverItsId) {
  v1::Job second = JobOf(kJob);
  second.mutable_stages(0)->set_id("train");
  const std::vector<v1::Job> jobs = {JobOf(kJob), second};
  const std::vector<ComparedMetric> metrics = CompareResults(jobs);
  ASSERT_EQ(metrics.size(), 3u);
  EXPECT_THAT(metrics[1].values, ElementsAre(Optional(2.0), Optional(2.0)));
}

Prediction Row(int64_t line, double rouge, const std::string& reference = "r",
               const std::string& text = "t") {
  return {.line = line,
          .reference = reference,
          .prediction = text,
          .scores = {{"rouge_l", rouge}, {"loss", 1 - rouge}}};
}

Evaluation EvaluationOf(const std::string& stage, std::vector<Prediction> rows) {
  return {.stage = stage,
          .split = "validation",
          .has_text = true,
          .metrics = {{"rouge_l", 0}, {"loss", 0}},
          .rows = std::move(rows)};
}

std::vector<int64_t> LinesOf(const RowComparison& comparison) {
  std::vector<int64_t> lines;
  for (const ComparedRow& row : comparison.rows) lines.push_back(row.line);
  return lines;
}

TEST(CompareRowsTest, JoinsByLineAndRanksByGain) {
  const Evaluation before = EvaluationOf("b", {Row(1, 0.5), Row(2, 0.5), Row(3, 0.5), Row(9, 1)});
  const Evaluation after = EvaluationOf("a", {Row(3, 0.9), Row(2, 0.1), Row(1, 0.5), Row(7, 1)});
  const auto compared = CompareRows(before, after, "");
  ASSERT_TRUE(compared.has_value());
  EXPECT_EQ(compared->metric, "rouge_l");
  EXPECT_THAT(LinesOf(*compared), ElementsAre(3, 1, 2));
  EXPECT_NEAR(compared->rows[0].gain, 0.4, 1e-12);
  EXPECT_EQ(compared->num_better, 1);
  EXPECT_EQ(compared->num_equal, 1);
  EXPECT_EQ(compared->num_worse, 1);
  EXPECT_EQ(compared->num_only_one, 2);
  EXPECT_NEAR(compared->mean_before, 0.5, 1e-12);
  EXPECT_NEAR(compared->mean_after, 0.5, 1e-12);
}

TEST(CompareRowsTest, ALowerLossIsAGain) {
  const Evaluation before = EvaluationOf("b", {Row(1, 0.5), Row(2, 0.5)});
  const Evaluation after = EvaluationOf("a", {Row(1, 0.2), Row(2, 0.8)});
  const auto compared = CompareRows(before, after, "loss");
  ASSERT_TRUE(compared.has_value());
  EXPECT_THAT(LinesOf(*compared), ElementsAre(2, 1));
  EXPECT_GT(compared->rows[0].gain, 0);
}

TEST(CompareRowsTest, PiecesOfALineAreJoinedInTheirOrder) {
  const Evaluation before = EvaluationOf("b", {Row(4, 0.1, "first"), Row(4, 0.2, "second")});
  const Evaluation after = EvaluationOf("a", {Row(4, 0.3, "first"), Row(4, 0.3, "second")});
  const auto compared = CompareRows(before, after, "");
  ASSERT_TRUE(compared.has_value());
  ASSERT_EQ(compared->rows.size(), 2u);
  for (const ComparedRow& row : compared->rows) EXPECT_EQ(row.before->reference, row.after->reference);
}

TEST(CompareRowsTest, AnotherReferenceIsAnotherRow) {
  const auto compared = CompareRows(EvaluationOf("b", {Row(1, 0.1, "x"), Row(2, 0.1)}),
                                    EvaluationOf("a", {Row(1, 0.2, "y"), Row(2, 0.1)}), "");
  ASSERT_TRUE(compared.has_value());
  EXPECT_THAT(LinesOf(*compared), ElementsAre(2));
  EXPECT_EQ(compared->num_only_one, 2);
}

TEST(CompareRowsTest, ScoresThatAreNoNumbersAreNeitherGainNorLoss) {
  const auto compared = CompareRows(EvaluationOf("b", {Row(1, NAN), Row(2, 0.1)}),
                                    EvaluationOf("a", {Row(1, 0.2), Row(2, 0.3)}), "");
  ASSERT_TRUE(compared.has_value());
  EXPECT_THAT(LinesOf(*compared), ElementsAre(2, 1));
  EXPECT_EQ(compared->num_equal, 1);
}

TEST(CompareRowsTest, NothingInCommonIsNoComparison) {
  EXPECT_FALSE(CompareRows(EvaluationOf("b", {Row(1, 0)}), EvaluationOf("a", {Row(2, 0)}), "").has_value());
  EXPECT_FALSE(
      CompareRows(EvaluationOf("b", {Row(1, 0)}), EvaluationOf("a", {Row(1, 0)}), "bleu").has_value());
}

JobResults ResultsOf(const std::string& job, std::vector<Evaluation> evaluations) {
  JobResults results;
  results.job = JobOf(job);
  results.evaluations = std::move(evaluations);
  return results;
}

TEST(PairEvaluationsTest, TheSameStageOfEachOtherJob) {
  const std::vector<JobResults> jobs = {ResultsOf(kJob, {EvaluationOf("after", {Row(1, 0)})}),
                                        ResultsOf(kJob, {EvaluationOf("after", {Row(1, 0)})})};
  const std::vector<EvaluationPair> pairs = PairEvaluations(jobs);
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].before_job, &jobs[0]);
  EXPECT_EQ(pairs[0].after_job, &jobs[1]);
}

TEST(PairEvaluationsTest, OtherDataIsNotComparable) {
  std::vector<JobResults> jobs = {ResultsOf(kJob, {EvaluationOf("after", {Row(1, 0)})}),
                                  ResultsOf(kJob, {EvaluationOf("after", {Row(1, 0)})})};
  v1::Data& data = *jobs[1].job.mutable_spec()->mutable_stages(1)->mutable_evaluate()->mutable_data();
  data.set_source("other");
  EXPECT_EQ(PairEvaluations(jobs).size(), 1u) << "the validation rows are those of another dataset";
  data.mutable_validation()->set_from("w");
  EXPECT_THAT(PairEvaluations(jobs), IsEmpty());
  for (JobResults& job : jobs) {
    job.job.mutable_spec()
        ->mutable_stages(1)
        ->mutable_evaluate()
        ->mutable_data()
        ->mutable_validation()
        ->set_from("5%");
  }
  EXPECT_THAT(PairEvaluations(jobs), IsEmpty()) << "a share of other rows";
}

TEST(PairEvaluationsTest, AloneAJobsEvaluationsAreComparedWithItsFirst) {
  constexpr char kThree[] = R"(spec {
    stages { id: "before" evaluate { data { source: "t" } } } stages { id: "after" evaluate { data { source: "t" } } }
    stages { id: "other" evaluate { data { source: "u" } } } })";
  std::vector<Evaluation> evaluations = {EvaluationOf("before", {Row(1, 0)}),
                                         EvaluationOf("after", {Row(1, 0)}),
                                         EvaluationOf("other", {Row(1, 0)})};
  for (Evaluation& evaluation : evaluations) evaluation.split = "train";
  const std::vector<JobResults> jobs = {ResultsOf(kThree, std::move(evaluations))};
  const std::vector<EvaluationPair> pairs = PairEvaluations(jobs);
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].before->stage, "before");
  EXPECT_EQ(pairs[0].after->stage, "after");
}

TEST(ParseEvaluationTest, ReadsTheTwoFiles) {
  const auto evaluation = ParseEvaluation(
      "after", R"({"rows": 2, "split": "validation", "metrics": {"loss": 1.5}})",
      "{\"line\": 3, \"reference\": \"a\", \"prediction\": \"b\", \"scores\": {\"loss\": 2}}\n"
      "{\"line\": 5, \"scores\": {\"loss\": null}}\n");
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_TRUE(evaluation->has_text);
  ASSERT_EQ(evaluation->rows.size(), 2u);
  EXPECT_EQ(evaluation->rows[0].prediction, "b");
  EXPECT_TRUE(std::isnan(evaluation->rows[1].scores.at("loss")));
}

TEST(ParseEvaluationTest, ABrokenLineIsNamed) {
  const auto evaluation = ParseEvaluation("after", "{}", "{\"line\": 3}\n[1]\n");
  EXPECT_THAT(std::string(evaluation.status().message()), HasSubstr("predictions.jsonl line 2"));
}

}  // namespace
}  // namespace vernier::client
