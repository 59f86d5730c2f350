#include "worker/data/text/jinja_operators.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_format.h"

namespace vernier::data::jinja {
namespace {

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

absl::string_view Sign(BinaryOperator operation) {
  switch (operation) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "**";
  }
  return "?";
}

absl::Status Overflow() { return Bad("integer overflow: the result does not fit into 64 bits"); }

absl::StatusOr<Value> Power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return Bad("0 cannot be raised to a negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return Overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return Overflow();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> Integers(BinaryOperator operation, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (operation) {
    case BinaryOperator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOperator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOperator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOperator::kDivide:
      if (b == 0) return Bad("division by zero");
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDivide:
    case BinaryOperator::kModulo: {
      if (b == 0) return Bad("integer division or modulo by zero");
      if (b == -1) {  // the one division that can overflow
        if (operation == BinaryOperator::kModulo) return Value::Int(0);
        if (__builtin_sub_overflow(int64_t{0}, a, &result)) return Overflow();
        return Value::Int(result);
      }
      // Towards minus infinity; the remainder has the sign of the divisor.
      const int64_t rest = a % b;
      const bool fix = rest != 0 && (rest < 0) != (b < 0);
      if (operation == BinaryOperator::kModulo) return Value::Int(fix ? rest + b : rest);
      return Value::Int(a / b - (fix ? 1 : 0));
    }
    case BinaryOperator::kPower:
      return Power(a, b);
  }
  return Bad("unknown operator");
}

absl::StatusOr<Value> Floats(BinaryOperator operation, double a, double b) {
  switch (operation) {
    case BinaryOperator::kAdd:
      return Value::Float(a + b);
    case BinaryOperator::kSubtract:
      return Value::Float(a - b);
    case BinaryOperator::kMultiply:
      return Value::Float(a * b);
    case BinaryOperator::kDivide:
      if (b == 0) return Bad("float division by zero");
      return Value::Float(a / b);
    case BinaryOperator::kFloorDivide:
      if (b == 0) return Bad("float floor division by zero");
      return Value::Float(std::floor(a / b));
    case BinaryOperator::kModulo: {
      if (b == 0) return Bad("float modulo");
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      return Value::Float(rest);
    }
    case BinaryOperator::kPower:
      return Value::Float(std::pow(a, b));
  }
  return Bad("unknown operator");
}

// Plain text beside Markup is escaped.
absl::StatusOr<Value> AddTexts(const Value& a, const Value& b, Budget& budget) {
  const bool markup = a.is_markup() || b.is_markup();
  const auto escaped = [&](const Value& value) { return markup && !value.is_markup(); };
  // A character has at most 5 once it is escaped, as in the filter `escape`.
  const auto size = [&](const Value& value) {
    return static_cast<int64_t>(value.text().size()) * (escaped(value) ? 5 : 1);
  };
  VN_RETURN_IF_ERROR(budget.SpendText(size(a) + size(b)));
  const auto side = [&](const Value& value) {
    return escaped(value) ? EscapeHtml(value.text()) : value.text();
  };
  if (!markup) return Value::String(absl::StrCat(a.text(), b.text()));
  return Value::String(absl::StrCat(side(a), side(b)), true);
}

bool IsListOrTuple(const Value& value) {
  return value.is_sequence() &&
         (value.sequence().kind == Sequence::Kind::kList || value.sequence().kind == Sequence::Kind::kTuple);
}

absl::StatusOr<Value> Repeat(const Value& value, int64_t times, Budget& budget) {
  if (times < 0) times = 0;
  if (value.is_string()) {
    const int64_t size = static_cast<int64_t>(value.text().size());
    if (size > 0 && times > kMaxTextBytes / size) return budget.SpendText(kMaxTextBytes + 1);
    VN_RETURN_IF_ERROR(budget.SpendText(size * times));
    std::string text;
    text.reserve(static_cast<size_t>(size * times));
    for (int64_t i = 0; i < times && size > 0; ++i) text += value.text();
    return Value::String(std::move(text), value.is_markup());
  }
  const auto& items = value.sequence().items;
  if (!items.empty() && times > kMaxSteps / static_cast<int64_t>(items.size()))
    return budget.Spend(kMaxSteps + 1);
  VN_RETURN_IF_ERROR(budget.Spend(times * static_cast<int64_t>(items.size())));
  std::vector<Value> all;
  for (int64_t i = 0; i < times && !items.empty(); ++i) all.insert(all.end(), items.begin(), items.end());
  return Value::Of(value.sequence().kind, std::move(all));
}

}  // namespace

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {">", "&gt;"}, {"<", "&lt;"}, {"'", "&#39;"}, {"\"", "&#34;"}});
}

absl::StatusOr<Value> Apply(BinaryOperator operation, const Value& a, const Value& b, Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  for (const Value* side : {&a, &b}) {
    if (side->is_undefined()) return Bad(side->undefined().message);
  }
  if (a.is_integral() && b.is_integral()) return Integers(operation, a.integral(), b.integral());
  if (a.is_number() && b.is_number()) return Floats(operation, a.number(), b.number());
  if (operation == BinaryOperator::kAdd) {
    if (a.is_string() && b.is_string()) return AddTexts(a, b, budget);
    if (IsListOrTuple(a) && IsListOrTuple(b) && a.sequence().kind == b.sequence().kind) {
      VN_RETURN_IF_ERROR(
          budget.Spend(static_cast<int64_t>(a.sequence().items.size() + b.sequence().items.size())));
      std::vector<Value> items = a.sequence().items;
      items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
      return Value::Of(a.sequence().kind, std::move(items));
    }
    if (a.is_string())
      return Bad(absl::StrCat("can only concatenate str (not \"", b.TypeName(), "\") to str"));
  }
  if (operation == BinaryOperator::kMultiply) {
    if (a.is_integral() && (b.is_string() || IsListOrTuple(b))) return Repeat(b, a.integral(), budget);
    if (b.is_integral() && (a.is_string() || IsListOrTuple(a))) return Repeat(a, b.integral(), budget);
  }
  if (operation == BinaryOperator::kModulo && a.is_string()) return FormatPercent(a, b, budget);
  return Bad(absl::StrCat("unsupported operand type(s) for ", Sign(operation), ": '", a.TypeName(), "' and '",
                          b.TypeName(), "'"));
}

absl::StatusOr<Value> Negate(const Value& value, bool negative) {
  if (value.is_undefined()) return Bad(value.undefined().message);
  if (value.is_float()) return Value::Float(negative ? -value.number() : value.number());
  if (!value.is_integral()) {
    return Bad(
        absl::StrCat("bad operand type for unary ", negative ? "-" : "+", ": '", value.TypeName(), "'"));
  }
  int64_t result = value.integral();
  if (negative && __builtin_sub_overflow(int64_t{0}, result, &result)) return Overflow();
  return Value::Int(result);
}

}  // namespace vernier::data::jinja
