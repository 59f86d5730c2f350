#include "worker/data/text/jinja_tests.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_ast.h"
#include "worker/data/text/jinja_methods.h"
#include "worker/data/text/jinja_operators.h"

namespace vernier::data::jinja {
namespace {

using Kind = Value::Kind;
using Result = absl::StatusOr<bool>;

bool HasItems(const Value& value) {
  if (value.is_undefined() || value.is_string() || value.is_mapping()) return true;
  return value.is_sequence() &&
         (value.sequence().kind == Sequence::Kind::kList || value.sequence().kind == Sequence::Kind::kTuple ||
          value.sequence().kind == Sequence::Kind::kRange);
}

Result Remainder(const Value& value, int64_t divisor, int64_t want, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const Value rest, Apply(BinaryOperator::kModulo, value, Value::Int(divisor), budget));
  return Equal(rest, Value::Int(want), budget);
}

Result InCase(const Value& value, absl::string_view method, Budget& budget) {
  VN_ASSIGN_OR_RETURN(std::string text, Str(value, budget));
  VN_ASSIGN_OR_RETURN(const Value yes, CallMethod(Value::String(std::move(text)), method, {}, budget));
  return yes.boolean();
}

// Tests of the value alone.
struct Unary {
  absl::string_view name;
  Result (*holds)(const Value& value, Budget& budget);
};

constexpr Unary kUnary[] = {
    {"defined", [](const Value& v, Budget&) -> Result { return !v.is_undefined(); }},
    {"undefined", [](const Value& v, Budget&) -> Result { return v.is_undefined(); }},
    {"none", [](const Value& v, Budget&) -> Result { return v.is_none(); }},
    {"boolean", [](const Value& v, Budget&) -> Result { return v.is_bool(); }},
    {"true", [](const Value& v, Budget&) -> Result { return v.is_bool() && v.boolean(); }},
    {"false", [](const Value& v, Budget&) -> Result { return v.is_bool() && !v.boolean(); }},
    {"integer", [](const Value& v, Budget&) -> Result { return v.kind() == Kind::kInt; }},
    {"float", [](const Value& v, Budget&) -> Result { return v.is_float(); }},
    {"number", [](const Value& v, Budget&) -> Result { return v.is_number(); }},
    {"string", [](const Value& v, Budget&) -> Result { return v.is_string(); }},
    {"mapping", [](const Value& v, Budget&) -> Result { return v.is_mapping(); }},
    {"iterable", [](const Value& v, Budget&) -> Result { return IsIterable(v); }},
    {"sequence", [](const Value& v, Budget&) -> Result { return HasItems(v); }},
    {"callable",
     [](const Value& v, Budget&) -> Result { return v.is_undefined() || v.kind() == Kind::kCallable; }},
    {"escaped", [](const Value& v, Budget&) -> Result { return v.is_markup(); }},
    {"odd", [](const Value& v, Budget& b) { return Remainder(v, 2, 1, b); }},
    {"even", [](const Value& v, Budget& b) { return Remainder(v, 2, 0, b); }},
    {"lower", [](const Value& v, Budget& b) { return InCase(v, "islower", b); }},
    {"upper", [](const Value& v, Budget& b) { return InCase(v, "isupper", b); }},
};

Result InOrder(const Value& a, const Value& b, Budget& budget, bool (*holds)(int)) {
  VN_ASSIGN_OR_RETURN(const int order, Order(a, b, budget));
  return holds(order);
}

Result NotEqual(const Value& a, const Value& b, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const bool equal, Equal(a, b, budget));
  return !equal;
}

Result Divisible(const Value& a, const Value& b, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const Value rest, Apply(BinaryOperator::kModulo, a, b, budget));
  return Equal(rest, Value::Int(0), budget);
}

Result Less(const Value& a, const Value& b, Budget& budget) {
  return InOrder(a, b, budget, [](int order) { return order < 0; });
}
Result LessEqual(const Value& a, const Value& b, Budget& budget) {
  return InOrder(a, b, budget, [](int order) { return order <= 0; });
}
Result Greater(const Value& a, const Value& b, Budget& budget) { return Less(b, a, budget); }
Result GreaterEqual(const Value& a, const Value& b, Budget& budget) { return LessEqual(b, a, budget); }

// Tests of the value and one argument.
struct Binary {
  absl::string_view name;
  Result (*holds)(const Value& value, const Value& other, Budget& budget);
};

constexpr Binary kBinary[] = {
    {"eq", Equal},
    {"equalto", Equal},
    {"==", Equal},
    {"ne", NotEqual},
    {"!=", NotEqual},
    {"lt", Less},
    {"lessthan", Less},
    {"<", Less},
    {"le", LessEqual},
    {"<=", LessEqual},
    {"gt", Greater},
    {"greaterthan", Greater},
    {">", Greater},
    {"ge", GreaterEqual},
    {">=", GreaterEqual},
    {"in", [](const Value& a, const Value& b, Budget& budget) { return Contains(b, a, budget); }},
    {"sameas", [](const Value& a, const Value& b, Budget&) -> Result { return a.SameAs(b); }},
    {"divisibleby", Divisible},
};

template <typename Table>
auto FindTest(const Table& table, absl::string_view name) {
  return std::find_if(std::begin(table), std::end(table),
                      [&](const auto& test) { return test.name == name; });
}

}  // namespace

absl::Status CheckTestName(absl::string_view name) {
  if (FindTest(kUnary, name) != std::end(kUnary) || FindTest(kBinary, name) != std::end(kBinary)) {
    return absl::OkStatus();
  }
  std::vector<std::string> names;
  for (const Unary& test : kUnary) names.emplace_back(test.name);
  for (const Binary& test : kBinary) names.emplace_back(test.name);
  return absl::InvalidArgumentError(
      absl::StrCat("no test named '", Excerpt(name, 40), "'", DidYouMean(name, names)));
}

absl::StatusOr<bool> ApplyTest(absl::string_view name, const Value& value, const CallArguments& arguments,
                               Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  if (value.is_string()) VN_RETURN_IF_ERROR(budget.SpendLook(value.text()));
  if (const auto* test = FindTest(kUnary, name); test != std::end(kUnary)) {
    VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {}, 0));
    return test->holds(value, budget);
  }
  VN_RETURN_IF_ERROR(CheckTestName(name));
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {"other"}, 1));
  return FindTest(kBinary, name)->holds(value, bound.Get(0), budget);
}

}  // namespace vernier::data::jinja
