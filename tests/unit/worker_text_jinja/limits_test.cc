// A template is somebody else's program: whatever it does, it ends soon, in bounded memory, with an error
// that says why.
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/data/text/jinja_eval.h"
#include "worker/data/text/jinja_parser.h"

namespace vernier::data::jinja {
namespace {

absl::Status StatusOf(const std::string& text, int64_t steps) {
  absl::StatusOr<Template> program = ParseTemplate(text);
  if (!program.ok()) return program.status();
  // Which limit ends a template must not depend on the machine's speed, nor on a sanitizer: the clock is far.
  return jinja::Run(*program, Variables(), {.steps = steps, .cpu_time = absl::Hours(1)}).status();
}

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// Does something a hundred thousand times, with large texts and a large mapping at hand.
std::string Loop(const std::string& body) {
  return absl::StrCat(
      "{% set a = 'x' * 30000000 %}{% set b = 'x' * 30000000 %}{% set c = 'x' * 29999999 + 'y' %}"
      "{% set many = dict(range(20000) | map('string') | batch(2)) %}{% for i in range(100000) %}",
      body, "{% endfor %}");
}

std::string ManyNames(int count) {
  std::string all = "v";
  for (int i = 0; i < count; ++i) absl::StrAppend(&all, ", v", i);
  return all;
}

std::string ManySets(int count) {
  std::string all;
  for (int i = 0; i < count; ++i) absl::StrAppend(&all, "{% set v", i, " = 1 %}");
  return all;
}

// After `body`, loops without end: steps must still run out.
std::string ThenEndless(const std::string& body) {
  return body + "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
}

// Enough for the large texts that cases begin with; all ten million take minutes under sanitizers.
constexpr int64_t kFewSteps = 2'000'000;
const char kSteps[] = "takes more than 2000000 steps";
const char kText[] = "makes a text of more than 64 MiB";

struct LimitCase {
  std::string name, text, want;
};

class JinjaLimitTest : public testing::TestWithParam<LimitCase> {};

TEST_P(JinjaLimitTest, EndsWithAnError) {
  const absl::Status got = StatusOf(GetParam().text, GetParam().want == kSteps ? kFewSteps : kMaxSteps);
  EXPECT_EQ(got.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(got.message()), testing::HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, JinjaLimitTest,
    testing::ValuesIn<LimitCase>({
        {"NestedLoops", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
         kSteps},
        {"LargeRange", "{{ range(100001) }}", "Range too big"},
        {"HugeRange", "{{ range(0, 9000000000000000000, 1) }}", "Range too big"},
        {"DoublingText",
         "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
         kText},
        {"AddingText",
         "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
         kText},
        {"RepeatedText", "{{ 'ab' * 4000000000000000000 }}", kText},
        {"RepeatedList", "{{ [1] * 4000000000000000000 }}", kSteps},
        {"DoublingList",
         "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
         kSteps},
        {"SharedListPrinted",
         "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ "
         "ns.l }}",
         "more than"},
        {"SharedListCompared",
         "{% set a = namespace(l=[1]) %}{% set b = namespace(l=[1]) %}{% for i in range(60) %}{% set a.l = "
         "[a.l, a.l] %}"
         "{% set b.l = [b.l, b.l] %}{% endfor %}{{ a.l == b.l }}",
         kSteps},
        {"SharedListAsJson",
         "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ "
         "ns.l | tojson }}",
         "more than"},
        {"DeepList",
         "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}",
         "nested deeper than 200 levels"},
        {"DeepMethods",
         "{% set ns = namespace(m={}) %}{% for i in range(1000) %}{% set ns.m = {1: ns.m.get} %}{% endfor %}",
         "nested deeper than 200 levels"},
        {"EndlessMacro", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recurses too deep"},
        {"EndlessLoop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recurses too deep"},
        {"EndlessCaller", "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
         "recurses too deep"},
        {"LargeReplace", "{{ ('a' * 10000000).replace('a', 'bbbbbbbbbbbbbbbb') }}", kText},
        {"LargeJoin", "{{ ('b' * 1000000).join(('a' * 100000) | list) }}", kText},
        {"LargeIndent", "{{ ('\\n' * 1000000) | indent(1000, blank=true) }}", kText},
        {"LargeCenter", "{{ 'a'.center(99999999999) }}", kText},
        {"LargeFormat", "{{ '%99999999d' % 1 }}", "bad width or precision"},
        {"LargePower", "{{ 10 ** 100 }}", "integer overflow"},
        {"LargeProduct", "{{ 9000000000000000000 * 9 }}", "integer overflow"},
        // Sizes below zero buy nothing.
        {"NegativeIndent", ThenEndless("{{ 'x' | indent(-9000000000000000000) }}"), kSteps},
        {"LeastCenter", ThenEndless("{{ 'a'.center(-9223372036854775807 - 1) }}"), kSteps},
        {"LeastLjust", ThenEndless("{{ 'a'.ljust(-9223372036854775807 - 1) }}"), kSteps},
        {"LeastRjust", ThenEndless("{{ 'a'.rjust(-9223372036854775807 - 1) }}"), kSteps},
        {"LeastZfill", ThenEndless("{{ 'a'.zfill(-9223372036854775807 - 1) }}"), kSteps},
        {"LeastReplace", ThenEndless("{{ 'aa'.replace('a', 'b', -9223372036854775807 - 1) }}"), kSteps},
        {"NegativeRepeatedText", ThenEndless("{{ 'ab' * -4000000000000000000 }}"), kSteps},
        {"NegativeRepeatedList", ThenEndless("{{ [1] * -4000000000000000000 }}"), kSteps},
        {"NegativeSlice",
         ThenEndless(
             "{{ 'ab'[-9223372036854775807 - 1:-9223372036854775807 - 1:-9223372036854775807 - 1] }}"),
         kSteps},
        {"NegativeJsonIndent", ThenEndless("{{ [1] | tojson(indent=-9223372036854775807 - 1) }}"), kSteps},
        {"NegativeSplit", ThenEndless("{{ 'a b'.split(' ', -9223372036854775807 - 1) }}"), kSteps},
        {"EscapedSum", "{{ ('' | safe) + ('&' * 67000000) }}", kText},
        {"CopiesOfOneArgument", "{% set a = 'x' * 60000000 %}{{ ('{0:.1}' * 100000).format(a) }}", kSteps},
        {"LargeOutput", "{% set x = 'a' * 10000000 %}{% for i in range(100) %}{{ x }}{% endfor %}", kText},
        {"ManyOperators", absl::StrCat("{{ 1", Repeat(" + 1", 5000), " }}"),
         "more than 400 operators in a row"},
        {"ManyParentheses", absl::StrCat("{{ ", Repeat("(", 5000), "1", Repeat(")", 5000), " }}"),
         "nested deeper than 100 levels"},
        {"ManyBlocks", absl::StrCat(Repeat("{% if 1 %}", 5000), Repeat("{% endif %}", 5000)),
         "nested deeper than 100 levels"},
        {"ManyNots", absl::StrCat("{{ ", Repeat("not ", 5000), "1 }}"), "nested deeper than 100 levels"},
        {"ManySigns", absl::StrCat("{{ ", Repeat("-", 5000), "1 }}"), "nested deeper than 100 levels"},
        {"ManyFilters", absl::StrCat("{{ 1", Repeat(" | abs", 5000), " }}"),
         "more than 400 operators in a row"},
        // Single steps that would take long or much, many times.
        {"ComparedTexts", Loop("{% if a == b %}{% endif %}"), kSteps},
        {"OrderedTexts", Loop("{% if a < b %}{% endif %}"), kSteps},
        {"MeasuredText", Loop("{% if a | length %}{% endif %}"), kSteps},
        {"TextAsKey", Loop("{% if {a: 1}[b] %}{% endif %}"), kSteps},
        {"TextAsKeyOfMany", Loop("{% if many[b] %}{% endif %}"), kSteps},
        {"TextAsKeyOfGet", Loop("{% if many.get(b) %}{% endif %}"), kSteps},
        {"TextAsArgument", Loop("{% if 'x'.find(a) %}{% endif %}"), kSteps},
        {"TextMarkedSafe", Loop("{% if a | safe %}{% endif %}"), kSteps},
        {"TextAsNumber", Loop("{% if (' ' * 30000000) | int %}{% endif %}"), kSteps},
        {"TextTested", Loop("{% if a is eq(b) %}{% endif %}"), kSteps},
        {"TextInLowerCase", Loop("{% if [a, a, a, a] | max %}{% endif %}"), kSteps},
        {"TextStartsWithMany", Loop("{% if a.startswith((c, c, c, c, c, c, c, c)) %}{% endif %}"), kSteps},
        {"LongSeparator", Loop("{% if a.join(['', '']) %}{% endif %}"), kSteps},
        {"ManyKeywords", Loop("{% if dict(**many) %}{% endif %}"),
         "a call has more than 1024 named arguments"},
        {"ManyNumbersAsKeys",
         "{% set d = dict(range(100000) | batch(2)) %}{% for i in range(100000) %}{% for j in "
         "range(100000) %}{% if d[-1] %}{% endif %}{% endfor %}{% endfor %}",
         kSteps},
        {"NearMatches",
         "{% set a = 'a' * 4000000 %}{% set b = 'a' * 2000000 + 'b' %}{% for i in range(1000) %}"
         "{% if b in a or a.find(b) > 0 or a.count(b) or a.split(b) | length > 1 or a.replace(b, '') == '' "
         "or "
         "a.partition(b)[1] %}{% endif %}{% endfor %}",
         kSteps},
        {"NearMatchesFromTheRight",
         "{% set a = 'a' * 4000000 %}{% set b = 'b' + 'a' * 2000000 %}{{ a.rfind(b) }}", kSteps},
        {"NearMatchesOfManyCharacters",
         "{% set a = 'b' * 4000000 %}{{ a.strip('a' * 2000000 + 'b') | length }}", kSteps},
        {"ManyParts", "{{ ('a' * 60000000).split('a') | length }}", kSteps},
        {"ManyPartsFromTheRight", "{{ ('a' * 60000000).rsplit('a', 50000000) | length }}", kSteps},
        {"ManyLines", "{{ ('\\n' * 60000000).splitlines() | length }}", kSteps},
        {"ManyIndentedLines", "{{ ('\\n' * 60000000) | indent | length }}", kSteps},
        {"ManySlices", "{{ [] | slice(9000000) | list | length }}", kSteps},
        {"ManyPairs",
         "{% set d = dict(range(100000) | batch(2)) %}{% set ns = namespace(l=[]) %}{% for i in "
         "range(100) %}{% set ns.l = ns.l + [d.items()] %}{% endfor %}",
         kSteps},
        {"ManyAttributes", "{% set ns = namespace(dict(range(2000) | map('string') | batch(2))) %}",
         "a namespace has more than 256 attributes"},
        {"ManyParameters",
         absl::StrCat("{% macro m(", ManyNames(20000),
                      ") %}{% endmacro %}{% for i in range(100000) "
                      "%}{{ m() }}{% endfor %}"),
         kSteps},
        {"ManyVariables", absl::StrCat("{% for i in range(100000) %}", ManySets(20000), "{% endfor %}"),
         kSteps},
    }),
    [](const auto& info) { return info.param.name; });

TEST(JinjaLimitTest, TheClockEndsATemplateWhoseStepsAreSlow) {
  const auto program =
      ParseTemplate("{% for i in range(100000) %}{% for k in range(100) %}{% endfor %}{% endfor %}");
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_THAT(
      std::string(jinja::Run(*program, Variables(), {.cpu_time = -absl::Seconds(1)}).status().message()),
      testing::HasSubstr("of CPU time; it may loop"));
  Budget budget({.cpu_time = -absl::Seconds(1)});
  EXPECT_THAT(std::string(budget.Spend(1).message()), testing::HasSubstr("of CPU time; it may loop"));
}

TEST(JinjaLimitTest, TheStepsOfARenderAreTenMillion) {
  EXPECT_THAT(std::string(StatusOf(ThenEndless(""), Limits().steps).message()),
              testing::HasSubstr("takes more than 10000000 steps"));
}

TEST(JinjaLimitTest, NothingGivesStepsBack) {
  Budget budget({.cpu_time = absl::Hours(1)});
  EXPECT_TRUE(budget.Spend(INT64_MIN).ok());
  EXPECT_TRUE(budget.SpendText(INT64_MIN).ok());
  EXPECT_TRUE(budget.Spend(kMaxSteps).ok());
  for (const int64_t steps : {int64_t{1}, INT64_MIN, INT64_MAX, INT64_MAX})
    EXPECT_FALSE(budget.Spend(steps).ok());
}

TEST(JinjaLimitTest, AConversationOfManyMessagesIsFarFromTheLimits) {
  // 4,096 messages, which is all a row may hold, through a template that copies the list and looks around in
  // it.
  const absl::StatusOr<Template> program = ParseTemplate(
      "{% for m in messages[::-1] %}{% if m.role == 'user' and not (m.content.startswith('<') and "
      "m.content.endswith('>')) %}"
      "{% endif %}{% endfor %}{% for m in messages %}{% if loop.first or messages[loop.index0 - 1].role != "
      "m.role %}"
      "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + '<|im_end|>' + '\n' }}{% endif %}{% "
      "endfor %}");
  ASSERT_TRUE(program.ok()) << program.status();
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (int i = 0; i < 4096; ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(2040, 'x')}});
  }
  Variables variables;
  absl::StatusOr<Value> value = Value::FromJson(messages);
  ASSERT_TRUE(value.ok());
  variables.values.emplace_back("messages", *std::move(value));
  const auto got = jinja::Run(*program, variables);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_GT(got->text.size(), size_t{8} << 20);
}

}  // namespace
}  // namespace vernier::data::jinja
