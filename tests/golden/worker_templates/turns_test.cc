// The turns that we find in templates without marks, against what trl's training twins of the same templates
// mark. The twins are an independent judge; where they differ, docs/masks.md says why and kDifferences says
// in which bytes.
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_templates/goldens.h"
#include "worker/data/turn_spans.h"

namespace vernier::data {
namespace {

using Pieces = std::set<std::string>;

// Runs of bytes that one side trains and the other does not; runs of white space, which twins train after an
// end of turn, are left out.
struct Difference {
  Pieces only_twin, only_ours;
};

// docs/masks.md, "Where we differ from trl". A template that is not named agrees in every byte.
const std::map<std::string, Difference>& KnownDifferences() {
  static const auto* const kDifferences = new std::map<std::string, Difference>({
      // The twin trains the cue of the generation prompt, which the model never says.
      {"deepseek_r1_distill", {{"<｜Assistant｜>"}, {}}},
      {"deepseekv3", {{"<｜Assistant｜>"}, {}}},
      {"gptoss", {{"<|start|>assistant"}, {}}},
      {"muse_glimmer", {{"<|start|>assistant"}, {}}},
      // The generation prompt opens the thinking, or holds an empty one: it is given, the twin trains it.
      {"nemotron_3_5_lightning", {{"<think>", "<think>\n"}, {}}},
      {"nemotron_3_nano", {{"<think>", "<think>\n"}, {}}},
      {"nemotron_3_super", {{"<think>", "<think>\n"}, {}}},
      {"nemotron_3_ultra", {{"<think>", "<think>\n"}, {}}},
      {"qwen3_5_nothink", {{"<think>\n", "<think>\n\n</think>\n\n"}, {}}},
      {"qwen3_5_think", {{"<think>\n"}, {}}},
      {"qwen3_6", {{"<think>\n"}, {}}},
      {"qwen3_8", {{"<think>\n"}, {}}},
      // The twin trains the end of the whole conversation.
      {"phi3", {{"\n</s>"}, {}}},
      {"phi3_5", {{"\n</s>"}, {}}},
      // The template has no end of turn; the twin trains the header of the next message.
      {"glm4moe", {{"<|user|>"}, {}}},
      // Where the model stops for a tool; the twin leaves it untrained.
      {"diffusion_gemma", {{}, {"<|tool_response>"}}},
  });
  return *kDifferences;
}

std::vector<bool> Mask(size_t size, const std::vector<std::pair<size_t, size_t>>& spans) {
  std::vector<bool> mask(size, false);
  for (const auto& [begin, end] : spans) std::fill(mask.begin() + begin, mask.begin() + end, true);
  return mask;
}

void AddRuns(const std::string& text, const std::vector<bool>& a, const std::vector<bool>& b,
             Pieces* pieces) {
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && a[end] && !b[end]) ++end;
    const std::string run = text.substr(begin, end - begin);
    if (run.find_first_not_of(" \n") != std::string::npos) pieces->insert(run);
    begin = std::max(end, begin + 1);
  }
}

class TwinTest : public testing::TestWithParam<std::string> {};

TEST_P(TwinTest, TurnsAreWhatTheTwinMarks) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  const auto compiled = goldens.Compile(GetParam());
  if (absl::IsNotFound(compiled.status())) {
    GTEST_SKIP() << "no trl templates in the cache (tools/setup fetches them): "
                 << compiled.status().message();
  }
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const Json& ours = goldens.json()["templates"][GetParam()];
  const Json& twins = goldens.json()["templates"][GetParam() + "_training"];
  Difference difference;
  int compared = 0;
  for (const auto& [conversation, golden] : ours.items()) {
    const Json& twin = twins[conversation];
    // Only where the twin changes nothing but the marks.
    if (golden["text"].is_null() || golden["text"] != twin["text"] || !twin.contains("generation")) continue;
    const auto got =
        RenderWithTurns(**compiled, goldens.Messages(conversation), goldens.Tools(conversation), false);
    if (!got.ok()) {
      EXPECT_THAT(std::string(got.status().message()), testing::HasSubstr("the chat template drops the "))
          << conversation;
      continue;
    }
    std::vector<std::pair<size_t, size_t>> found, marked;
    bool rewritten = false;
    for (const TurnSpan& turn : got->turns) {
      found.emplace_back(turn.begin, turn.end);
      rewritten = rewritten || turn.rewritten;
    }
    if (rewritten) continue;  // refused when trained; what the twin marks is another question
    for (const Json& span : twin["generation"]) marked.emplace_back(span[0], span[1]);
    ++compared;
    const std::vector<bool> our_mask = Mask(got->text.size(), found);
    const std::vector<bool> twin_mask = Mask(got->text.size(), marked);
    AddRuns(got->text, twin_mask, our_mask, &difference.only_twin);
    AddRuns(got->text, our_mask, twin_mask, &difference.only_ours);
  }
  // Templates for images take their content in parts only: nothing to compare.
  const std::set<std::string> for_images = {"idefics3", "llava_next", "smolvlm"};
  EXPECT_EQ(compared > 0, for_images.count(GetParam()) == 0);
  const auto known = KnownDifferences().find(GetParam());
  const Difference want = known == KnownDifferences().end() ? Difference() : known->second;
  EXPECT_EQ(difference.only_twin, want.only_twin);
  EXPECT_EQ(difference.only_ours, want.only_ours);
}

std::vector<std::string> TemplatesWithTwins() {
  std::vector<std::string> names = TemplateGoldens::Get().TemplateNames(), with_twins;
  const std::set<std::string> all(names.begin(), names.end());
  for (const std::string& name : names) {
    if (all.count(name + "_training") > 0) with_twins.push_back(name);
  }
  return with_twins;
}

std::string Name(const testing::TestParamInfo<std::string>& info) { return info.param; }

// Every published template: each turn that is found starts after what the generation prompt gives and holds
// the end of the answer, and everything that trains is the same text that the template shows for the turn
// alone.
class FoundTurnsTest : public testing::TestWithParam<std::string> {};

TEST_P(FoundTurnsTest, HoldTheAnswerAndNothingOfTheUser) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  const auto compiled = goldens.Compile(GetParam());
  if (absl::IsNotFound(compiled.status())) {
    GTEST_SKIP() << "no trl templates in the cache (tools/setup fetches them): "
                 << compiled.status().message();
  }
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const Json messages = {{{"role", "user"}, {"content", "Quokka?"}},
                         {{"role", "assistant"}, {"content", "Wombat."}},
                         {{"role", "user"}, {"content", "And numbat?"}},
                         {{"role", "assistant"}, {"content", "Bilby!"}}};
  const auto got = RenderWithTurns(**compiled, messages, nullptr, false);
  if (!got.ok()) {
    // Templates for images take parts: they fail on plain text, as in transformers, or would drop it unseen.
    EXPECT_THAT(GetParam(), testing::AnyOf(testing::HasSubstr("idefics"), testing::HasSubstr("llava"),
                                           testing::HasSubstr("smolvlm")))
        << got.status();
    return;
  }
  std::map<size_t, std::string> said;  // by message; a marked turn may have several spans
  for (const TurnSpan& turn : got->turns) {
    if (!turn.rewritten) said[turn.message] += got->text.substr(turn.begin, turn.end - turn.begin);
  }
  for (const auto& [message, text] : said) {
    EXPECT_EQ(absl::StrContains(text, "Wombat."), message == 1) << text;
    EXPECT_EQ(absl::StrContains(text, "Bilby!"), message == 3) << text;
    EXPECT_FALSE(absl::StrContains(text, "umbat?") || absl::StrContains(text, "Quokka")) << text;
  }
  EXPECT_EQ(got->turns.back().message, 3u);
  EXPECT_FALSE(got->turns.back().rewritten);
}

INSTANTIATE_TEST_SUITE_P(Templates, FoundTurnsTest, testing::ValuesIn(TemplateGoldens::Get().TemplateNames()),
                         Name);
INSTANTIATE_TEST_SUITE_P(Templates, TwinTest, testing::ValuesIn(TemplatesWithTwins()), Name);

}  // namespace
}  // namespace vernier::data
