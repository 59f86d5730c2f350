// Every kind of bad row has a reason that names what and where.
#include "worker/data/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "worker/data/sources/source.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct BadRowCase {
  std::string name;
  std::string line;
  std::string want;
};
void PrintTo(const BadRowCase& c, std::ostream* out) { *out << c.name; }

class BadRowTest : public testing::TestWithParam<BadRowCase> {};

TEST_P(BadRowTest, SaysWhy) {
  const absl::StatusOr<Row> row = ParseRow(GetParam().line);
  ASSERT_EQ(row.status().code(), absl::StatusCode::kInvalidArgument) << GetParam().line;
  EXPECT_THAT(std::string(row.status().message()), HasSubstr(GetParam().want));
  EXPECT_EQ(std::string(row.status().message()).find("json.exception"), std::string::npos) << row.status();
}

std::string Chat(const std::string& messages) { return "{\"messages\":[" + messages + "]}"; }
const char kUser[] = R"({"role":"user","content":"hi"})";
const char kAssistant[] = R"({"role":"assistant","content":"yo"})";

INSTANTIATE_TEST_SUITE_P(
    Cases, BadRowTest,
    testing::ValuesIn<BadRowCase>({
        {"BrokenJson", R"({"text": "a)", "broken JSON at column"},
        {"BrokenJsonColumn", R"({"text": x})", "broken JSON at column 10: "},
        {"TrailingText", R"({"text": "a"} b)", "broken JSON at column 15"},
        {"Empty", "", "broken JSON at column"},
        {"LoneSurrogate", R"({"text": "\ud800"})", "broken JSON"},
        {"NumberOverflow", R"({"text": "a", "x": 1e999})", "broken JSON"},
        {"Nan", R"({"text": NaN})", "broken JSON"},
        {"NotUtf8", "{\"text\": \"\xff\"}", "not UTF-8: byte 11"},
        {"Array", R"([{"text":"a"}])", "the line is an array; JSONL has one JSON object a line"},
        {"Number", "12", "the line is a number"},
        {"DuplicateKey", R"({"text":"a","text":"b"})", "the key \"text\" appears twice"},
        {"TooDeep", std::string(100, '[') + std::string(100, ']'), "deeper than 64"},
        {"TooLarge", "{\"text\":\"" + std::string(10 << 20, 'a') + "\"}", "larger than the limit of 8.0 MiB"},
        {"NoKnownColumn", R"({"question":"a","answer":"b"})", "its columns: question, answer"},
        {"ShareGpt", R"({"conversations":[]})", "rename \"conversations\" to \"messages\""},
        {"NearMessages", R"({"mesages":[]})", "unknown column \"mesages\"; did you mean \"messages\"?"},
        {"NearCompletion", R"({"prompt":"a","completions":"b"})", "did you mean \"completion\"?"},
        {"NearText", R"({"Text":"a"})", "did you mean \"text\"?"},
        {"NearPrompt", R"({"promt":"a","completion":"b"})", "did you mean \"prompt\"?"},
        {"PromptAlone", R"({"prompt":"a"})", "prompt but no completion"},
        {"CompletionAlone", R"({"completion":"a"})", "completion but no prompt"},
        {"EmptyText", R"({"text":""})", "text is empty"},
        {"TextNumber", R"({"text":5})", "text is a number; it must be a string"},
        {"EmptyPrompt", R"({"prompt":"","completion":"b"})", "prompt is empty"},
        {"EmptyCompletion", R"({"prompt":"a","completion":""})", "completion is empty"},
        {"MessagesString", R"({"messages":"hi"})", "messages is a string"},
        {"NoMessages", R"({"messages":[]})", "messages is empty"},
        {"MessageString", Chat("\"hi\""), "messages[0] is a string"},
        {"NoRole", Chat(R"({"content":"hi"})"), "messages[0] has no role"},
        {"ShareGptKeys", Chat(R"({"from":"human","value":"hi"})"), "rename \"from\" to \"role\""},
        {"RoleNumber", Chat(R"({"role":1,"content":"hi"})"), "messages[0].role is not a string"},
        {"UnknownRole", Chat(R"({"role":"asistant","content":"hi"})"),
         "unknown role \"asistant\"; did you mean \"assistant\"?"},
        {"NoContent", Chat(R"({"role":"user"})"), "messages[0] has no content"},
        {"EmptyContent", Chat(std::string(kUser) + R"(,{"role":"assistant","content":" "})"),
         "messages[1] (assistant) has empty content"},
        {"NullContent", Chat(R"({"role":"user","content":null})"), "messages[0] (user) has empty content"},
        {"ContentNumber", Chat(R"({"role":"user","content":3})"), "messages[0].content is a number"},
        {"ImagePart", Chat(R"({"role":"user","content":[{"type":"image_url"}]})"),
         "messages[0].content[0] is not a text part"},
        {"NearContent", Chat(R"({"role":"user","contents":"hi"})"),
         "messages[0]: unknown key \"contents\"; did you mean \"content\"?"},
        {"NearWeight",
         Chat(std::string(kUser) + R"(,{"role":"assistant","content":"a","wieght":1,"weigh":0})"),
         "did you mean \"weight\"?"},
        {"NegativeWeight", Chat(std::string(kUser) + R"(,{"role":"assistant","content":"a","weight":-1})"),
         "messages[1].weight = -1"},
        {"WeightString", Chat(std::string(kUser) + R"(,{"role":"assistant","content":"a","weight":"1"})"),
         "messages[1].weight"},
        {"WeightOnUser", Chat(R"({"role":"user","content":"a","weight":1})"), "weight is on a user message"},
        {"NameNumber", Chat(R"({"role":"user","content":"a","name":1})"), "messages[0].name is not a string"},
        {"AssistantFirst", Chat(kAssistant), "wrong role order: messages[0] is assistant"},
        {"TwoUsers", Chat(absl::StrCat(kUser, ",", kUser)),
         "wrong role order: messages[1] is user after user"},
        {"TwoAssistants", Chat(absl::StrCat(kUser, ",", kAssistant, ",", kAssistant)),
         "messages[2] is assistant after assistant"},
        {"LateSystem", Chat(absl::StrCat(kUser, ",", R"({"role":"system","content":"s"})")),
         "a system message comes first only"},
        {"ToolWithoutCall",
         Chat(absl::StrCat(kUser, ",", kAssistant, ",", R"({"role":"tool","content":"s"})")),
         "messages[2] is tool after assistant"},
        {"UserToolCalls", Chat(R"({"role":"user","content":"a","tool_calls":[{"x":1}]})"),
         "only assistant messages have tool_calls"},
        {"ToolsObject", R"({"messages":[{"role":"user","content":"a"}],"tools":{"a":1}})",
         "tools is an object"},
        {"IdObject", R"({"text":"a","id":{}})", "id is neither a string nor a number"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(RowTest, ReadsEveryFormat) {
  const auto chat = ParseRow(
      R"({"messages":[{"role":"system","content":""},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c","weight":0.5}],"extra":1,"prompt":"p"})");
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->format, RowFormat::kMessages);
  EXPECT_EQ(chat->messages[1].content, "ab");
  EXPECT_EQ(chat->messages[1].object["content"], "ab");
  EXPECT_EQ(chat->messages[2].weight, 0.5);
  EXPECT_THAT(chat->unused_columns, ElementsAre("extra", "prompt"));
  const auto pair = ParseRow(R"({"prompt":"a","completion":"b","id":7})");
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_EQ(pair->completion, "b");
  EXPECT_EQ(pair->id, "7");
  const auto text = ParseRow("{\"text\":\"a\"}\r");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->text, "a");
}

TEST(RowTest, ToolConversationsAreInOrder) {
  const auto row = ParseRow(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f"}}]},{"role":"tool","content":"","tool_call_id":"1"},{"role":"tool","content":"x"},{"role":"assistant","content":"done"}],"tools":[{"name":"f"}]})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->messages.size(), 5u);
  EXPECT_EQ(row->tools.size(), 1u);
}

TEST(RowTest, NearNamesAreForgivenWhenTheKnownNameIsThere) {
  EXPECT_TRUE(ParseRow(R"({"text":"a","texts":"b","test":"c","next":1})").ok());
}

TEST(RowTest, ContentDigestIgnoresLayoutAndId) {
  const auto a = ParseRow(R"({"prompt":"a","completion":"b","id":1})");
  const auto b = ParseRow(R"({ "completion": "b", "other": 3, "prompt": "a" })");
  const auto c = ParseRow(R"({"prompt":"a","completion":"c"})");
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  EXPECT_EQ(a->ContentDigest(), b->ContentDigest());
  EXPECT_NE(a->ContentDigest(), c->ContentDigest());
}

TEST(RowSetCheckerTest, FindsDuplicateIdsMixedFormatsAndRepeats) {
  RowSetChecker checker;
  const auto add = [&](int64_t line, const char* json) {
    const auto row = ParseRow(json);
    EXPECT_TRUE(row.ok()) << row.status();
    return std::string(checker.Add(line, *row).message());
  };
  EXPECT_EQ(add(1, R"({"text":"a","id":"x","extra":1})"), "");
  EXPECT_EQ(add(2, R"({"text":"a","id":"y","other":1})"), "");
  EXPECT_EQ(add(3, R"({"text":"b","id":"x"})"), "duplicate id \"x\": line 1 has it too");
  EXPECT_THAT(add(4, R"({"prompt":"b","completion":"c"})"),
              HasSubstr("mixed formats: this row is prompt_completion, line 1 is text"));
  EXPECT_EQ(checker.num_duplicates(), 1);
  EXPECT_THAT(checker.Notes(), ElementsAre(HasSubstr("columns not used: extra, other"),
                                           HasSubstr("first: line 2 repeats line 1")));
}

std::vector<Record> ReadAll(absl::string_view bytes, std::vector<std::string>* notes,
                            std::vector<std::string>* texts) {
  auto source = CreateSource("jsonl", ReadFromMemory(bytes));
  EXPECT_TRUE(source.ok());
  std::vector<Record> records;
  Record record;
  while (true) {
    const auto more = (*source)->Next(&record);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) break;
    texts->push_back(std::string(record.bytes));
    records.push_back(record);
  }
  *notes = (*source)->Notes();
  return records;
}

TEST(JsonlTest, AcceptsBomCrlfBlankLinesAndNoLastBreak) {
  std::vector<std::string> notes, texts;
  const auto records = ReadAll(
      "\xEF\xBB\xBF"
      "a\r\n\r\n  \nb\nc",
      &notes, &texts);
  EXPECT_THAT(texts, ElementsAre("a", "b", "c"));
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].line, 1);
  EXPECT_EQ(records[1].line, 4);
  EXPECT_EQ(records[2].line, 5);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("byte order mark"), HasSubstr("2 lines end with CRLF"),
                                 HasSubstr("2 blank lines skipped (first: line 2)")));
}

TEST(JsonlTest, LineAboveTheLimitIsAProblemAndReadingGoesOn) {
  std::vector<std::string> notes, texts;
  const auto records = ReadAll("a\n" + std::string(10 << 20, 'x') + "\nb\n", &notes, &texts);
  EXPECT_THAT(texts, ElementsAre("a", "", "b"));
  ASSERT_EQ(records.size(), 3u);
  EXPECT_THAT(records[1].problem, HasSubstr("the row is 10.0 MiB; the limit is 8.0 MiB"));
  EXPECT_EQ(records[2].line, 3);
}

TEST(JsonlTest, EmptyFilesHaveNoRecords) {
  std::vector<std::string> notes, texts;
  for (const char* bytes : {"", "\n", "\xEF\xBB\xBF", "\r\n \n"}) {
    EXPECT_TRUE(ReadAll(bytes, &notes, &texts).empty());
  }
}

TEST(JsonlTest, OtherKindsOfFilesAreNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {{std::string("\xFF\xFE{\0", 4), "UTF-16"},
                                                                  {"\x1F\x8B\x08", "gzip"},
                                                                  {"PK\x03\x04", "zip"},
                                                                  {"PAR1", "Parquet"}};
  for (const auto& [bytes, want] : cases) {
    auto source = CreateSource("jsonl", ReadFromMemory(bytes));
    Record record;
    const auto more = (*source)->Next(&record);
    EXPECT_EQ(more.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(more.status().message()), HasSubstr(want));
  }
}

TEST(SourceTest, UnknownSourceNamesTheKnown) {
  const auto source = CreateSource("xml", ReadFromMemory(""));
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("known: jsonl"));
}

// Mutations of good rows never crash, and what is accepted keeps its promises.
TEST(RowFuzzTest, MutationsAreAcceptedOrRefusedWithAReason) {
  const std::vector<std::string> seeds = {
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":1,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"x"}],"tools":[{"type":"function"}],"id":1})",
      R"({"prompt":"caf\u00e9 \ud83d\ude00","completion":"b","id":"z"})", R"({"text":"a\nb"})"};
  std::mt19937 random(20240501);
  const std::string alphabet = "{}[]\",:\\ue0129.-truefalsn \xff\xc3\xa9\x00\n";
  int accepted = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string line = seeds[random() % seeds.size()];
    for (unsigned n = random() % 6; n > 0 && !line.empty(); --n) {
      const size_t at = random() % line.size();
      switch (random() % 4) {
        case 0:
          line[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          line.erase(at, 1 + random() % 8);
          break;
        case 2:
          line.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        default:
          line.insert(at, line.substr(random() % line.size(), random() % 40));
          break;
      }
    }
    const auto row = ParseRow(line);
    if (!row.ok()) {
      ++refused;
      ASSERT_EQ(row.status().code(), absl::StatusCode::kInvalidArgument) << line;
      ASSERT_FALSE(row.status().message().empty());
      continue;
    }
    ++accepted;
    ASSERT_EQ(row->ContentDigest().size(), 64u);
    for (const Message& message : row->messages) ASSERT_GE(message.weight, 0);
    ASSERT_TRUE(!row->messages.empty() || !row->text.empty() || !row->completion.empty());
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace vernier::data
