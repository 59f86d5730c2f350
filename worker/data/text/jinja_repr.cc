// str() and repr() of values, as Python prints them.
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_callable.h"
#include "worker/data/text/jinja_unicode.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {
namespace {

using Kind = Value::Kind;

std::string ReprText(absl::string_view text) {
  const char quote =
      text.find('\'') != absl::string_view::npos && text.find('"') == absl::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  ForEachCharacter(text, [&](char32_t c, size_t begin, size_t size) {
    if (c == static_cast<unsigned char>(quote) || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      absl::StrAppend(&out, text.substr(begin, size));
    } else if (c < 0x100) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned>(c));
    } else if (c < 0x10000) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned>(c));
    } else {
      absl::StrAppendFormat(&out, "\\U%08x", static_cast<unsigned>(c));
    }
  });
  out.push_back(quote);
  return out;
}

absl::Status AppendRepr(const Value& value, Budget& budget, std::string* out);

absl::Status AppendSequence(const Sequence& sequence, Budget& budget, std::string* out) {
  using SequenceKind = Sequence::Kind;
  if (sequence.kind == SequenceKind::kGenerator) {
    return absl::InvalidArgumentError("a generator is printed; use the filter `list` or `join`");
  }
  if (sequence.kind == SequenceKind::kRange) {
    return absl::InvalidArgumentError("a range is printed; use the filter `list` or `join`");
  }
  const bool view = sequence.kind == SequenceKind::kKeys || sequence.kind == SequenceKind::kValues ||
                    sequence.kind == SequenceKind::kItems;
  if (view) {
    absl::StrAppend(out, sequence.kind == SequenceKind::kKeys     ? "dict_keys("
                         : sequence.kind == SequenceKind::kValues ? "dict_values("
                                                                  : "dict_items(");
  }
  const bool tuple = sequence.kind == SequenceKind::kTuple;
  out->push_back(tuple ? '(' : '[');
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    if (i > 0) absl::StrAppend(out, ", ");
    VN_RETURN_IF_ERROR(AppendRepr(sequence.items[i], budget, out));
  }
  if (tuple && sequence.items.size() == 1) out->push_back(',');
  out->push_back(tuple ? ')' : ']');
  if (view) out->push_back(')');
  return absl::OkStatus();
}

absl::Status AppendRepr(const Value& value, Budget& budget, std::string* out) {
  const size_t before = out->size();
  switch (value.kind()) {
    case Kind::kUndefined:
      absl::StrAppend(out, "Undefined");
      break;
    case Kind::kNone:
      absl::StrAppend(out, "None");
      break;
    case Kind::kBool:
      absl::StrAppend(out, value.boolean() ? "True" : "False");
      break;
    case Kind::kInt:
      absl::StrAppend(out, value.integral());
      break;
    case Kind::kFloat:
      absl::StrAppend(out, FloatText(value.number()));
      break;
    case Kind::kString:
      absl::StrAppend(out, value.is_markup() ? absl::StrCat("Markup(", ReprText(value.text()), ")")
                                             : ReprText(value.text()));
      break;
    case Kind::kSequence:
      VN_RETURN_IF_ERROR(AppendSequence(value.sequence(), budget, out));
      break;
    case Kind::kMapping: {
      out->push_back('{');
      bool first = true;
      for (const auto& [key, element] : value.mapping().entries) {
        if (!first) absl::StrAppend(out, ", ");
        first = false;
        VN_RETURN_IF_ERROR(AppendRepr(key, budget, out));
        absl::StrAppend(out, ": ");
        VN_RETURN_IF_ERROR(AppendRepr(element, budget, out));
      }
      out->push_back('}');
      break;
    }
    case Kind::kNamespace:
    case Kind::kCallable:
    case Kind::kLoop:
      return absl::InvalidArgumentError(absl::StrCat("a ", value.TypeName(),
                                                     value.kind() == Kind::kCallable
                                                         ? " is printed; it must be called"
                                                         : " is printed; name one of its attributes"));
  }
  if (static_cast<int64_t>(out->size()) > kMaxTextBytes)
    return budget.SpendText(static_cast<int64_t>(out->size()));
  return budget.SpendText(static_cast<int64_t>(out->size() - before));
}

}  // namespace

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto [end, error] =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  absl::string_view digits(buffer, static_cast<size_t>(end - buffer));
  const size_t e = digits.find('e');
  int exponent = 0;
  const absl::string_view power = digits.substr(e + (digits[e + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (exponent < -4 || exponent >= 16) {
    return absl::StrCat(digits.substr(0, e), "e", exponent < 0 ? "-" : "+",
                        std::abs(exponent) < 10 ? "0" : "", std::abs(exponent));
  }
  const auto [fixed_end, fixed_error] =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string text(buffer, static_cast<size_t>(fixed_end - buffer));
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

absl::StatusOr<std::string> Str(const Value& value, Budget& budget) {
  if (value.is_undefined()) return std::string();
  if (value.is_string()) return value.text();
  return Repr(value, budget);
}

absl::StatusOr<std::string> Repr(const Value& value, Budget& budget) {
  std::string out;
  VN_RETURN_IF_ERROR(AppendRepr(value, budget, &out));
  return out;
}

}  // namespace vernier::data::jinja
