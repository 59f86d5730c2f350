// Published chat templates render as `transformers` renders them, byte for byte, and refuse what it refuses.
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_templates/template_test.h"
#include "tests/testing/cached_inputs.h"

namespace vernier::data {
namespace {

class PublishedTemplateTest : public TemplateTest {
 protected:
  // `golden`: [first 16 digits of the SHA-256, bytes, the text in a full file]; null or [message]: refused.
  void Check(const absl::StatusOr<RenderedChat>& got, const Json& golden, const std::string& what) {
    if (golden.is_null() || golden.size() == 1) {
      EXPECT_FALSE(got.ok()) << what << ": transformers refuses"
                             << (golden.is_null() ? "" : ": " + golden[0].get<std::string>()) << "\n"
                             << got->text;
      return;
    }
    ASSERT_TRUE(got.ok()) << what << ": " << got.status();
    if (golden.size() > 2) {
      EXPECT_EQ(got->text, golden[2].get<std::string>()) << what;
    }
    EXPECT_EQ(got->text.size(), golden[1].get<size_t>()) << what << "\n" << got->text;
    EXPECT_EQ(Sha256Hex(got->text).substr(0, 16), golden[0].get<std::string>()) << what << "\n" << got->text;
  }
};

TEST_P(PublishedTemplateTest, RendersAsTransformersDoes) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  for (const auto& [conversation, golden] : goldens.json()["templates"][GetParam()].items()) {
    const Json messages = goldens.Messages(conversation), tools = goldens.Tools(conversation);
    const auto full = template_->Render(messages, tools, false);
    Check(full, golden["text"], conversation);
    size_t last = messages.size();
    while (messages[--last]["role"] != "assistant") {
    }
    const Json before(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(last));
    Check(template_->Render(before, tools, true), golden["prompt"], conversation + " prompt");
    if (golden.contains("quiet")) {
      Check(template_->Render(before, tools, true, {{"enable_thinking", false}}), golden["quiet"],
            conversation + " without thinking");
    }
    Json spans = Json::array();
    if (full.ok()) {
      for (const ByteSpan& span : full->generation) spans.push_back({span.begin, span.end});
    }
    EXPECT_EQ(spans, golden.value("generation", Json::array())) << conversation;
  }
}

TEST(PublishedTemplatesTest, EveryOneHasGoldens) {
  std::set<std::string> published = {"smollm2"};
  std::error_code error;
  const std::string folder = absl::StrCat(CacheFolder(), "/trl-1.16.0/trl/chat_templates");
  for (const auto& file : std::filesystem::directory_iterator(folder, error)) {
    if (file.path().extension() == ".jinja") published.insert(file.path().stem());
  }
  if (error) GTEST_SKIP() << "no trl templates in the cache (tools/setup fetches them): " << folder;
  const std::vector<std::string> names = TemplateGoldens::Get().TemplateNames();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), published);
  for (const auto& [name, goldens] : TemplateGoldens::Get().json()["templates"].items()) {
    EXPECT_EQ(goldens.size(), TemplateGoldens::Get().json()["conversations"].size()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Templates, PublishedTemplateTest,
                         testing::ValuesIn(TemplateGoldens::Get().TemplateNames()), TemplateName);

}  // namespace
}  // namespace vernier::data
