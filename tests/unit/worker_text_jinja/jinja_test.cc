// The template language: what it refuses and where, and what tests/golden/worker_templates (made with Jinja
// itself) does not show.
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/data/text/jinja_eval.h"
#include "worker/data/text/jinja_parser.h"

namespace vernier::data::jinja {
namespace {

absl::StatusOr<Output> RunText(const std::string& text) {
  absl::StatusOr<Template> program = ParseTemplate(text);
  if (!program.ok()) return program.status();
  Variables variables;
  variables.values.emplace_back("s", Value::String("text"));
  variables.values.emplace_back("n", Value::Int(3));
  return Run(*program, variables);
}

struct ErrorCase {
  std::string name, text, want;
};

class JinjaErrorTest : public testing::TestWithParam<ErrorCase> {};

TEST_P(JinjaErrorTest, NamesTheLineAndTheReason) {
  const absl::StatusOr<Output> got = RunText(GetParam().text);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(got.status().message(), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, JinjaErrorTest,
    testing::ValuesIn<ErrorCase>({
        {"OpenTag", "a\n{{ s", "line 2: the tag has no end (}})"},
        {"OpenBlock", "{% if s %}\n\nx",
         "line 3: the template ends inside a block; expected elif or else or endif"},
        {"OpenComment", "\n{# x", "line 2: the comment has no end (#})"},
        {"OpenRaw", "{% raw %}{{ x", "line 1: the raw block has no end ({% endraw %})"},
        {"OpenString", "{{ 'x }}", "line 1: the string has no end"},
        {"WrongBracket", "\n\n{{ [1) }}", "line 3: unexpected ')', expected ']'"},
        {"LoneBracket", "{{ 1) }}", "line 1: unexpected ')'"},
        {"UnknownCharacter", "{{ s ? 1 }}", "line 1: unexpected character ?"},
        {"EmptyExpression", "{{ }}", "line 1: expected an expression, got }}"},
        {"TwoExpressions", "{{ s n }}", "line 1: expected }}, got 'n'"},
        {"UnknownTag", "\n{% fro x in y %}", "line 2: unknown tag 'fro'; did you mean \"for\"?"},
        {"UnexpectedEnd", "{% endif %}", "line 1: unknown tag 'endif'"},
        {"UnknownFilter", "\n{{ s | uper }}", "line 2: no filter named 'uper'; did you mean \"upper\"?"},
        {"UnknownTest", "{{ s is strin }}", "line 1: no test named 'strin'; did you mean \"string\"?"},
        {"ForeignFilter", "{{ s | urlize }}",
         "line 1: the filter 'urlize' is not supported in chat templates"},
        {"ForeignTag", "{% include 'x' %}", "line 1: the tag 'include' is not supported in chat templates"},
        {"ForeignDo", "{% do s.x() %}", "line 1: the tag 'do' is not supported in chat templates"},
        {"ForeignFunction", "{{ lipsum() }}",
         "line 1: the function 'lipsum' is not supported in chat templates"},
        {"BreakOutside", "{% break %}", "line 1: 'break' outside of a loop"},
        {"ContinueInMacro", "{% for x in s %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}",
         "line 1: 'continue' outside of a loop"},
        {"AssignLoop", "{% set loop = 1 %}", "line 1: can't assign to 'loop'"},
        {"AssignConstant", "{% for none in s %}{% endfor %}", "line 1: can't assign to 'none'"},
        {"PrivateAttribute", "{% set a._x = 1 %}",
         "line 1: the attribute '_x' starts with an underscore; rename it"},
        {"DefaultOrder", "{% macro m(a=1, b) %}{% endmacro %}",
         "line 1: a parameter without a default follows one with a default"},
        {"NamedBeforePositional", "{{ s.x(a=1, 2) }}", "line 1: a positional argument follows a named one"},
        {"CallNeedsCall", "{% call s %}{% endcall %}", "line 1: a call block needs a call"},
        {"ChainedTests", "{{ s is string is string }}", "line 1: tests cannot be chained with is"},
        {"HugeInteger", "{{ 99999999999999999999 }}",
         "line 1: the number 99999999999999999999 does not fit into 64 bits"},
        {"HexInteger", "{{ 0x1f }}", "line 1: bad number 0x; only decimal numbers are supported"},
        {"LeadingZero", "{{ 007 }}", "line 1: bad number 007: a leading zero"},
        {"BadEscape", "{{ '\\xZZ' }}", "line 1: bad escape \\xZZ in a string"},
        {"SurrogateEscape", "{{ '\\ud800' }}", "line 1: bad escape \\ud800 in a string"},
        {"NotUtf8", "a\nb\xFF", "line 2: not UTF-8"},
        {"GenerationInMacro", "{% macro m() %}{% generation %}{% endgeneration %}{% endmacro %}",
         "line 1: a generation block inside a macro, a recursive loop, a call, a set or a filter block is "
         "not supported: its "
         "place in the "
         "output is not known"},
    }),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Runtime, JinjaErrorTest,
    testing::ValuesIn<ErrorCase>({
        {"Undefined", "\n\n{{ missing.x }}", "line 3: 'missing' is undefined"},
        {"UndefinedAttribute", "{{ s.x.y }}", "line 1: 'str object' has no attribute 'x'"},
        {"UndefinedInLoop", "{% for c in s %}\n{% if c == 'x' %}\n{{ c.foo.bar }}\n{% endif %}\n{% endfor %}",
         "line 3: 'str object' has no attribute 'foo'"},
        {"UndefinedInMacro", "{% macro m(a) %}\n{{ a + 1 }}\n{% endmacro %}\n{{ m('x') }}",
         "line 2: can only concatenate str (not \"int\") to str"},
        {"Mutation", "{{ [1].append(2) }}",
         "line 1: access to attribute 'append' of 'list' object is unsafe."},
        {"Internals", "{{ s.__class__.__mro__ }}",
         "line 1: access to attribute '__class__' of 'str' object is unsafe."},
        {"UnsupportedMethod", "{{ s.encode() }}",
         "line 1: the method str.encode is not supported in chat templates"},
        {"ArgumentName", "{{ s.split(sepp=',') }}",
         "line 1: split() has no argument 'sepp'; did you mean \"sep\"?"},
        {"PrintsMacro", "{% macro m() %}{% endmacro %}{{ m }}",
         "line 1: a Macro is printed; it must be called"},
        {"Raised", "\n{{ raise_exception('roles must alternate') }}",
         "the chat template refuses the conversation: roles must alternate"},
        {"RaisedInMacro", "{% macro m() %}{{ raise_exception('no') }}{% endmacro %}{{ m() }}",
         "the chat template refuses the conversation: no"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(JinjaTest, GenerationBlocksReportTheirBytes) {
  const auto got = RunText(
      "é{% for x in [1, 2] %}<{% generation %}[{{ x }}{% set y = x %}]{% endgeneration %}{{ y }}>{% endfor "
      "%}");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->text, "é<[1]><[2]>");
  ASSERT_EQ(got->generation.size(), 2u);
  EXPECT_EQ(got->text.substr(got->generation[0].begin, got->generation[0].end - got->generation[0].begin),
            "[1]");
  EXPECT_EQ(got->text.substr(got->generation[1].begin, got->generation[1].end - got->generation[1].begin),
            "[2]");
}

TEST(JinjaTest, NothingOutlivesTheRender) {
  // Cycles through namespaces, loops and macros; the address sanitizer's leak check is the judge.
  const auto got = RunText(
      "{% set ns = namespace() %}{% set ns.self = ns %}{% for x in [ns] %}{% set ns.loop = loop %}"
      "{% macro m() %}{{ x is defined }}{% endmacro %}{% set ns.m = m %}{{ loop.changed(loop) }}{% endfor %}"
      "{{ ns.m() }}{{ ns.loop.last }}");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->text, "TrueTrueTrue");
}

TEST(JinjaTest, OneTemplateServesManyThreads) {
  const absl::StatusOr<Template> program = ParseTemplate(
      "{% set ns = namespace(t='') %}{% for c in s %}{% set ns.t = ns.t ~ c | upper %}{% endfor %}{{ ns.t "
      "}}");
  ASSERT_TRUE(program.ok());
  std::vector<std::string> texts(4);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < texts.size(); ++i) {
      threads.emplace_back([&, i] {
        Variables variables;
        variables.values.emplace_back("s", Value::String(std::string(100, static_cast<char>('a' + i))));
        const auto got = jinja::Run(*program, variables);
        if (got.ok()) texts[i] = got->text;
      });
    }
  }
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], std::string(100, static_cast<char>('A' + i)));
}

}  // namespace
}  // namespace vernier::data::jinja
