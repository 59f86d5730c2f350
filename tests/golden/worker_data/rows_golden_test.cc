// Made by tests/golden/make/make_row_goldens.py: the same rows as JSON lines and Parquet, with tools and
// arguments as objects and as the text of JSON, and what transformers makes of them with published templates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>

#include "common/file.h"
#include "tests/testing/cached_inputs.h"
#include "worker/data/rows.h"
#include "worker/data/sources/source.h"
#include "worker/data/text/chat_template.h"
#include "worker/data/tool_call_style.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kFolder = std::string(VERNIER_SOURCE_DIR) + "/tests/golden/worker_data/";

absl::StatusOr<std::unique_ptr<Source>> Open(const std::string& name, const RowOptions& options = {}) {
  int64_t size = 0;
  absl::StatusOr<ReadAtFn> read = ReadFromFile(kFolder + name, &size);
  EXPECT_TRUE(read.ok()) << read.status();
  return OpenSource(*std::move(read), size, options);
}

std::vector<std::string> RecordsOf(const std::string& name, const RowOptions& options = {}) {
  const auto source = Open(name, options);
  if (!source.ok()) return {"error: " + std::string(source.status().message())};
  std::vector<std::string> records;
  Record record;
  while (true) {
    const auto more = (*source)->Next(&record);
    if (!more.ok()) {
      records.push_back("error: " + std::string(more.status().message()));
      return records;
    }
    if (!*more) return records;
    records.push_back(record.problem.empty() ? std::string(record.bytes) : "!" + record.problem);
  }
}

class ToolRowsTest : public testing::TestWithParam<std::string> {};

TEST_P(ToolRowsTest, AreTheSameRows) {
  const std::vector<std::string> plain = RecordsOf("tools.jsonl");
  const std::vector<std::string> records = RecordsOf(GetParam());
  ASSERT_EQ(records.size(), plain.size());
  for (size_t i = 0; i < records.size(); ++i) {
    const auto want = ParseRow(plain[i]), got = ParseRow(records[i]);
    ASSERT_TRUE(want.ok() && got.ok()) << got.status();
    EXPECT_EQ(got->tools.dump(), want->tools.dump());
    EXPECT_EQ(got->ContentDigest(), want->ContentDigest()) << records[i];
  }
}

TEST_P(ToolRowsTest, RenderAsTransformersDoes) {
  const std::string templates = CacheFolder() + "/trl-1.16.0/trl/chat_templates";
  if (!std::filesystem::exists(templates)) GTEST_SKIP() << "no " << templates << "; run tools/setup --tests";
  const auto text = ReadFile(kFolder + "rendered.json");
  ASSERT_TRUE(text.ok()) << text.status();
  const Json golden = Json::parse(*text);
  const std::vector<std::string> records = RecordsOf(GetParam());
  for (const auto& [name, rendered] : golden["rendered"].items()) {
    const auto source = ReadFile(templates + "/" + name + ".jinja");
    ASSERT_TRUE(source.ok()) << source.status();
    ChatTemplateConfig config;
    config.text = *source;
    config.special_tokens = {
        {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"pad_token", "<pad>"}, {"unk_token", "<unk>"}};
    const auto chat = ChatTemplate::Create(config, "2026-01-31T12:00:00Z");
    ASSERT_TRUE(chat.ok()) << name << ": " << chat.status();
    ASSERT_EQ(records.size(), rendered.size());
    for (size_t i = 0; i < records.size(); ++i) {
      const auto row = ParseRow(records[i]);
      ASSERT_TRUE(row.ok()) << row.status();
      Json messages = Json::array();
      for (const Message& message : row->messages) messages.push_back(message.object);
      absl::StatusOr<RenderedChat> got = (*chat)->Render(messages, row->tools, false);
      if (!got.ok() && HasToolCalls(messages)) {
        for (const Json& style : OtherToolCallStyles(messages)) {
          if (!got.ok()) got = (*chat)->Render(style, row->tools, false);
        }
      }
      if (rendered[i].is_null()) {
        EXPECT_FALSE(got.ok()) << name << " row " << i + 1;
        continue;
      }
      ASSERT_TRUE(got.ok()) << name << " row " << i + 1 << ": " << got.status();
      EXPECT_EQ(got->text, rendered[i].get<std::string>()) << name << " row " << i + 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, ToolRowsTest,
                         testing::Values("tools.jsonl", "tools_json_text.jsonl", "tools_structs.parquet",
                                         "tools_json_text.parquet"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(ParquetTest, ValuesOfEveryTypeBecomeJson) {
  std::map<std::string, std::vector<std::string>> want = {
      {"large", {R"("one")", R"("two")", R"("three")"}},
      {"binary", {R"("a")", "!column \"binary\": a text is not UTF-8", ""}},
      {"dictionary", {R"("one")", R"("two")", R"("three")"}},
      {"int8", {"-1", "0", "127"}},
      {"uint64", {"0", "18446744073709551615", ""}},
      {"float", {"0.1", "1.0", "!column \"float\": a number is infinite or NaN, which JSON does not have"}},
      {"double", {"1e+300", "-2.0", "0.30000000000000004"}},
      {"bool", {"true", "false", ""}},
      {"date", {R"("1970-01-01")", R"("1970-01-02")", R"("1970-01-03")"}},
      {"list", {R"(["a",null])", "[]", ""}},
      {"map", {R"({"k":1,"l":null})", "{}", ""}},
      {"struct", {R"({"a":1})", R"({"b":"x"})", ""}},
  };
  const std::vector<std::string> texts = {"one", "two", "three"};
  for (const auto& [column, values] : want) {
    const std::vector<std::string> records =
        RecordsOf("types.parquet", *MakeRowOptions({{"id", column}}, ""));
    ASSERT_EQ(records.size(), 3u) << records[0];
    for (size_t i = 0; i < 3; ++i) {
      std::string expected = "{\"text\":\"" + texts[i] + "\"}";
      if (!values[i].empty()) expected.insert(expected.size() - 1, ",\"" + column + "\":" + values[i]);
      if (values[i][0] == '!') expected = values[i];
      EXPECT_EQ(records[i], expected) << column;
    }
  }
}

TEST(ParquetTest, ColumnsAreMappedAndTheOthersNotRead) {
  const RowOptions options = *MakeRowOptions({{"prompt", "question"}, {"completion", "answer"}}, "");
  EXPECT_THAT(RecordsOf("pairs.parquet", options),
              ElementsAre(R"({"question":"one","answer":"1"})", R"({"question":"two","answer":"2"})",
                          R"({"question":"three"})"));
  const auto source = Open("pairs.parquet", options);
  ASSERT_TRUE(source.ok());
  EXPECT_THAT((*source)->unused_columns(), ElementsAre("note"));
  EXPECT_EQ((*source)->unit(), "row");
  EXPECT_EQ((*source)->format(), "Parquet");
  EXPECT_THAT(RecordsOf("pairs.parquet"),
              ElementsAre(HasSubstr("data.columns: {prompt: question, completion: answer}")));
}

TEST(ParquetTest, HostileFilesAreRefusedInOneSentence) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(RecordsOf("wide.parquet.gz"), ElementsAre(HasSubstr("the file has 1501 columns")));
  EXPECT_THAT(RecordsOf("deep.parquet.gz"),
              ElementsAre(HasSubstr("Parquet: the footer: Parquet schema too deeply nested")));
  EXPECT_THAT(RecordsOf("deep_80.parquet"),
              ElementsAre(HasSubstr("the column \"id\" is nested deeper than 64 levels")));
  const std::vector<std::string> bomb = RecordsOf("bomb.parquet");
  EXPECT_THAT(bomb.back(), HasSubstr("more than 250 times its size"));
  EXPECT_LT(bomb.size(), 1'000'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

// Arrow's answer to damage is a status or an exception, and ours one sentence.
TEST(ParquetTest, DamagedFilesAreReadOrRefused) {
  const auto whole = ReadFile(kFolder + "tools_structs.parquet");
  ASSERT_TRUE(whole.ok());
  int refused = 0;
  const auto try_read = [&](const std::string& bytes) {
    const auto source = OpenSource(ReadFromMemory(bytes), static_cast<int64_t>(bytes.size()));
    absl::Status status = source.status();
    Record record;
    while (status.ok()) {
      const auto more = (*source)->Next(&record);
      status = more.status();
      if (!status.ok() || !*more) break;
      if (record.problem.empty()) (void)ParseRow(record.bytes);
    }
    if (status.ok()) return;
    ++refused;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << status;
    EXPECT_LT(status.message().size(), 700u);
  };
  for (size_t size = 97; size < whole->size(); size += 97) try_read(whole->substr(0, size));
  const int cut_off = refused;
  EXPECT_EQ(cut_off, static_cast<int>(whole->size() / 97));
  uint32_t state = 7;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = *whole;
    for (int k = 0; k < 4; ++k) {
      state = state * 1664525 + 1013904223;
      // The footer and page headers are where sizes lie.
      const size_t at = bytes.size() - 1 -
                        (state >> 8) % (i % 2 == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 6000));
      bytes[at] = static_cast<char>(state >> 24);
    }
    try_read(bytes);
  }
  EXPECT_GT(refused, cut_off + 100);
}

}  // namespace
}  // namespace vernier::data
