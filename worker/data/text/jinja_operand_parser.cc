// What operators stand between: names, literals, subscripts, calls, filters, tests; targets and parameters.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_expression_parser.h"
#include "worker/data/text/jinja_filters.h"
#include "worker/data/text/jinja_tests.h"

namespace vernier::data::jinja {
namespace {

using Kind = Expression::Kind;

// Jinja has them; a template that uses them is no chat template.
constexpr std::array<absl::string_view, 3> kForeignFunctions = {"cycler", "joiner", "lipsum"};

}  // namespace

ExpressionParser::Parsed ExpressionParser::ParsePrimary() {
  auto expression = std::make_unique<Expression>();
  expression->line = Current().line;
  const std::string& text = Current().text;
  switch (Current().kind) {
    case Token::Kind::kName:
      if (text == "true" || text == "True" || text == "false" || text == "False") {
        expression->value = Value::Bool(text == "true" || text == "True");
      } else if (text != "none" && text != "None") {
        expression->kind = Kind::kName;
        expression->symbol = Symbol(text);
        owner_->uses_time |= text == "strftime_now";
        for (MacroDefinition* macro : macros_) {
          macro->uses_caller |= text == "caller";
          macro->uses_varargs |= text == "varargs";
          macro->uses_kwargs |= text == "kwargs";
        }
      }
      Advance();
      break;
    case Token::Kind::kString: {
      std::string joined;  // adjacent strings are one
      for (; Current().kind == Token::Kind::kString; Advance()) joined += Current().text;
      expression->value = Value::String(std::move(joined));
      break;
    }
    case Token::Kind::kInteger:
      expression->value = Value::Int(Current().integer);
      Advance();
      break;
    case Token::Kind::kFloat:
      expression->value = Value::Float(Current().number);
      Advance();
      break;
    default: {
      if (IsOperator("[")) return ParseList();
      if (IsOperator("{")) return ParseDict();
      if (!SkipOperator("(")) return Fail(absl::StrCat("expected an expression, got ", Describe()));
      VN_ASSIGN_OR_RETURN(ExpressionPtr inner, Tuple(true, {}, true));
      if (!SkipOperator(")")) return Fail(absl::StrCat("expected ')', got ", Describe()));
      return inner;
    }
  }
  return expression;
}

ExpressionParser::Parsed ExpressionParser::ParseList() {
  const int line = Current().line;
  Advance();
  std::vector<ExpressionPtr> items;
  while (!IsOperator("]")) {
    if (!items.empty()) {
      if (!SkipOperator(",")) return Fail(absl::StrCat("expected ',' or ']', got ", Describe()));
      if (IsOperator("]")) break;
    }
    VN_ASSIGN_OR_RETURN(ExpressionPtr item, ParseExpression());
    items.push_back(std::move(item));
  }
  Advance();
  return Make(Kind::kList, line, std::move(items));
}

ExpressionParser::Parsed ExpressionParser::ParseDict() {
  const int line = Current().line;
  Advance();
  std::vector<ExpressionPtr> items;
  while (!IsOperator("}")) {
    if (!items.empty()) {
      if (!SkipOperator(",")) return Fail(absl::StrCat("expected ',' or '}', got ", Describe()));
      if (IsOperator("}")) break;
    }
    VN_ASSIGN_OR_RETURN(ExpressionPtr key, ParseExpression());
    if (!SkipOperator(":")) return Fail(absl::StrCat("expected ':', got ", Describe()));
    VN_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    items.push_back(std::move(key));
    items.push_back(std::move(value));
  }
  Advance();
  return Make(Kind::kDict, line, std::move(items));
}

ExpressionParser::Parsed ExpressionParser::ParseTuple(bool conditions, absl::string_view end) {
  return Tuple(conditions, end, false);
}

ExpressionParser::Parsed ExpressionParser::Tuple(bool conditions, absl::string_view end, bool parentheses) {
  const int line = Current().line;
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
  while (true) {
    const bool ends = Current().kind == Token::Kind::kVariableEnd ||
                      Current().kind == Token::Kind::kBlockEnd || IsOperator(")") ||
                      (!end.empty() && IsName(end));
    if (ends) break;
    ExpressionPtr item;
    if (conditions) {
      VN_ASSIGN_OR_RETURN(item, ParseExpression());
    } else {
      VN_RETURN_IF_ERROR(Enter());
      VN_ASSIGN_OR_RETURN(item, ParseOr());
      Leave();
    }
    items.push_back(std::move(item));
    if (!SkipOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!parentheses) return Fail(absl::StrCat("expected an expression, got ", Describe()));
  }
  return Make(Kind::kTuple, line, std::move(items));
}

absl::StatusOr<Target> ExpressionParser::ParseOneTarget(bool attributes) {
  Target target;
  if (SkipOperator("(")) {
    VN_RETURN_IF_ERROR(Enter());
    VN_ASSIGN_OR_RETURN(target, ParseTarget(attributes, {}));
    Leave();
    if (!SkipOperator(")")) return Fail(absl::StrCat("expected ')', got ", Describe()));
    return target;
  }
  const int line = Current().line;
  VN_ASSIGN_OR_RETURN(const std::string name, ExpectName());
  for (const absl::string_view constant : {"true", "false", "none", "True", "False", "None", "loop"}) {
    if (name == constant) return ErrorAt(line, absl::StrCat("can't assign to '", name, "'"));
  }
  target.symbol = Symbol(name);
  if (attributes && SkipOperator(".")) {
    VN_ASSIGN_OR_RETURN(target.attribute, ExpectName());
    if (target.attribute.front() == '_') {
      return ErrorAt(
          line, absl::StrCat("the attribute '", target.attribute, "' starts with an underscore; rename it"));
    }
  }
  return target;
}

absl::StatusOr<Target> ExpressionParser::ParseTarget(bool attributes, absl::string_view end) {
  VN_ASSIGN_OR_RETURN(Target first, ParseOneTarget(attributes));
  if (!IsOperator(",")) return first;
  Target tuple;
  tuple.parts.push_back(std::move(first));
  while (SkipOperator(",")) {
    if (IsOperator("=") || IsOperator(")") || (!end.empty() && IsName(end))) break;
    VN_ASSIGN_OR_RETURN(Target next, ParseOneTarget(attributes));
    tuple.parts.push_back(std::move(next));
  }
  return tuple;
}

ExpressionParser::Parsed ExpressionParser::ParseFilterChain() {
  SkipOperator("|");
  auto captured = std::make_unique<Expression>();
  captured->kind = Kind::kCaptured;
  captured->line = Current().line;
  ExpressionPtr chain = std::move(captured);
  do {
    VN_ASSIGN_OR_RETURN(chain, ParseFilter(std::move(chain)));
  } while (SkipOperator("|"));
  return chain;
}

absl::Status ExpressionParser::ParseParameters(MacroDefinition* macro) {
  if (!SkipOperator("(")) return Fail(absl::StrCat("expected '(', got ", Describe()));
  while (!IsOperator(")")) {
    if (!macro->parameters.empty() && !SkipOperator(","))
      return Fail(absl::StrCat("expected ',', got ", Describe()));
    VN_ASSIGN_OR_RETURN(std::string name, ExpectName());
    macro->symbols.push_back(Symbol(name));
    macro->parameters.push_back(std::move(name));
    if (SkipOperator("=")) {
      VN_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      macro->defaults.push_back(std::move(value));
    } else if (!macro->defaults.empty()) {
      return Fail("a parameter without a default follows one with a default");
    }
  }
  Advance();
  return absl::OkStatus();
}

ExpressionParser::Parsed ExpressionParser::ParsePostfix(ExpressionPtr expression) {
  while (true) {
    if (IsOperator(".") || IsOperator("[")) {
      VN_ASSIGN_OR_RETURN(expression, ParseSubscript(std::move(expression)));
    } else if (IsOperator("(")) {
      VN_ASSIGN_OR_RETURN(expression, ParseCall(std::move(expression)));
    } else {
      return expression;
    }
  }
}

ExpressionParser::Parsed ExpressionParser::ParseFilters(ExpressionPtr expression) {
  while (true) {
    if (SkipOperator("|")) {
      VN_ASSIGN_OR_RETURN(expression, ParseFilter(std::move(expression)));
    } else if (IsName("is")) {
      VN_ASSIGN_OR_RETURN(expression, ParseTest(std::move(expression)));
    } else if (IsOperator("(")) {
      VN_ASSIGN_OR_RETURN(expression, ParseCall(std::move(expression)));
    } else {
      return expression;
    }
  }
}

ExpressionParser::Parsed ExpressionParser::ParseSubscript(ExpressionPtr object) {
  const int line = Current().line;
  if (SkipOperator(".")) {
    auto expression = std::make_unique<Expression>();
    expression->line = line;
    expression->parts = List(std::move(object));
    if (Current().kind == Token::Kind::kName) {
      expression->kind = Kind::kAttribute;
      expression->name = Current().text;
    } else if (Current().kind == Token::Kind::kInteger) {
      auto index = std::make_unique<Expression>();
      index->line = line;
      index->value = Value::Int(Current().integer);
      expression->kind = Kind::kItem;
      expression->parts.push_back(std::move(index));
    } else {
      return Fail(absl::StrCat("expected a name or a number after '.', got ", Describe()));
    }
    Advance();
    return Finish(std::move(expression));
  }
  Advance();  // [
  std::vector<ExpressionPtr> parts = List(std::move(object));
  bool slice = false;
  for (int i = 0; i < 3; ++i) {
    if (!IsOperator(":") && !IsOperator("]")) {
      VN_ASSIGN_OR_RETURN(ExpressionPtr bound, ParseExpression());
      parts.push_back(std::move(bound));
    } else {
      parts.push_back(nullptr);
    }
    if (!IsOperator(":") || i == 2) break;
    slice = true;
    Advance();
  }
  if (IsOperator(",")) return Fail("an index of several values is not supported");
  if (!IsOperator("]")) return Fail(absl::StrCat("expected ']', got ", Describe()));
  if (!slice && parts[1] == nullptr) return Fail("expected an index, got ']'");
  Advance();
  if (slice) parts.resize(4);
  return Make(slice ? Kind::kSlice : Kind::kItem, line, std::move(parts));
}

absl::Status ExpressionParser::ParseArguments(Arguments* arguments) {
  Advance();  // (
  bool first = true;
  while (!IsOperator(")")) {
    if (!first) {
      if (!SkipOperator(",")) return Fail(absl::StrCat("expected ',' or ')', got ", Describe()));
      if (IsOperator(")")) break;
    }
    first = false;
    if (SkipOperator("**")) {
      if (arguments->rest_named != nullptr) return Fail("a call has one ** argument");
      VN_ASSIGN_OR_RETURN(arguments->rest_named, ParseExpression());
    } else if (arguments->rest_named != nullptr) {
      return Fail("an argument after the ** argument");
    } else if (SkipOperator("*")) {
      if (arguments->rest != nullptr) return Fail("a call has one * argument");
      VN_ASSIGN_OR_RETURN(arguments->rest, ParseExpression());
    } else if (Current().kind == Token::Kind::kName && at_ + 1 < tokens_.size() &&
               tokens_[at_ + 1].kind == Token::Kind::kOperator && tokens_[at_ + 1].text == "=") {
      std::string name = Current().text;
      Advance();
      Advance();
      VN_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      arguments->named.emplace_back(std::move(name), std::move(value));
    } else if (!arguments->named.empty() || arguments->rest != nullptr) {
      return Fail("a positional argument follows a named one");
    } else {
      VN_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      arguments->positional.push_back(std::move(value));
    }
  }
  Advance();
  return absl::OkStatus();
}

ExpressionParser::Parsed ExpressionParser::ParseCall(ExpressionPtr callee) {
  auto call = std::make_unique<Expression>();
  call->kind = Kind::kCall;
  call->line = Current().line;
  if (callee->kind == Kind::kName) {
    const std::string& name = owner_->names[static_cast<size_t>(callee->symbol)];
    if (std::find(kForeignFunctions.begin(), kForeignFunctions.end(), name) != kForeignFunctions.end()) {
      return Fail(absl::StrCat("the function '", name, "' is not supported in chat templates"));
    }
  }
  call->parts = List(std::move(callee));
  VN_RETURN_IF_ERROR(ParseArguments(&call->arguments));
  return Finish(std::move(call));
}

ExpressionParser::Parsed ExpressionParser::ParseFilter(ExpressionPtr value) {
  auto filter = std::make_unique<Expression>();
  filter->kind = Kind::kFilter;
  filter->line = Current().line;
  VN_ASSIGN_OR_RETURN(filter->name, ExpectName());
  VN_RETURN_IF_ERROR(Annotate(CheckFilterName(filter->name), absl::StrCat("line ", filter->line)));
  filter->parts = List(std::move(value));
  if (IsOperator("(")) VN_RETURN_IF_ERROR(ParseArguments(&filter->arguments));
  return Finish(std::move(filter));
}

ExpressionParser::Parsed ExpressionParser::ParseTest(ExpressionPtr value) {
  auto test = std::make_unique<Expression>();
  test->kind = Kind::kTest;
  test->line = Current().line;
  Advance();  // is
  const bool negated = SkipName("not");
  VN_ASSIGN_OR_RETURN(test->name, ExpectName());
  VN_RETURN_IF_ERROR(Annotate(CheckTestName(test->name), absl::StrCat("line ", test->line)));
  test->parts = List(std::move(value));
  const bool operand = Current().kind == Token::Kind::kName || Current().kind == Token::Kind::kString ||
                       Current().kind == Token::Kind::kInteger || Current().kind == Token::Kind::kFloat ||
                       IsOperator("[") || IsOperator("{");
  if (IsOperator("(")) {
    VN_RETURN_IF_ERROR(ParseArguments(&test->arguments));
  } else if (operand && !IsName("else") && !IsName("or") && !IsName("and")) {
    if (IsName("is")) return Fail("tests cannot be chained with is");
    VN_ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
    VN_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    test->arguments.positional.push_back(std::move(argument));
  }
  const int line = test->line;
  VN_ASSIGN_OR_RETURN(ExpressionPtr result, Finish(std::move(test)));
  return negated ? Make(Kind::kNot, line, List(std::move(result))) : Parsed(std::move(result));
}

}  // namespace vernier::data::jinja
