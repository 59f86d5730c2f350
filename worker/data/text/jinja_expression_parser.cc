// The stream, and operators from `if` down to signs. What they stand between is in jinja_operand_parser.cc.
#include "worker/data/text/jinja_expression_parser.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data::jinja {
namespace {

using Kind = Expression::Kind;

// Of blocks, parentheses and operators in one another: what the parser's and the evaluator's stacks can hold.
constexpr int kMaxNesting = 100;
constexpr int kMaxTreeDepth = 400;

}  // namespace

void ExpressionParser::Advance() {
  if (at_ + 1 < tokens_.size()) ++at_;
}

bool ExpressionParser::IsName(absl::string_view name) const {
  return Current().kind == Token::Kind::kName && Current().text == name;
}

bool ExpressionParser::IsOperator(absl::string_view text) const {
  return Current().kind == Token::Kind::kOperator && Current().text == text;
}

bool ExpressionParser::SkipName(absl::string_view name) {
  if (!IsName(name)) return false;
  Advance();
  return true;
}

bool ExpressionParser::SkipOperator(absl::string_view text) {
  if (!IsOperator(text)) return false;
  Advance();
  return true;
}

std::string ExpressionParser::Describe() const {
  switch (Current().kind) {
    case Token::Kind::kEnd:
      return "the end of the template";
    case Token::Kind::kVariableEnd:
      return "}}";
    case Token::Kind::kBlockEnd:
      return "%}";
    case Token::Kind::kString:
      return "a string";
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return "a number";
    default:
      return absl::StrCat("'", Excerpt(Current().text, 40), "'");
  }
}

absl::Status ExpressionParser::Expect(Token::Kind kind, absl::string_view what) {
  if (Current().kind != kind) return Fail(absl::StrCat("expected ", what, ", got ", Describe()));
  Advance();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ExpressionParser::ExpectName() {
  std::string name = Current().text;
  VN_RETURN_IF_ERROR(Expect(Token::Kind::kName, "a name"));
  return name;
}

int ExpressionParser::Symbol(absl::string_view name) {
  const auto [it, inserted] = symbols_.try_emplace(std::string(name), static_cast<int>(owner_->names.size()));
  if (inserted) owner_->names.emplace_back(name);
  return it->second;
}

absl::Status ExpressionParser::Enter() {
  if (++depth_ <= kMaxNesting) return absl::OkStatus();
  return Fail(absl::StrCat("nested deeper than ", kMaxNesting, " levels"));
}

ExpressionParser::Parsed ExpressionParser::Finish(std::unique_ptr<Expression> expression) {
  const auto deepen = [&](const ExpressionPtr& part) {
    if (part != nullptr) expression->depth = std::max(expression->depth, part->depth + 1);
  };
  for (const ExpressionPtr& part : expression->parts) deepen(part);
  for (const ExpressionPtr& part : expression->arguments.positional) deepen(part);
  for (const auto& [name, part] : expression->arguments.named) deepen(part);
  deepen(expression->arguments.rest);
  deepen(expression->arguments.rest_named);
  if (expression->depth > kMaxTreeDepth) {
    return ErrorAt(expression->line,
                   absl::StrCat("an expression of more than ", kMaxTreeDepth, " operators in a row"));
  }
  return expression;
}

ExpressionParser::Parsed ExpressionParser::Make(Kind kind, int line, std::vector<ExpressionPtr> parts) {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = line;
  expression->parts = std::move(parts);
  return Finish(std::move(expression));
}

ExpressionParser::Parsed ExpressionParser::ParseExpression() {
  VN_RETURN_IF_ERROR(Enter());
  VN_ASSIGN_OR_RETURN(ExpressionPtr result, ParseOr());
  while (IsName("if")) {
    const int line = Current().line;
    Advance();
    VN_ASSIGN_OR_RETURN(ExpressionPtr condition, ParseOr());
    ExpressionPtr otherwise;
    if (SkipName("else")) {
      VN_ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    VN_ASSIGN_OR_RETURN(result, Make(Kind::kCondition, line,
                                     List(std::move(result), std::move(condition), std::move(otherwise))));
  }
  Leave();
  return result;
}

ExpressionParser::Parsed ExpressionParser::ParseOr() {
  VN_ASSIGN_OR_RETURN(ExpressionPtr left, ParseAnd());
  while (IsName("or")) {
    const int line = Current().line;
    Advance();
    VN_ASSIGN_OR_RETURN(ExpressionPtr right, ParseAnd());
    VN_ASSIGN_OR_RETURN(left, Make(Kind::kOr, line, List(std::move(left), std::move(right))));
  }
  return left;
}

ExpressionParser::Parsed ExpressionParser::ParseAnd() {
  VN_ASSIGN_OR_RETURN(ExpressionPtr left, ParseNot());
  while (IsName("and")) {
    const int line = Current().line;
    Advance();
    VN_ASSIGN_OR_RETURN(ExpressionPtr right, ParseNot());
    VN_ASSIGN_OR_RETURN(left, Make(Kind::kAnd, line, List(std::move(left), std::move(right))));
  }
  return left;
}

ExpressionParser::Parsed ExpressionParser::ParseNot() {
  if (!IsName("not")) return ParseCompare();
  const int line = Current().line;
  Advance();
  VN_RETURN_IF_ERROR(Enter());
  VN_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseNot());
  Leave();
  return Make(Kind::kNot, line, List(std::move(operand)));
}

ExpressionParser::Parsed ExpressionParser::ParseCompare() {
  static constexpr std::pair<absl::string_view, CompareOperator> kOperators[] = {
      {"==", CompareOperator::kEqual},  {"!=", CompareOperator::kNotEqual},
      {"<", CompareOperator::kLess},    {"<=", CompareOperator::kLessEqual},
      {">", CompareOperator::kGreater}, {">=", CompareOperator::kGreaterEqual}};
  const int line = Current().line;
  VN_ASSIGN_OR_RETURN(ExpressionPtr first, ParseSum());
  auto compare = std::make_unique<Expression>();
  while (true) {
    if (Current().kind == Token::Kind::kOperator) {
      const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                       [&](const auto& entry) { return entry.first == Current().text; });
      if (found == std::end(kOperators)) break;
      compare->comparisons.push_back(found->second);
      Advance();
    } else if (IsName("in")) {
      compare->comparisons.push_back(CompareOperator::kIn);
      Advance();
    } else if (IsName("not") && at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == Token::Kind::kName &&
               tokens_[at_ + 1].text == "in") {
      compare->comparisons.push_back(CompareOperator::kNotIn);
      Advance();
      Advance();
    } else {
      break;
    }
    VN_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseSum());
    compare->parts.push_back(std::move(operand));
  }
  if (compare->comparisons.empty()) return first;
  compare->kind = Kind::kCompare;
  compare->line = line;
  compare->parts.insert(compare->parts.begin(), std::move(first));
  return Finish(std::move(compare));
}

ExpressionParser::Parsed ExpressionParser::ParseSum() {
  VN_ASSIGN_OR_RETURN(ExpressionPtr left, ParseConcat());
  while (IsOperator("+") || IsOperator("-")) {
    auto sum = std::make_unique<Expression>();
    sum->kind = Kind::kBinary;
    sum->line = Current().line;
    sum->operation = IsOperator("+") ? BinaryOperator::kAdd : BinaryOperator::kSubtract;
    Advance();
    VN_ASSIGN_OR_RETURN(ExpressionPtr right, ParseConcat());
    sum->parts = List(std::move(left), std::move(right));
    VN_ASSIGN_OR_RETURN(left, Finish(std::move(sum)));
  }
  return left;
}

ExpressionParser::Parsed ExpressionParser::ParseConcat() {
  const int line = Current().line;
  VN_ASSIGN_OR_RETURN(ExpressionPtr first, ParseProduct());
  if (!IsOperator("~")) return first;
  std::vector<ExpressionPtr> parts = List(std::move(first));
  while (SkipOperator("~")) {
    VN_ASSIGN_OR_RETURN(ExpressionPtr part, ParseProduct());
    parts.push_back(std::move(part));
  }
  return Make(Kind::kConcat, line, std::move(parts));
}

ExpressionParser::Parsed ExpressionParser::ParseProduct() {
  static constexpr std::pair<absl::string_view, BinaryOperator> kOperators[] = {
      {"*", BinaryOperator::kMultiply},
      {"/", BinaryOperator::kDivide},
      {"//", BinaryOperator::kFloorDivide},
      {"%", BinaryOperator::kModulo}};
  VN_ASSIGN_OR_RETURN(ExpressionPtr left, ParsePower());
  while (Current().kind == Token::Kind::kOperator) {
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [&](const auto& entry) { return entry.first == Current().text; });
    if (found == std::end(kOperators)) break;
    auto product = std::make_unique<Expression>();
    product->kind = Kind::kBinary;
    product->line = Current().line;
    product->operation = found->second;
    Advance();
    VN_ASSIGN_OR_RETURN(ExpressionPtr right, ParsePower());
    product->parts = List(std::move(left), std::move(right));
    VN_ASSIGN_OR_RETURN(left, Finish(std::move(product)));
  }
  return left;
}

ExpressionParser::Parsed ExpressionParser::ParsePower() {
  VN_ASSIGN_OR_RETURN(ExpressionPtr left, ParseUnary(true));
  while (IsOperator("**")) {
    auto power = std::make_unique<Expression>();
    power->kind = Kind::kBinary;
    power->line = Current().line;
    power->operation = BinaryOperator::kPower;
    Advance();
    VN_ASSIGN_OR_RETURN(ExpressionPtr right, ParseUnary(true));
    power->parts = List(std::move(left), std::move(right));
    VN_ASSIGN_OR_RETURN(left, Finish(std::move(power)));
  }
  return left;
}

ExpressionParser::Parsed ExpressionParser::ParseUnary(bool with_filters) {
  ExpressionPtr result;
  if (IsOperator("-") || IsOperator("+")) {
    const int line = Current().line;
    const Kind kind = IsOperator("-") ? Kind::kNegative : Kind::kPositive;
    Advance();
    VN_RETURN_IF_ERROR(Enter());
    VN_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseUnary(false));
    Leave();
    VN_ASSIGN_OR_RETURN(result, Make(kind, line, List(std::move(operand))));
  } else {
    VN_ASSIGN_OR_RETURN(result, ParsePrimary());
  }
  VN_ASSIGN_OR_RETURN(result, ParsePostfix(std::move(result)));
  return with_filters ? ParseFilters(std::move(result)) : Parsed(std::move(result));
}

}  // namespace vernier::data::jinja
