#include "client/cli/report_page.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/html.h"
#include "client/cli/svg_plot.h"
#include "common/digest.h"

namespace vernier::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

// Every text that comes from outside carries this.
constexpr char kEvil[] = "<script>alert('x')</script>&\"";

v1::Job JobOf(const std::string& text) {
  v1::Job job;
  if (!google::protobuf::TextFormat::ParseFromString(text, &job)) ADD_FAILURE() << "not a Job: " << text;
  return job;
}

ReportInput Example() {
  ReportInput input;
  input.client_version = "1.2.3";
  input.made = absl::FromUnixSeconds(1'700'000'000);
  input.server.set_version("1.2.3");
  v1::Job& job = input.results.job;
  job = JobOf(R"(
    name: "jobs/abc" state: JOB_STATE_SUCCEEDED create_time { seconds: 100 } end_time { seconds: 400 }
    spec { name: "synopsis" seed: 17 model { base: "smollm2" }
           stages { id: "sft" train { data { source: "t" } } }
           stages { id: "before" evaluate { data { source: "t" validation { from: "v" } } } }
           stages { id: "after" evaluate { data { source: "t" validation { from: "v" } } } } }
    stages { id: "sft" kind: "train" state: STAGE_STATE_SUCCEEDED attempts: 1 start_time { seconds: 110 } end_time { seconds: 300 }
             results { key: "valid_loss" value: 1.8 } results { key: "valid_loss_before" value: 2.4 }
             results { key: "train_seconds" value: 150 } results { key: "tokens_per_second" value: 1234.5 }
             results { key: "steps" value: 30 } notes: "numeric class: precision=bf16 threads=2"
             data_report { num_rows: 256 num_tokens: 30000 num_trained_tokens: 6000 max_row_tokens: 412
                           lengths { max_tokens: 128 num_rows: 200 num_tokens: 20000 }
                           lengths { max_tokens: 256 num_rows: 56 num_tokens: 10000 } } }
    stages { id: "before" kind: "evaluate" start_time { seconds: 300 } end_time { seconds: 350 } results { key: "rouge_l" value: 0.1 } }
    stages { id: "after" kind: "evaluate" start_time { seconds: 350 } end_time { seconds: 400 } results { key: "rouge_l" value: 0.3 } })");
  for (int step = 1; step <= 30; ++step) {
    v1::MetricPoint& point = input.results.points.emplace_back();
    point.set_stage("sft");
    point.set_step(step);
    (*point.mutable_values())["train_loss"] = 3.0 / step;
    (*point.mutable_values())["learning_rate"] = 1e-4;
    if (step % 10 == 0) (*point.mutable_values())["valid_loss"] = 2.0 / step;
  }
  for (const char* const stage : {"before", "after"}) {
    client::Evaluation& evaluation = input.results.evaluations.emplace_back();
    evaluation = {.stage = stage, .split = "validation", .has_text = true, .metrics = {{"rouge_l", 0}}};
    for (int line = 1; line <= 9; ++line) {
      evaluation.rows.push_back(
          {.line = line,
           .prompt = absl::StrCat("prompt ", line),
           .reference = "a reference",
           .prediction = absl::StrCat(stage, " says ", line),
           .scores = {{"rouge_l", evaluation.stage == "before" ? 0.1 : 0.1 * line - 0.2}}});
    }
  }
  v1::Artifact& artifact = input.results.artifacts.emplace_back();
  artifact.set_job("jobs/abc");
  artifact.set_stage("sft");
  artifact.set_name("adapter");
  artifact.add_files()->set_name("adapter_model.safetensors");
  v1::JobEvent& event = input.results.events.emplace_back();
  event.set_level("info");
  event.set_message("published adapter");
  return input;
}

// Tags that are open at the end, outermost first; a failure for one that closes another.
void ExpectWellFormed(const std::string& page) {
  std::vector<std::string> open;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const size_t end = page.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string inside = page.substr(at + 1, end - at - 1);
    if (absl::StartsWith(inside, "!")) continue;
    const std::string name = inside.substr(0, inside.find_first_of(" /", 1));
    if (name == "style") at = page.find("</style>", at) - 1;
    if (absl::EndsWith(inside, "/") || name == "meta" || name == "br") continue;
    if (!absl::StartsWith(inside, "/")) {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << "closes nothing: " << inside;
    ASSERT_EQ("/" + open.back(), inside) << page.substr(at > 200 ? at - 200 : 0, 400);
    open.pop_back();
  }
  EXPECT_THAT(open, testing::IsEmpty());
}

TEST(ReportPageTest, HasEverySectionThatHasSomethingToSay) {
  const std::string page = ReportPage(Example());
  for (const char* const id : {"curves", "samples", "results", "data", "time", "artifacts", "configuration",
                               "environment", "events"}) {
    EXPECT_THAT(page, HasSubstr(absl::StrCat("<section id=\"", id, "\""))) << id;
    EXPECT_THAT(page, HasSubstr(absl::StrCat("<a href=\"#", id, "\""))) << id;
  }
  EXPECT_THAT(page, Not(HasSubstr("<section id=\"rows\""))) << "there is no ledger";
  EXPECT_THAT(page, HasSubstr("2.4 \u2192 1.8"));
  EXPECT_THAT(page, HasSubstr("PeftModel.from_pretrained"));
  EXPECT_THAT(page, HasSubstr("precision=bf16 threads=2"));
  EXPECT_THAT(page, HasSubstr("Largest gains"));
  EXPECT_THAT(page, HasSubstr("after says 9"));
  ExpectWellFormed(page);
}

TEST(ReportPageTest, LoadsNothingAndRunsNothing) {
  const std::string page = ReportPage(Example());
  for (const char* const outside : {"http:", "https:", "<script", "<link", "<img", "<iframe", "url(",
                                    "@import", "javascript:", " onload", " onclick", " style=\"", "src=\""}) {
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  }
}

TEST(ReportPageTest, ThePolicyAllowsExactlyItsOwnStyle) {
  const std::string page = ReportPage(Example());
  const size_t begin = page.find("<style>") + 7;
  const std::string style = page.substr(begin, page.find("</style>") - begin);
  const std::string digest = absl::Base64Escape(absl::HexStringToBytes(Sha256Hex(style)));
  EXPECT_THAT(page, HasSubstr(absl::StrCat("content=\"default-src 'none'; style-src 'sha256-", digest, "'")));
  EXPECT_LT(page.find("Content-Security-Policy"), page.find("<style>")) << "a policy rules what follows it";
}

TEST(ReportPageTest, ForeignTextsAreEscapedEverywhere) {
  ReportInput input = Example();
  v1::Job& job = input.results.job;
  job.mutable_spec()->set_name(kEvil);
  job.set_state_reason(kEvil);
  (*job.mutable_spec()->mutable_labels())[kEvil] = kEvil;
  v1::StageStatus& stage = *job.mutable_stages(0);
  (*stage.mutable_results())[kEvil] = 1;
  stage.add_notes(kEvil);
  stage.mutable_data_report()->add_notes(kEvil);
  stage.mutable_data_report()->add_problems()->set_reason(kEvil);
  stage.mutable_data_report()->add_sources()->set_name(kEvil);
  stage.mutable_data_report()->add_duplicates()->set_row(kEvil);
  stage.mutable_data_report()->add_implicit_system_prompts(kEvil);
  stage.mutable_data_report()->set_row_format(kEvil);
  for (client::Evaluation& evaluation : input.results.evaluations) {
    for (client::Prediction& row : evaluation.rows) {
      row.prompt = row.reference = row.prediction = kEvil;
      row.scores[kEvil] = 1;
    }
  }
  input.results.events[0].set_message(kEvil);
  input.results.events[0].set_level(kEvil);
  input.results.events[0].set_stage(kEvil);
  input.results.artifacts[0].set_name(kEvil);
  input.results.artifacts[0].mutable_files(0)->set_name(kEvil);
  input.models.emplace_back().set_name(kEvil);
  input.datasets.emplace_back().set_name(kEvil);
  input.server.set_version(kEvil);
  client::StageLedger& ledger = input.ledgers.emplace_back();
  auto rows = std::make_shared<storage::LedgerRows>();
  *rows = {.line = {7}, .tokens = {9}, .trained_tokens = {3}, .weight = {3}};
  ledger.stage = "sft";
  ledger.ledger.train = rows;
  ledger.ledger.validation = std::make_shared<storage::LedgerRows>();
  ledger.ledger.step = {1};
  ledger.ledger.step_end = {1};
  ledger.ledger.visit_row = {0};
  ledger.ledger.visit_loss = {2.5f};
  ledger.previews = {{.split = "train", .row = 0, .prompt = kEvil, .answer = kEvil}};

  const std::string page = ReportPage(input);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
  EXPECT_THAT(page, HasSubstr("<section id=\"rows\""));
  ExpectWellFormed(page);
}

TEST(ReportPageTest, AFailedJobShowsItsErrorAndWhatThereIs) {
  ReportInput input;
  input.results.job = JobOf(R"(name: "jobs/abc" state: JOB_STATE_FAILED
                               error { code: "INVALID_ARGUMENT" message: "row 7 is broken" stage: "sft" })");
  const std::string page = ReportPage(input);
  EXPECT_THAT(page, HasSubstr("row 7 is broken"));
  EXPECT_THAT(page, Not(HasSubstr("<section id=\"curves\"")));
  ExpectWellFormed(page);
}

TEST(HtmlTextTest, EscapesAndRepairs) {
  EXPECT_EQ(HtmlText("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(HtmlText("a\xff\xfez"), "a\uFFFD\uFFFDz");
  EXPECT_EQ(HtmlText(std::string("a\0b\x1b\n", 5)), "a\uFFFDb\uFFFD\n");
}

TEST(HtmlTextTest, AnExcerptIsNotCutInsideACharacter) {
  EXPECT_THAT(HtmlExcerpt("na\u00efve text", 3), testing::StartsWith("na <span"));
  EXPECT_EQ(HtmlExcerpt("short", 5), "short");
}

TEST(SvgPlotTest, DrawsOnlyWhatIsFinite) {
  const std::string svg = SvgPlot(
      {.id = "p", .title = "Loss", .lines = {{.name = "x", .points = {{1, NAN}, {2, 3}, {3, INFINITY}}}}});
  EXPECT_THAT(svg, HasSubstr("<circle"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_EQ(SvgPlot({.id = "p", .lines = {{.name = "x", .points = {{1, NAN}}}}}), "");
}

TEST(SvgPlotTest, AMillionPointsAreASmallPicture) {
  PlotLine line{.name = "loss", .smooth = true};
  for (int step = 0; step < 1'000'000; ++step) line.points.emplace_back(step, std::sin(step * 1e-4));
  EXPECT_LT(SvgPlot({.id = "p", .title = "t", .lines = {line}}).size(), 80'000u);
}

TEST(SvgPlotTest, TellsItsContentToThoseWhoCannotSeeIt) {
  const std::string svg =
      SvgPlot({.id = "p", .title = "Loss", .lines = {{.name = "train", .points = {{1, 4}, {2, 2}}}}});
  EXPECT_THAT(svg, HasSubstr("role=\"img\" aria-labelledby=\"p-t p-d\""));
  EXPECT_THAT(svg, HasSubstr("train: from 4 to 2, between 2 and 4."));
}

}  // namespace
}  // namespace vernier::cli
