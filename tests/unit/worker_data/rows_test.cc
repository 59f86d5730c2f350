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

std::string Tools(const std::string& tool) {
  return R"({"messages":[{"role":"user","content":"a"}],"tools":[)" + tool + "]}";
}
std::string Calls(const std::string& calls) {
  return R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":)" + calls + "}]}";
}
std::string ManyKeys(int count) {
  std::string row = "{";
  for (int i = 0; i < count; ++i) absl::StrAppend(&row, i == 0 ? "" : ",", "\"c", i, "\":0");
  // Within the limit of a row: the first keys decide.
  return row.substr(0, 4 << 20);
}

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
        {"Array", R"([{"text":"a"}])", "the line is an array; a row is one JSON object"},
        {"Number", "12", "the line is a number"},
        {"DuplicateKey", R"({"text":"a","text":"b"})", "the key \"text\" appears twice"},
        {"TooDeep", std::string(100, '[') + std::string(100, ']'), "deeper than 64"},
        {"TooLarge", "{\"text\":\"" + std::string(10 << 20, 'a') + "\"}", "larger than the limit of 8.0 MiB"},
        {"NoKnownColumn", R"({"question":"a","answer":"b"})", "its columns: question, answer"},
        {"KnownColumnsOfOthers", R"({"question":"a","answer":"b"})",
         "say which is which, e.g. data.columns: {prompt: question, completion: answer}"},
        {"Dolly", R"({"instruction":"a","context":"b","response":"c"})",
         "the row has instruction but no output; its columns: instruction, context, response; say which is "
         "which, e.g. "
         "data.columns: {output: response, input: context}"},
        {"NearOptionalField", R"({"messages":[{"role":"user","content":"a"}],"tool":[]})",
         "unknown column \"tool\"; did you mean \"tools\"?"},
        {"BigInteger", R"({"text":"a","x":123456789012345678901234567890})",
         "the integer 123456789012345678901234567890 has more than 64 bits"},
        {"ManyKeys", ManyKeys(1'000'000), "an object has more than 1024 keys"},
        {"DeepRow", absl::StrCat("{\"text\":", std::string(1000, '['), std::string(1000, ']'), "}"),
         "deeper than 64"},
        {"NulByte", std::string("{\"text\":\"a\0\"}", 13), "broken JSON at column 11"},
        {"ShareGptEmpty", R"({"conversations":[]})", "conversations is empty"},
        {"ShareGptNotArray", R"({"conversations":{}})", "conversations is an object; it must be an array"},
        {"ShareGptSpeaker", R"({"conversations":[{"from":"humam","value":"a"}]})",
         "conversations[0]: unknown speaker \"humam\"; did you mean \"human\"?"},
        {"ShareGptNoValue", R"({"conversations":[{"from":"human"}]})", "conversations[0] has no value"},
        {"ShareGptValueNumber", R"({"conversations":[{"from":"human","value":1}]})", "content is a number"},
        {"ShareGptCallNoJson",
         R"({"conversations":[{"from":"human","value":"a"},{"from":"function_call","value":"f of 1"}]})",
         "conversations[1].value is text and not that of JSON"},
        {"AlpacaEmptyOutput", R"({"instruction":"a","output":""})", "output is empty"},
        {"AlpacaInputNumber", R"({"instruction":"a","input":1,"output":"b"})", "input is a number"},
        {"AlpacaHistory", R"({"instruction":"a","output":"b","history":[["c"]]})",
         "history[0] is not [question, answer]"},
        {"MessagesPythonText", R"({"messages":"[{'role': 'user'}]"})",
         "it looks like Python's repr; write it with json.dumps"},
        {"PairOfBoth", R"({"prompt":"a","completion":[{"role":"assistant","content":"b"}]})",
         "prompt and completion are both strings or both messages"},
        {"PairWithoutAnswer",
         R"({"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"user","content":"b"}]})",
         "wrong role order: prompt + completion[1] is user after user"},
        {"TwoSystemPrompts",
         R"({"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}],"system":"c"})",
         "a system prompt in system and another as its first message"},
        {"PreferenceEqual", R"({"prompt":"a","chosen":"b","rejected":"b"})", "chosen and rejected are equal"},
        {"PreferenceHalf", R"({"prompt":"a","chosen":"b"})", "the row has chosen but no rejected"},
        {"PreferenceMixed", R"({"chosen":"b","rejected":[{"role":"assistant","content":"b"}]})",
         "chosen and rejected are both strings or both messages"},
        {"PreferenceWithoutAnswer",
         R"({"chosen":[{"role":"user","content":"a"}],"rejected":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
         "prompt + chosen: no answer is left"},
        {"PreferenceEndsWithUser",
         R"({"prompt":"q","chosen":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}],"rejected":[{"role":"assistant","content":"b"}]})",
         "prompt + chosen does not end with an assistant message"},
        {"OpenAiPreferenceInput", R"({"input":"a","preferred_output":[],"non_preferred_output":[]})",
         "input is not {\"messages\": [...]}"},
        {"ToolString", Tools(R"("f")"), "tools[0] is a string; a tool is an object"},
        {"ToolNameless", Tools(R"({"type":"function","function":{}})"), "tools[0].function has no name"},
        {"ToolTypeAlone", Tools(R"({"type":"function"})"), "tools[0] has no name"},
        {"ToolParametersArray", Tools(R"({"name":"f","parameters":[]})"),
         "tools[0].parameters is an array; it is a JSON Schema"},
        {"ToolParametersType", Tools(R"({"name":"f","parameters":{"type":"string"}})"),
         "tools[0].parameters.type is \"string\"; arguments are an object"},
        {"ToolSchemaType",
         Tools(R"({"name":"f","parameters":{"type":"object","properties":{"a":{"type":"str"}}}})"),
         "tools[0].parameters.properties.a.type is \"str\", no type of JSON Schema"},
        {"ToolProperty", Tools(R"({"name":"f","parameters":{"type":"object","properties":{"a":"string"}}})"),
         "tools[0].parameters.properties.a is a string; a JSON Schema is an object"},
        {"ToolProperties", Tools(R"({"name":"f","parameters":{"type":"object","properties":["a"]}})"),
         "tools[0].parameters.properties is an array"},
        {"ToolRequired", Tools(R"({"name":"f","parameters":{"type":"object","required":[1]}})"),
         "tools[0].parameters.required[0] is a number; it is the name of a property"},
        {"ToolItems", Tools(R"({"name":"f","parameters":{"properties":{"a":{"type":"array","items":"x"}}}})"),
         "tools[0].parameters.properties.a.items is a string"},
        {"ToolAnyOf", Tools(R"({"name":"f","parameters":{"properties":{"a":{"anyOf":{}}}}})"),
         "anyOf is an object; it is an array"},
        {"CallString", Calls(R"(["f"])"), "messages[1].tool_calls[0] is a string"},
        {"CallsObject", Calls(R"({"name":"f"})"), "messages[1].tool_calls is an object; it must be an array"},
        {"CallNameless", Calls(R"([{"function":{"arguments":{}}}])"),
         "messages[1].tool_calls[0].function has no name"},
        {"CallNameNumber", Calls(R"([{"function":{"name":1}}])"), ".function.name is no text"},
        {"CallArgumentsText", Calls(R"([{"function":{"name":"f","arguments":"city=Paris"}}])"),
         "tool_calls[0].function.arguments is text and not that of JSON: broken JSON at column 1"},
        {"CallArgumentsArray", Calls(R"([{"function":{"name":"f","arguments":"[1]"}}])"),
         "arguments is the text of an array; arguments are an object"},
        {"CallArgumentsNumber", Calls(R"([{"function":{"name":"f","arguments":3}}])"),
         "arguments is a number"},
        {"CallsTwice",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"name":"f"}],"function_call":{"name":"f"}}]})",
         "both tool_calls and function_call"},
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
        {"MessagesString", R"({"messages":"hi"})", "messages is text and not that of JSON"},
        {"MessagesNumber", R"({"messages":3})", "messages is a number; it must be an array"},
        {"NoMessages", R"({"messages":[]})", "messages is empty"},
        {"MessageString", Chat("\"hi\""), "messages[0] is a string"},
        {"NoRole", Chat(R"({"content":"hi"})"), "messages[0] has no role"},
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

std::string Messages(const Row& row) {
  Json all = Json::array();
  for (const Message& message : row.messages) all.push_back(message.object);
  return all.dump();
}

struct FormCase {
  std::string name, line;
  RowForm form;
  RowFormat format;
  std::string messages;
  std::vector<std::string> remarks = {}, unused = {};
};
void PrintTo(const FormCase& c, std::ostream* out) { *out << c.name; }
class FormTest : public testing::TestWithParam<FormCase> {};

TEST_P(FormTest, BecomesMessages) {
  const auto row = ParseRow(GetParam().line);
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->form, GetParam().form);
  EXPECT_EQ(row->format, GetParam().format);
  EXPECT_EQ(Messages(*row), GetParam().messages);
  EXPECT_EQ(row->remarks, GetParam().remarks);
  EXPECT_EQ(row->unused_columns, GetParam().unused);
}

const char kDialogue[] = R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])";
const char kWithSystem[] =
    R"([{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}])";
const char kWithCall[] =
    R"([{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":{"z":1,"a":[1.0,null]}}}]},{"role":"tool","content":"r"}])";

INSTANTIATE_TEST_SUITE_P(
    Cases, FormTest,
    testing::ValuesIn<FormCase>({
        {"ShareGpt",
         R"({"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b","html":"x"}]})",
         RowForm::kShareGpt,
         RowFormat::kMessages,
         kDialogue,
         {"turns have fields besides from, value and weight; they are not used"}},
        {"ShareGptOfRoles",
         R"({"conversations":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
         RowForm::kShareGpt, RowFormat::kMessages, kDialogue},
        {"MessagesOfShareGptTurns",
         R"({"messages":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]})", RowForm::kMessages,
         RowFormat::kMessages, kDialogue},
        {"ShareGptSystem",
         R"({"system":"s","conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]})",
         RowForm::kShareGpt, RowFormat::kMessages, kWithSystem},
        {"ShareGptCall",
         R"({"conversations":[{"from":"human","value":"a"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{\"z\":1,\"a\":[1.0,null]}}"},{"from":"observation","value":"r"}]})",
         RowForm::kShareGpt, RowFormat::kMessages, kWithCall},
        {"Alpaca",
         R"({"instruction":"a","input":"","output":"b","text":"unused"})",
         RowForm::kAlpaca,
         RowFormat::kMessages,
         kDialogue,
         {},
         {"text"}},
        {"AlpacaInput", R"({"instruction":"a","input":"i","output":"b"})", RowForm::kAlpaca,
         RowFormat::kMessages, R"([{"role":"user","content":"a\n\ni"},{"role":"assistant","content":"b"}])"},
        {"AlpacaSystemAndHistory", R"({"instruction":"a","output":"b","system":"s","history":[["q","r"]]})",
         RowForm::kAlpaca, RowFormat::kMessages,
         R"([{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"r"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}])"},
        {"MessagesAsText",
         R"({"messages":"[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]"})",
         RowForm::kMessages,
         RowFormat::kMessages,
         kDialogue,
         {"messages are JSON text; read as JSON"}},
        {"NullFieldsGo",
         R"({"messages":[{"role":"user","content":"a","name":null,"tool_calls":null},{"role":"assistant","content":"b","tool_calls":[],"weight":null}],"tools":null,"id":null})",
         RowForm::kMessages, RowFormat::kMessages, kDialogue},
        {"ArgumentsAsObject",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"type":"function","id":null,"function":{"name":"f","arguments":{"z":1,"a":[1.0,null]}}}]},{"role":"tool","content":"r"}]})",
         RowForm::kMessages, RowFormat::kMessages, kWithCall},
        {"ArgumentsAsText",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"z\":1, \"a\":[1.0,null]}"}}]},{"role":"tool","content":"r"}]})",
         RowForm::kMessages,
         RowFormat::kMessages,
         kWithCall,
         {"arguments of tool calls are JSON text; read as objects"}},
        {"FunctionCall",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":{"z":1,"a":[1.0,null]}}},{"role":"function","content":"r"}]})",
         RowForm::kMessages,
         RowFormat::kMessages,
         kWithCall,
         {"function_call is read as tool_calls", "messages of role function are read as role tool"}},
        {"NoArguments",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"name":"f","arguments":""}]}]})",
         RowForm::kMessages, RowFormat::kMessages,
         R"([{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"name":"f","arguments":{}}]}])"},
        {"Reasoning",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","reasoning_content":"t","thinking":"u"}]})",
         RowForm::kMessages, RowFormat::kMessages,
         R"([{"role":"user","content":"a"},{"role":"assistant","content":"b","reasoning_content":"t","thinking":"u"}])"},
        {"PairOfMessages",
         R"({"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]})",
         RowForm::kPromptCompletion, RowFormat::kMessages, kDialogue},
        {"PreferenceOfWholeConversations",
         R"({"prompt":"a","chosen":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected":[{"role":"user","content":"a"},{"role":"assistant","content":"c"}]})",
         RowForm::kPreference, RowFormat::kPreference, R"([{"role":"user","content":"a"}])"},
        {"PreferenceOfAnswers",
         R"({"prompt":"a","system":"s","chosen":[{"role":"assistant","content":"b"}],"rejected":[{"role":"assistant","content":"c"}]})",
         RowForm::kPreference, RowFormat::kPreference,
         R"([{"role":"system","content":"s"},{"role":"user","content":"a"}])"},
        {"OpenAiPreference",
         R"({"input":{"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f"}]},"preferred_output":[{"role":"assistant","content":"b"}],"non_preferred_output":[{"role":"assistant","content":"c"}]})",
         RowForm::kPreference, RowFormat::kPreference, R"([{"role":"user","content":"a"}])"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(RowTest, PromptMessagesAreNotTrained) {
  const auto row = ParseRow(
      R"({"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"completion":[{"role":"assistant","content":"d"}]})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->messages[1].weight, 0);
  EXPECT_EQ(row->messages[3].weight, 1);
}

TEST(RowTest, PreferencePairsOfTextAreRead) {
  const auto row = ParseRow(R"({"prompt":"a","chosen":"b","rejected":"c"})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->format, RowFormat::kPreference);
  EXPECT_EQ(row->prompt + row->chosen + row->rejected, "abc");
  EXPECT_NE(row->ContentDigest(), ParseRow(R"({"prompt":"a","chosen":"c","rejected":"b"})")->ContentDigest());
}

TEST(RowTest, ToolsAsTextAreTheSameTools) {
  const std::string start = R"({"messages":[{"role":"user","content":"a"}],"tools":)";
  const auto object = ParseRow(
      start +
      R"([{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"b":{"type":"string","default":null},"a":{"type":["integer","null"]}}}}}]})");
  const auto text = ParseRow(
      start +
      R"("[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\",\"default\":null},\"a\":{\"type\":[\"integer\",\"null\"]}}}}}]"})");
  ASSERT_TRUE(object.ok()) << object.status();
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(object->tools.dump(), text->tools.dump());
  EXPECT_THAT(text->tools.dump(), HasSubstr(R"("b":{"type":"string","default":null},"a")"))
      << "order and null stay";
  EXPECT_TRUE(ParseRow(start + "[]}")->tools.is_null());
  EXPECT_TRUE(ParseRow(start + "\"\"}")->tools.is_null());
}

RowOptions Mapped(const std::map<std::string, std::string>& columns, absl::string_view format = "") {
  return *MakeRowOptions(columns, format);
}

TEST(RowOptionsTest, ColumnsSayWhichHoldsWhat) {
  const auto row = ParseRow(R"({"q":"a","r":"b","prompt":"no","n":1})",
                            Mapped({{"prompt", "q"}, {"completion", "r"}, {"id", "n"}}));
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->prompt, "a");
  EXPECT_EQ(row->completion, "b");
  EXPECT_EQ(row->id, "1");
  EXPECT_THAT(row->unused_columns, ElementsAre("prompt"));
}

TEST(RowOptionsTest, ChosenAnswersCanBeTrainedAlone) {
  const auto row =
      ParseRow(R"({"prompt":"a","chosen":"b","rejected":"c"})", Mapped({{"completion", "chosen"}}));
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->form, RowForm::kPromptCompletion);
  EXPECT_EQ(row->completion, "b");
  EXPECT_THAT(row->unused_columns, ElementsAre("rejected"));
}

TEST(RowOptionsTest, FormatForcesTheForm) {
  const std::string line = R"({"messages":[{"role":"user","content":"a"}],"text":"b"})";
  EXPECT_EQ(ParseRow(line)->form, RowForm::kMessages);
  EXPECT_EQ(ParseRow(line, Mapped({}, "text"))->text, "b");
  EXPECT_THAT(std::string(ParseRow(line, Mapped({}, "alpaca")).status().message()),
              HasSubstr("the row has no instruction"));
  EXPECT_THAT(std::string(ParseRow(R"({"t":1})", Mapped({{"text", "t"}})).status().message()),
              HasSubstr("text (column \"t\") is a number"));
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

// Mutations of good rows never crash, and what is accepted keeps its promises.
TEST(RowFuzzTest, MutationsAreAcceptedOrRefusedWithAReason) {
  const std::vector<std::string> seeds = {
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":1,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"id":1})",
      R"({"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}],"system":"s","tools":"[]"})",
      R"({"instruction":"a","input":"b","output":"c","history":[["d","e"]]})",
      R"({"prompt":"a","chosen":[{"role":"assistant","content":"b"}],"rejected":[{"role":"assistant","content":"c"}]})",
      R"({"prompt":"caf\u00e9 \ud83d\ude00","completion":"b","id":"z"})",
      R"({"text":"a\nb"})"};
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
    ASSERT_TRUE(!row->messages.empty() || !row->text.empty() || !row->completion.empty() ||
                !row->chosen.empty() || !row->chosen_messages.empty());
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace vernier::data
