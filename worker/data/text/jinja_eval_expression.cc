#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_access.h"
#include "worker/data/text/jinja_evaluator.h"
#include "worker/data/text/jinja_filters.h"
#include "worker/data/text/jinja_operators.h"
#include "worker/data/text/jinja_tests.h"

namespace vernier::data::jinja {
namespace {

using Kind = Expression::Kind;

constexpr size_t kMaxNamedArguments = 1024;
constexpr absl::string_view kFunctions[] = {"dict", "namespace", "raise_exception", "range", "strftime_now"};

absl::StatusOr<bool> Compare(CompareOperator op, const Value& a, const Value& b, Budget& budget) {
  switch (op) {
    case CompareOperator::kEqual:
      return Equal(a, b, budget);
    case CompareOperator::kNotEqual: {
      VN_ASSIGN_OR_RETURN(const bool equal, Equal(a, b, budget));
      return !equal;
    }
    case CompareOperator::kIn:
      return Contains(b, a, budget);
    case CompareOperator::kNotIn: {
      VN_ASSIGN_OR_RETURN(const bool found, Contains(b, a, budget));
      return !found;
    }
    default:
      break;
  }
  VN_ASSIGN_OR_RETURN(const int order, Order(a, b, budget));
  return op == CompareOperator::kLess        ? order < 0
         : op == CompareOperator::kLessEqual ? order <= 0
         : op == CompareOperator::kGreater   ? order > 0
                                             : order >= 0;
}

}  // namespace

absl::StatusOr<Value> Evaluator::Evaluate(const Expression& expression, Scope* scope) {
  const DepthGuard guard(this);
  VN_RETURN_IF_ERROR(guard.status());
  absl::Status paid = budget_.Spend(1);
  absl::StatusOr<Value> value =
      paid.ok() ? EvaluateKind(expression, scope) : absl::StatusOr<Value>(std::move(paid));
  if (!value.ok() && error_line_ == 0) error_line_ = expression.line;
  return value;
}

absl::StatusOr<Value> Evaluator::EvaluateKind(const Expression& expression, Scope* scope) {
  switch (expression.kind) {
    case Kind::kConstant:
      return expression.value;
    case Kind::kName:
      return EvaluateName(expression, scope);
    case Kind::kCaptured:
      return captured_;
    case Kind::kTuple:
    case Kind::kList: {
      VN_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateParts(expression, scope));
      return Value::Of(expression.kind == Kind::kList ? Sequence::Kind::kList : Sequence::Kind::kTuple,
                       std::move(items));
    }
    case Kind::kDict:
      return EvaluateDict(expression, scope);
    case Kind::kNot: {
      VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      return Value::Bool(!value.Truth());
    }
    case Kind::kNegative:
    case Kind::kPositive: {
      VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      return Negate(value, expression.kind == Kind::kNegative);
    }
    case Kind::kAnd:
    case Kind::kOr: {
      VN_ASSIGN_OR_RETURN(Value value, Evaluate(*expression.parts[0], scope));
      if (value.Truth() == (expression.kind == Kind::kOr)) return value;
      return Evaluate(*expression.parts[1], scope);
    }
    case Kind::kBinary: {
      VN_ASSIGN_OR_RETURN(const Value left, Evaluate(*expression.parts[0], scope));
      VN_ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.parts[1], scope));
      return Apply(expression.operation, left, right, budget_);
    }
    case Kind::kConcat:
      return EvaluateConcat(expression, scope);
    case Kind::kCompare:
      return EvaluateCompare(expression, scope);
    case Kind::kCondition: {
      VN_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expression.parts[1], scope));
      if (condition.Truth()) return Evaluate(*expression.parts[0], scope);
      if (expression.parts[2] != nullptr) return Evaluate(*expression.parts[2], scope);
      return Value::Undefined(absl::StrCat("the inline if-expression on line ", expression.line,
                                           " evaluated to false and no else section was defined."));
    }
    case Kind::kAttribute: {
      VN_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.parts[0], scope));
      return GetAttribute(object, expression.name);
    }
    case Kind::kItem: {
      VN_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.parts[0], scope));
      VN_ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.parts[1], scope));
      return GetItem(object, key, budget_);
    }
    case Kind::kSlice: {
      VN_ASSIGN_OR_RETURN(const std::vector<Value> parts, EvaluateParts(expression, scope));
      return GetSlice(parts[0], parts[1], parts[2], parts[3], budget_);
    }
    case Kind::kCall:
      return EvaluateCall(expression, scope, nullptr);
    case Kind::kFilter: {
      VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      VN_ASSIGN_OR_RETURN(const CallArguments arguments, EvaluateArguments(expression.arguments, scope));
      return ApplyFilter(expression.name, value, arguments, budget_);
    }
    case Kind::kTest: {
      VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.parts[0], scope));
      VN_ASSIGN_OR_RETURN(const CallArguments arguments, EvaluateArguments(expression.arguments, scope));
      VN_ASSIGN_OR_RETURN(const bool holds, ApplyTest(expression.name, value, arguments, budget_));
      return Value::Bool(holds);
    }
  }
  return absl::InvalidArgumentError("unknown expression");
}

absl::StatusOr<Value> Evaluator::EvaluateName(const Expression& expression, Scope* scope) {
  if (const Value* value = scope->Find(expression.symbol)) return *value;
  const std::string& name = program_.names[static_cast<size_t>(expression.symbol)];
  if (std::find(std::begin(kFunctions), std::end(kFunctions), name) != std::end(kFunctions)) {
    Callable function;
    function.name = name;
    return Value::Of(std::make_shared<const Callable>(std::move(function)));
  }
  return Value::Undefined(absl::StrCat("'", Excerpt(name, 60), "' is undefined"));
}

absl::StatusOr<Value> Evaluator::EvaluateCompare(const Expression& expression, Scope* scope) {
  VN_ASSIGN_OR_RETURN(Value left, Evaluate(*expression.parts[0], scope));
  for (size_t i = 0; i < expression.comparisons.size(); ++i) {
    VN_ASSIGN_OR_RETURN(Value right, Evaluate(*expression.parts[i + 1], scope));
    VN_ASSIGN_OR_RETURN(const bool holds, Compare(expression.comparisons[i], left, right, budget_));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

absl::StatusOr<Value> Evaluator::EvaluateDict(const Expression& expression, Scope* scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i < expression.parts.size(); i += 2) {
    VN_ASSIGN_OR_RETURN(Value key, Evaluate(*expression.parts[i], scope));
    if (key.is_mapping() || (key.is_sequence() && key.sequence().kind == Sequence::Kind::kList)) {
      return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", key.TypeName(), "'"));
    }
    if (key.is_string()) VN_RETURN_IF_ERROR(budget_.SpendLook(key.text()));
    VN_ASSIGN_OR_RETURN(Value value, Evaluate(*expression.parts[i + 1], scope));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return Value::Of(std::move(entries));
}

absl::StatusOr<Value> Evaluator::EvaluateConcat(const Expression& expression, Scope* scope) {
  std::string text;
  for (const ExpressionPtr& part : expression.parts) {
    VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*part, scope));
    VN_ASSIGN_OR_RETURN(const std::string piece, Str(value, budget_));
    text += piece;
    if (static_cast<int64_t>(text.size()) > kMaxTextBytes) break;
  }
  VN_RETURN_IF_ERROR(budget_.SpendText(static_cast<int64_t>(text.size())));
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Evaluator::EvaluateCall(const Expression& expression, Scope* scope,
                                              const Value* caller) {
  VN_ASSIGN_OR_RETURN(const Value callee, Evaluate(*expression.parts[0], scope));
  VN_ASSIGN_OR_RETURN(CallArguments arguments, EvaluateArguments(expression.arguments, scope));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  return Call(callee, arguments);
}

absl::StatusOr<std::vector<Value>> Evaluator::EvaluateParts(const Expression& expression, Scope* scope) {
  std::vector<Value> values;
  values.reserve(expression.parts.size());
  for (size_t i = 0; i < expression.parts.size(); ++i) {
    if (expression.parts[i] == nullptr) {
      values.emplace_back();
      continue;
    }
    VN_ASSIGN_OR_RETURN(Value value, Evaluate(*expression.parts[i], scope));
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<CallArguments> Evaluator::EvaluateArguments(const Arguments& arguments, Scope* scope) {
  CallArguments values;
  for (const ExpressionPtr& argument : arguments.positional) {
    VN_ASSIGN_OR_RETURN(Value value, Evaluate(*argument, scope));
    values.positional.push_back(std::move(value));
  }
  if (arguments.rest != nullptr) {
    VN_ASSIGN_OR_RETURN(const Value rest, Evaluate(*arguments.rest, scope));
    VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(rest, budget_));
    values.positional.insert(values.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, argument] : arguments.named) {
    VN_ASSIGN_OR_RETURN(Value value, Evaluate(*argument, scope));
    values.named.emplace_back(name, std::move(value));
  }
  if (arguments.rest_named != nullptr) {
    VN_ASSIGN_OR_RETURN(const Value rest, Evaluate(*arguments.rest_named, scope));
    if (!rest.is_mapping()) return absl::InvalidArgumentError("the argument after ** must be a mapping");
    VN_RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(rest.mapping().entries.size())));
    for (const auto& [key, value] : rest.mapping().entries) {
      if (!key.is_string()) return absl::InvalidArgumentError("keywords must be strings");
      values.named.emplace_back(key.text(), value);
    }
  }
  if (values.named.size() > kMaxNamedArguments) {
    return absl::InvalidArgumentError(
        absl::StrCat("a call has more than ", kMaxNamedArguments, " named arguments"));
  }
  // What is called may copy them.
  for (const Value& value : values.positional) {
    if (value.is_string()) VN_RETURN_IF_ERROR(budget_.SpendLook(value.text()));
  }
  for (const auto& [name, value] : values.named) {
    if (value.is_string()) VN_RETURN_IF_ERROR(budget_.SpendLook(value.text()));
  }
  return values;
}

}  // namespace vernier::data::jinja
