// The template engine against Jinja itself: outputs, errors and case mappings that make_jinja_goldens.py
// stored.
#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "worker/data/text/chat_template.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data {
namespace {

const Json& Goldens() {
  static const Json* const kGoldens = [] {
    const auto text = ReadFile(VERNIER_SOURCE_DIR "/tests/golden/worker_templates/engine.json", 1 << 24);
    VN_CHECK_OK(text.status());
    return new Json(Json::parse(*text));
  }();
  return *kGoldens;
}

absl::StatusOr<std::string> Render(const std::string& text) {
  ChatTemplateConfig config;
  config.text = text;
  auto compiled = ChatTemplate::Create(config, Goldens()["time"].get<std::string>());
  if (!compiled.ok()) return compiled.status();
  auto chat = (*compiled)->Render(Json::array(), nullptr, false, Goldens()["context"]);
  if (!chat.ok()) return chat.status();
  return chat->text;
}

TEST(JinjaGoldenTest, RendersAsJinjaDoes) {
  ASSERT_GT(Goldens()["cases"].size(), 40u);
  for (const Json& golden : Goldens()["cases"]) {
    const auto got = Render(golden["template"].get<std::string>());
    ASSERT_TRUE(got.ok()) << got.status() << "\n" << golden["template"];
    EXPECT_EQ(*got, golden["output"].get<std::string>()) << golden["template"];
  }
}

TEST(JinjaGoldenTest, FailsWhereJinjaFails) {
  for (const Json& golden : Goldens()["errors"]) {
    const auto got = Render(golden.get<std::string>());
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << golden << " renders " << *got;
  }
}

TEST(JinjaGoldenTest, DamagedTemplatesEndWithAnAnswerOrAnError) {
  // Pieces of templates cut out, doubled and put elsewhere; the sanitizers are the judges.
  std::mt19937 random(7);
  int rendered = 0, refused = 0;
  for (const Json& golden : Goldens()["cases"]) {
    const std::string whole = golden["template"].get<std::string>();
    for (int round = 0; round < 40; ++round) {
      std::string text = whole;
      for (int i = 0; i < 3; ++i) {
        const size_t from = random() % text.size(), size = 1 + random() % 12, to = random() % text.size();
        const std::string piece = text.substr(from, size);
        if (random() % 2 == 0) text.erase(from, size);
        text.insert(std::min(to, text.size()), piece);
      }
      const auto got = Render(text);
      ++(got.ok() ? rendered : refused);
      if (!got.ok()) {
        EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << text;
      }
    }
  }
  EXPECT_GT(rendered, 0);
  EXPECT_GT(refused, 0);
}

TEST(JinjaGoldenTest, MapsTheCaseOfEveryCharacterAsPython) {
  const std::pair<const char*, std::string (*)(absl::string_view)> methods[] = {
      {"upper", jinja::Upper},
      {"lower", jinja::Lower},
      {"title", jinja::Title},
      {"capitalize", jinja::Capitalize}};
  for (const auto& [name, map] : methods) {
    std::string all;
    for (char32_t c = 1; c < 0x110000; ++c) {
      if ((c >= 0xD800 && c < 0xE000) || (c != ' ' && !jinja::IsPrintable(c))) continue;
      std::string word;
      AppendCharacter(c, &word);
      word = absl::StrCat(word, "a", word);
      absl::StrAppend(&all, all.empty() ? "" : "\n", map(word));
    }
    EXPECT_EQ(Sha256Hex(all), Goldens()["case"][name].get<std::string>()) << name;
  }
}

}  // namespace
}  // namespace vernier::data
