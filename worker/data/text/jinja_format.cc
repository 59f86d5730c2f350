#include "worker/data/text/jinja_format.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// Widths and precisions above this are no layout.
constexpr int kMaxWidth = 1 << 16;

// [[fill]align][sign][0][width][,][.precision][type]; the common part of both kinds of format.
struct Spec {
  std::string fill = " ";
  char align = '\0';
  char sign = '-';
  int width = 0;
  bool thousands = false;
  int precision = -1;
  char type = '\0';
};

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

absl::StatusOr<int> TakeNumber(absl::string_view* text) {
  size_t size = 0;
  while (size < text->size() && absl::ascii_isdigit((*text)[size])) ++size;
  int value = 0;
  if (!absl::SimpleAtoi(text->substr(0, size), &value) || value > kMaxWidth) {
    return Bad(absl::StrCat("bad width or precision in a format; at most ", kMaxWidth));
  }
  text->remove_prefix(size);
  return value;
}

absl::StatusOr<Spec> ParseSpec(absl::string_view text) {
  Spec spec;
  const std::string whole(text);
  if (!text.empty()) {
    size_t size = 0;
    DecodeCharacter(text, 0, &size);
    if (size < text.size() && IsAlign(text[size])) {
      spec.fill = std::string(text.substr(0, size));
      spec.align = text[size];
      text.remove_prefix(size + 1);
    } else if (IsAlign(text.front())) {
      spec.align = text.front();
      text.remove_prefix(1);
    }
  }
  if (!text.empty() && (text.front() == '+' || text.front() == '-' || text.front() == ' ')) {
    spec.sign = text.front();
    text.remove_prefix(1);
  }
  if (absl::StartsWith(text, "0")) {
    if (spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
    text.remove_prefix(1);
  }
  if (!text.empty() && absl::ascii_isdigit(text.front())) {
    VN_ASSIGN_OR_RETURN(spec.width, TakeNumber(&text));
  }
  spec.thousands = absl::ConsumePrefix(&text, ",");
  if (absl::ConsumePrefix(&text, ".")) {
    VN_ASSIGN_OR_RETURN(spec.precision, TakeNumber(&text));
  }
  if (!text.empty()) {
    spec.type = text.front();
    text.remove_prefix(1);
  }
  if (!text.empty()) return Bad(absl::StrCat("the format \"", Excerpt(whole, 40), "\" is not supported"));
  return spec;
}

std::string WithThousands(absl::string_view digits) {
  const size_t whole = std::min(digits.find_first_of(".e"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  absl::StrAppend(&out, digits.substr(whole));
  return out;
}

std::string Pad(const Spec& spec, absl::string_view sign, absl::string_view body, char default_align) {
  const int64_t size = CountCharacters(sign) + CountCharacters(body);
  const int64_t missing = std::max<int64_t>(0, spec.width - size);
  const auto fill = [&](int64_t times) {
    std::string text;
    for (int64_t i = 0; i < times; ++i) text += spec.fill;
    return text;
  };
  const char align = spec.align == '\0' ? default_align : spec.align;
  if (align == '=') return absl::StrCat(sign, fill(missing), body);
  if (align == '<') return absl::StrCat(sign, body, fill(missing));
  if (align == '^') return absl::StrCat(fill(missing / 2), sign, body, fill(missing - missing / 2));
  return absl::StrCat(fill(missing), sign, body);
}

absl::StatusOr<std::string> FormatNumber(const Spec& spec, const Value& value) {
  std::string digits;
  const bool negative = value.is_float() ? value.number() < 0 : value.integral() < 0;
  const bool floating = spec.type == 'f' || spec.type == 'F' || spec.type == 'e' || spec.type == 'E' ||
                        spec.type == 'g' || spec.type == 'G' || spec.type == '%';
  if (floating) {
    const double number = (negative ? -value.number() : value.number()) * (spec.type == '%' ? 100 : 1);
    const int precision = spec.precision < 0 ? 6 : spec.precision;
    if (spec.type == 'e' || spec.type == 'E') {
      digits = spec.type == 'e' ? absl::StrFormat("%.*e", precision, number)
                                : absl::StrFormat("%.*E", precision, number);
    } else if (spec.type == 'g' || spec.type == 'G') {
      digits = spec.type == 'g' ? absl::StrFormat("%.*g", precision, number)
                                : absl::StrFormat("%.*G", precision, number);
    } else {
      digits = absl::StrFormat("%.*f", precision, number);
    }
    if (spec.type == '%') digits.push_back('%');
  } else if (value.is_integral() && (spec.type == '\0' || spec.type == 'd') && spec.precision < 0) {
    digits = absl::StrCat(value.integral());
    if (negative) digits.erase(0, 1);
  } else if (value.is_integral() && (spec.type == 'x' || spec.type == 'X') && !negative) {
    digits =
        spec.type == 'x' ? absl::StrFormat("%x", value.integral()) : absl::StrFormat("%X", value.integral());
  } else if (value.is_float() && spec.type == '\0' && spec.precision < 0) {
    digits = FloatText(value.number());
    if (negative) digits.erase(0, 1);
  } else {
    return Bad(absl::StrCat("a format for ", value.TypeName(), " is not supported: type '",
                            spec.type == '\0' ? "" : std::string(1, spec.type), "'"));
  }
  if (spec.thousands) digits = WithThousands(digits);
  const absl::string_view sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  return Pad(spec, sign, digits, '>');
}

absl::StatusOr<std::string> FormatValue(const Spec& spec, const Value& value, Budget& budget) {
  if (value.is_number() && !(value.is_bool() && spec.type == '\0')) return FormatNumber(spec, value);
  if (spec.type != '\0' && spec.type != 's') {
    return Bad(absl::StrCat("Unknown format code '", std::string(1, spec.type), "' for object of type '",
                            value.TypeName(), "'"));
  }
  VN_ASSIGN_OR_RETURN(std::string text, Str(value, budget));
  // It is copied whole, however little of it is shown.
  VN_RETURN_IF_ERROR(budget.SpendLook(text));
  if (spec.precision >= 0) {
    text.resize(OffsetOf(text, spec.precision));
  }
  return Pad(spec, "", text, '<');
}

}  // namespace

absl::StatusOr<Value> FormatBraces(const Value& pattern, const CallArguments& arguments, Budget& budget) {
  const std::string& text = pattern.text();
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      out.push_back(c);
      ++i;
      continue;
    }
    if (c == '}') return Bad("Single '}' encountered in format string");
    if (c != '{') {
      out.push_back(c);
      continue;
    }
    const size_t end = text.find('}', i);
    if (end == std::string::npos) return Bad("expected '}' before end of string");
    absl::string_view field = absl::string_view(text).substr(i + 1, end - i - 1);
    i = end;
    absl::string_view spec_text;
    if (const size_t colon = field.find(':'); colon != absl::string_view::npos) {
      spec_text = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    char conversion = '\0';
    if (field.size() >= 2 && field[field.size() - 2] == '!') {
      conversion = field.back();
      field.remove_suffix(2);
    }
    size_t index = 0;
    const Value* value = nullptr;
    if (field.empty() || absl::SimpleAtoi(field, &index)) {
      if (field.empty()) index = next++;
      if (index >= arguments.positional.size())
        return Bad("Replacement index out of range for positional args tuple");
      value = &arguments.positional[index];
    } else {
      VN_RETURN_IF_ERROR(budget.Spend(static_cast<int64_t>(arguments.named.size()) / 16));
      for (const auto& [name, argument] : arguments.named) {
        if (name == field) value = &argument;
      }
      if (value == nullptr) {
        return Bad(
            absl::StrCat("format: no argument '", Excerpt(field, 40), "'; fields are {}, {0} or {name}"));
      }
    }
    VN_ASSIGN_OR_RETURN(const Spec spec, ParseSpec(spec_text));
    Value shown = *value;
    if (conversion != '\0') {
      if (conversion != 'r' && conversion != 's') return Bad("format: the conversion must be !r or !s");
      VN_ASSIGN_OR_RETURN(std::string converted,
                          conversion == 'r' ? Repr(*value, budget) : Str(*value, budget));
      shown = Value::String(std::move(converted));
    }
    VN_ASSIGN_OR_RETURN(const std::string piece, FormatValue(spec, shown, budget));
    VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(piece.size())));
    out += piece;
  }
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(out.size())));
  return Value::String(std::move(out));
}

absl::StatusOr<Value> FormatPercent(const Value& pattern, const Value& arguments, Budget& budget) {
  const absl::string_view text = pattern.text();
  const bool tuple = arguments.is_sequence() && arguments.sequence().kind == Sequence::Kind::kTuple;
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    absl::string_view rest = text.substr(i + 1);
    if (absl::ConsumePrefix(&rest, "%")) {
      out.push_back('%');
      i = text.size() - rest.size() - 1;
      continue;
    }
    const Value* value = nullptr;
    if (absl::ConsumePrefix(&rest, "(")) {
      const size_t end = rest.find(')');
      if (end == absl::string_view::npos || !arguments.is_mapping()) return Bad("format requires a mapping");
      value = arguments.mapping().Find(rest.substr(0, end));
      if (value == nullptr)
        return Bad(absl::StrCat("format: no key '", Excerpt(rest.substr(0, end), 40), "'"));
      rest.remove_prefix(end + 1);
    }
    Spec spec;
    spec.align = '>';
    for (; !rest.empty() && absl::StrContains("-+ 0", rest.substr(0, 1)); rest.remove_prefix(1)) {
      if (rest.front() == '-') spec.align = '<';
      if (rest.front() == '+' || rest.front() == ' ') spec.sign = rest.front();
      if (rest.front() == '0' && spec.align != '<') {
        spec.align = '=';
        spec.fill = "0";
      }
    }
    if (!rest.empty() && absl::ascii_isdigit(rest.front())) {
      VN_ASSIGN_OR_RETURN(spec.width, TakeNumber(&rest));
    }
    if (absl::ConsumePrefix(&rest, ".")) {
      VN_ASSIGN_OR_RETURN(spec.precision, TakeNumber(&rest));
    }
    if (rest.empty()) return Bad("incomplete format");
    spec.type = rest.front();
    rest.remove_prefix(1);
    i = text.size() - rest.size() - 1;
    if (value == nullptr) {
      if (tuple ? next >= arguments.sequence().items.size() : next > 0)
        return Bad("not enough arguments for format string");
      value = tuple ? &arguments.sequence().items[next] : &arguments;
      ++next;
    }
    Value shown = *value;
    if (spec.type == 's' || spec.type == 'r') {
      VN_ASSIGN_OR_RETURN(std::string converted, spec.type == 'r' ? Repr(shown, budget) : Str(shown, budget));
      shown = Value::String(std::move(converted));
      spec.type = 's';
      if (spec.align == '=') {
        spec.align = '>';
        spec.fill = " ";
      }
    } else if (spec.type == 'd' || spec.type == 'i') {
      if (!shown.is_number())
        return Bad(absl::StrCat("%d format: a real number is required, not ", shown.TypeName()));
      if (shown.is_float()) {
        if (!(std::abs(shown.number()) < 9e18)) return Bad("%d format: the number is too large");
        shown = Value::Int(static_cast<int64_t>(shown.number()));
      }
      spec.type = 'd';
    } else if (!shown.is_number()) {
      return Bad(
          absl::StrCat("the format %", std::string(1, spec.type), " needs a number, not ", shown.TypeName()));
    }
    VN_ASSIGN_OR_RETURN(const std::string piece, FormatValue(spec, shown, budget));
    VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(piece.size())));
    out += piece;
  }
  const size_t given = tuple ? arguments.sequence().items.size() : arguments.is_mapping() ? next : 1;
  if (next < given) return Bad("not all arguments converted during string formatting");
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(out.size())));
  return Value::String(std::move(out), pattern.is_markup());
}

}  // namespace vernier::data::jinja
