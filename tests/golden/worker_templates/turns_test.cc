// The turns that we find in templates without marks, against what trl's training twins of the same templates
// mark, byte by byte. The twins are an independent judge; where they differ, docs/masks.md says in what and
// why, in a table made of this test's list.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_templates/template_test.h"
#include "worker/data/turn_spans.h"

namespace vernier::data {
namespace {

using Pieces = std::set<std::string>;

// Runs of bytes that one side trains and the other does not.
struct Difference {
  Pieces only_twin, only_ours;
};

// A line of the table in docs/masks.md, "Where we differ from trl": templates that differ from their twins in
// the same bytes, and why.
struct Known {
  std::vector<std::string> names;
  Difference difference;
  std::string why;
};

constexpr char kBreak[] = "the line break behind the end of a turn: the model has stopped by then";

const std::vector<Known>& KnownDifferences() {
  static const auto* const kKnown = new std::vector<Known>({
      {{"cohere", "cohere2", "llama3", "llava_next"}, {}, "equal in every byte"},
      {{"gemma", "gemma3", "idefics3", "lfm2", "lfm2_v2", "qwen3", "qwen3_instruct_2507", "qwen3_vl",
        "smolvlm"},
       {{"\n"}, {}},
       kBreak},
      {{"qwen2_5", "qwen2_5_vl"},
       {{"\n"}, {}},
       absl::StrCat(kBreak, "; and the one before an answer, which is in the generation prompt")},
      {{"deepseek_r1_distill", "deepseekv3"}, {{"<｜Assistant｜>"}, {}}, "it is in the generation prompt"},
      {{"gptoss", "muse_glimmer"}, {{"<|start|>assistant"}, {}}, "it is in the generation prompt"},
      {{"nemotron_3_5_lightning", "nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra"},
       {{"\n", "<think>", "<think>\n"}, {}},
       "the generation prompt opens the thinking; line breaks as above"},
      {{"qwen3_5_think", "qwen3_6", "qwen3_8"},
       {{"\n", "<think>\n"}, {}},
       "the generation prompt opens the thinking; line breaks as above"},
      {{"qwen3_5_nothink"},
       {{"\n", "<think>\n", "<think>\n\n</think>\n\n"}, {}},
       "the generation prompt holds an empty thinking block, or its beginning; line breaks as above"},
      {{"phi3", "phi3_5"},
       {{"\n", "\n</s>"}, {}},
       "the end-of-sequence token at the end of the conversation (`</s>` in the test): the turn ends with "
       "`<\\|end\\|>`; line breaks as above"},
      {{"glm4moe"},
       {{"<|user|>"}, {}},
       "the template has no end-of-turn token: the header of the next message ends the answer, and after the "
       "last there is none. Use a template that marks it, or the model does not learn to stop"},
      {{"diffusion_gemma"},
       {{"\n"}, {"<|tool_response>"}},
       "after a tool call the model stops there for the tool; line breaks as above"},
  });
  return *kKnown;
}

// Null: the template is in no line.
const Known* FindKnown(const std::string& name) {
  for (const Known& known : KnownDifferences()) {
    if (std::count(known.names.begin(), known.names.end(), name) > 0) return &known;
  }
  return nullptr;
}

std::string CodeSpans(const Pieces& pieces) {
  return absl::StrJoin(pieces, ", ", [](std::string* out, const std::string& piece) {
    absl::StrAppend(out, "`", absl::StrReplaceAll(piece, {{"\n", "\\n"}, {"|", "\\|"}}), "`");
  });
}

// The table as the page has it.
std::string Table() {
  std::string table =
      "| template | twin trains, we do not | we train, twin does not | why |\n|---|---|---|---|\n";
  for (const Known& known : KnownDifferences()) {
    absl::StrAppend(&table, "| ", absl::StrJoin(known.names, ", "), " | ",
                    CodeSpans(known.difference.only_twin), " | ", CodeSpans(known.difference.only_ours),
                    " | ", known.why, " |\n");
  }
  return table;
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
    if (begin < end) pieces->insert(text.substr(begin, end - begin));
    begin = std::max(end, begin + 1);
  }
}

class TwinTest : public TemplateTest {};

TEST_P(TwinTest, TurnsAreWhatTheTwinMarks) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  const Json& ours = goldens.json()["templates"][GetParam()];
  const Json& twins = goldens.json()["templates"][GetParam() + "_training"];
  Difference difference;
  int compared = 0;
  for (const auto& [conversation, golden] : ours.items()) {
    const Json& twin = twins[conversation];
    // Only where the twin changes nothing but the marks.
    if (golden["text"].is_null() || golden["text"] != twin["text"] || !twin.contains("generation")) continue;
    const auto got =
        RenderWithTurns(*template_, goldens.Messages(conversation), goldens.Tools(conversation), false);
    if (!got.ok()) {
      EXPECT_THAT(std::string(got.status().message()),
                  testing::AnyOf(testing::HasSubstr("the chat template drops the "),
                                 testing::HasSubstr("the chat template shows nothing of this turn")))
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
  EXPECT_GT(compared, 0);
  const Known* const known = FindKnown(GetParam());
  ASSERT_NE(known, nullptr) << "add the template to KnownDifferences and to docs/masks.md";
  EXPECT_EQ(difference.only_twin, known->difference.only_twin);
  EXPECT_EQ(difference.only_ours, known->difference.only_ours);
}

std::vector<std::string> TemplatesWithTwins() {
  std::vector<std::string> names = TemplateGoldens::Get().TemplateNames(), with_twins;
  const std::set<std::string> all(names.begin(), names.end());
  for (const std::string& name : names) {
    if (all.count(name + "_training") > 0) with_twins.push_back(name);
  }
  return with_twins;
}

TEST(TwinTableTest, ThePageHasIt) {
  const auto page = ReadFile(VERNIER_SOURCE_DIR "/docs/masks.md", 1 << 20);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(absl::StrContains(*page, Table())) << "docs/masks.md must hold this table:\n" << Table();
  std::vector<std::string> known;
  for (const Known& line : KnownDifferences())
    known.insert(known.end(), line.names.begin(), line.names.end());
  EXPECT_THAT(known, testing::UnorderedElementsAreArray(TemplatesWithTwins()));
}

// Every published template: each turn that is found starts after what the generation prompt gives and holds
// the end of the answer, and everything that trains is the same text that the template shows for the turn
// alone.
class FoundTurnsTest : public TemplateTest {};

TEST_P(FoundTurnsTest, HoldTheAnswerAndNothingOfTheUser) {
  const Json messages = {{{"role", "user"}, {"content", "Quokka?"}},
                         {{"role", "assistant"}, {"content", "Wombat."}},
                         {{"role", "user"}, {"content", "And numbat?"}},
                         {{"role", "assistant"}, {"content", "Bilby!"}}};
  const auto got = RenderWithTurns(*template_, messages, nullptr, false);
  if (!got.ok()) {
    // Templates for images take parts, which the codec gives them: bare they fail on plain text, or would
    // drop it.
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
                         TemplateName);
INSTANTIATE_TEST_SUITE_P(Templates, TwinTest, testing::ValuesIn(TemplatesWithTwins()), TemplateName);

}  // namespace
}  // namespace vernier::data
