#include "worker/data/text/jinja_filters.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_access.h"
#include "worker/data/text/jinja_format.h"
#include "worker/data/text/jinja_json.h"
#include "worker/data/text/jinja_list_filters.h"
#include "worker/data/text/jinja_methods.h"
#include "worker/data/text/jinja_operators.h"
#include "worker/data/text/jinja_text_methods.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Filter = Result (*)(const Value& value, const CallArguments& arguments, Budget& budget);

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// The value as text; Markup stays Markup (soft_str).
Result SoftText(const Value& value, Budget& budget) {
  if (value.is_string()) return value;
  VN_ASSIGN_OR_RETURN(std::string text, Str(value, budget));
  return Value::String(std::move(text));
}

// A filter that is a method of str with the same arguments.
Result AsMethod(const Value& value, absl::string_view method, const CallArguments& arguments,
                Budget& budget) {
  VN_ASSIGN_OR_RETURN(const Value text, SoftText(value, budget));
  return CallMethod(text, method, arguments, budget);
}

Result Abs(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("abs", arguments, {}, 0));
  return Negate(value, value.is_number() && value.number() < 0);
}

Result Attr(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("attr", arguments, {"name"}, 1));
  VN_ASSIGN_OR_RETURN(const std::string name, bound.TextOr(0, ""));
  // Attributes only: the items of a dict have none.
  if (value.is_mapping() && !MethodOf(value, name).has_value()) {
    return Value::Undefined(absl::StrCat("'dict object' has no attribute '", Excerpt(name, 60), "'"));
  }
  return GetAttribute(value, name);
}

Result Default(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("default", arguments, {"default_value", "boolean"}, 0));
  const bool falsy_too = bound.GetOr(1, Value::Bool(false)).Truth();
  if (value.is_undefined() || (falsy_too && !value.Truth())) return bound.GetOr(0, Value::String(""));
  return value;
}

Result Escape(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("escape", arguments, {}, 0));
  if (value.is_markup()) return value;
  VN_ASSIGN_OR_RETURN(const std::string text, Str(value, budget));
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(text.size()) * 5));
  return Value::String(EscapeHtml(text), true);
}

Result Safe(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("safe", arguments, {}, 0));
  VN_ASSIGN_OR_RETURN(std::string text, Str(value, budget));
  return Value::String(std::move(text), true);
}

Result String(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("string", arguments, {}, 0));
  return SoftText(value, budget);
}

Result Format(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const Value pattern, SoftText(value, budget));
  if (arguments.named.empty()) {
    VN_ASSIGN_OR_RETURN(const Value tuple, Value::Of(Sequence::Kind::kTuple, arguments.positional));
    return FormatPercent(pattern, tuple, budget);
  }
  if (!arguments.positional.empty())
    return Bad("can't handle positional and keyword arguments at the same time");
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, argument] : arguments.named) entries.emplace_back(Value::String(name), argument);
  VN_ASSIGN_OR_RETURN(const Value mapping, Value::Of(std::move(entries)));
  return FormatPercent(pattern, mapping, budget);
}

Result Indent(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("indent", arguments, {"width", "first", "blank"}, 0));
  if (!value.is_string()) return Bad(absl::StrCat("indent needs a str, not ", value.TypeName()));
  std::string indent;
  if (bound.HasValue(0) && bound.Get(0).is_string()) {
    indent = bound.Get(0).text();
  } else {
    VN_ASSIGN_OR_RETURN(const int64_t width, bound.IntOr(0, 4));
    VN_RETURN_IF_ERROR(budget.SpendText(width));
    if (width > 0) indent.assign(static_cast<size_t>(width), ' ');
  }
  const bool blank = bound.GetOr(2, Value::Bool(false)).Truth();
  // Jinja adds a line break so that the last line counts, then drops it with splitlines.
  const std::string text = value.text() + "\n";
  VN_ASSIGN_OR_RETURN(const std::vector<absl::string_view> lines, SplitLines(text, false, budget));
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(text.size() + lines.size() * indent.size())));
  std::string out = bound.GetOr(1, Value::Bool(false)).Truth() ? indent : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) absl::StrAppend(&out, "\n", blank || !lines[i].empty() ? indent : "");
    absl::StrAppend(&out, lines[i]);
  }
  return Value::String(std::move(out), value.is_markup());
}

Result Int(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("int", arguments, {"default", "base"}, 0));
  VN_ASSIGN_OR_RETURN(const int64_t base, bound.IntOr(1, 10));
  if (base != 10) return Bad("int() supports base 10 only");
  if (value.is_undefined()) return Bad(value.undefined().message);
  if (value.is_integral()) return Value::Int(value.integral());
  double number = 0;
  if (value.is_string()) {
    const absl::string_view text = Strip(value.text());
    int64_t integer = 0;
    if (absl::SimpleAtoi(text, &integer)) return Value::Int(integer);
    if (!absl::SimpleAtod(text, &number)) return bound.GetOr(0, Value::Int(0));
  } else if (value.is_float()) {
    number = value.number();
  } else {
    return bound.GetOr(0, Value::Int(0));
  }
  if (!(std::abs(number) < 9e18)) return bound.GetOr(0, Value::Int(0));
  return Value::Int(static_cast<int64_t>(number));
}

Result Float(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("float", arguments, {"default"}, 0));
  if (value.is_undefined()) return Bad(value.undefined().message);
  if (value.is_number()) return Value::Float(value.number());
  double number = 0;
  if (value.is_string() && absl::SimpleAtod(Strip(value.text()), &number)) return Value::Float(number);
  return bound.GetOr(0, Value::Float(0));
}

Result LengthOf(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("length", arguments, {}, 0));
  VN_ASSIGN_OR_RETURN(const int64_t length, Length(value));
  return Value::Int(length);
}

Result Replace(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("replace", arguments, {"old", "new", "count"}, 2));
  VN_ASSIGN_OR_RETURN(const std::string text, Str(value, budget));
  VN_ASSIGN_OR_RETURN(const std::string from, Str(bound.Get(0), budget));
  VN_ASSIGN_OR_RETURN(const std::string to, Str(bound.Get(1), budget));
  VN_ASSIGN_OR_RETURN(const int64_t count, bound.IntOr(2, -1));
  VN_ASSIGN_OR_RETURN(std::string replaced, ReplaceText(text, from, to, count, budget));
  return Value::String(std::move(replaced));
}

Result Round(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("round", arguments, {"precision", "method"}, 0));
  VN_ASSIGN_OR_RETURN(const int64_t precision, bound.IntOr(0, 0));
  VN_ASSIGN_OR_RETURN(const std::string method, bound.TextOr(1, "common"));
  if (value.is_undefined()) return Bad(value.undefined().message);
  if (!value.is_number()) return Bad(absl::StrCat("round needs a number, not ", value.TypeName()));
  if (precision < 0 || precision > 300) return Bad("round() supports a precision in [0, 300]");
  if (method == "common") {
    if (value.is_integral()) return Value::Int(value.integral());
    // Python rounds the decimal number that the float stands for, so printing it does the same.
    double rounded = 0;
    if (!absl::SimpleAtod(absl::StrFormat("%.*f", static_cast<int>(precision), value.number()), &rounded)) {
      return Bad("round() cannot round this number");
    }
    return Value::Float(rounded);
  }
  if (method != "ceil" && method != "floor") return Bad("method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.number() * scale;
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

// Jinja's own: a word starts after white space or one of -({[<, unlike in str.title.
Result Titled(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("title", arguments, {}, 0));
  VN_ASSIGN_OR_RETURN(const Value subject, SoftText(value, budget));
  const std::string& text = subject.text();
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(text.size())));
  const auto separates = [](char32_t c) {
    return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  std::string out;
  size_t word = 0;  // where the current word starts
  const auto finish = [&](size_t end) {
    if (word == end) return;
    size_t size = 0;
    DecodeCharacter(text, word, &size);
    out += Upper(absl::string_view(text).substr(word, size));
    out += Lower(absl::string_view(text).substr(word + size, end - word - size));
  };
  ForEachCharacter(text, [&](char32_t c, size_t begin, size_t size) {
    if (!separates(c)) return;
    finish(begin);
    out.append(text, begin, size);
    word = begin + size;
  });
  finish(text.size());
  return Value::String(std::move(out));
}

Result ToJsonText(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(
      const BoundArguments bound,
      BoundArguments::Bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonStyle style;
  style.ensure_ascii = bound.GetOr(0, Value::Bool(false)).Truth();
  style.sort_keys = bound.GetOr(3, Value::Bool(false)).Truth();
  if (bound.HasValue(1) && bound.Get(1).is_string()) {
    style.indent = bound.Get(1).text();
  } else if (bound.HasValue(1)) {
    VN_ASSIGN_OR_RETURN(const int64_t indent, bound.IntOr(1, 0));
    if (indent > 1000) return Bad("tojson: indent must be at most 1000");
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(0, indent)), ' ');
  }
  if (bound.HasValue(2)) {
    VN_ASSIGN_OR_RETURN(const std::vector<Value> separators, Iterate(bound.Get(2), budget));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      return Bad("tojson: separators must be two strings");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  VN_ASSIGN_OR_RETURN(std::string text, ToJson(value, style, budget));
  return Value::String(std::move(text));
}

Result Trim(const Value& value, const CallArguments& arguments, Budget& budget) {
  return AsMethod(value, "strip", arguments, budget);
}

Result Truncate(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(
      const BoundArguments bound,
      BoundArguments::Bind("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0));
  if (!value.is_string()) return Bad(absl::StrCat("truncate needs a str, not ", value.TypeName()));
  VN_ASSIGN_OR_RETURN(const int64_t length, bound.IntOr(0, 255));
  VN_ASSIGN_OR_RETURN(const std::string end, bound.TextOr(2, "..."));
  VN_ASSIGN_OR_RETURN(const int64_t leeway, bound.IntOr(3, 5));
  const int64_t end_length = CountCharacters(end);
  if (length < end_length || leeway < 0) return Bad("truncate: length must reach the end mark, leeway 0");
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(value.text().size())));
  const int64_t size = CountCharacters(value.text());
  if (size <= length || size - length <= leeway) return value;
  const absl::string_view kept =
      absl::string_view(value.text()).substr(0, OffsetOf(value.text(), length - end_length));
  if (bound.GetOr(1, Value::Bool(false)).Truth()) return Value::String(absl::StrCat(kept, end));
  return Value::String(absl::StrCat(kept.substr(0, std::min(kept.rfind(' '), kept.size())), end));
}

struct NamedFilter {
  absl::string_view name;
  Filter apply;  // null: Jinja has it, chat templates do not get it
};

constexpr NamedFilter kFilters[] = {
    {"abs", Abs},
    {"attr", Attr},
    {"batch", FilterBatch},
    {"capitalize",
     [](const Value& v, const CallArguments& a, Budget& b) { return AsMethod(v, "capitalize", a, b); }},
    {"center",
     [](const Value& v, const CallArguments& a, Budget& b) -> Result {
       VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("center", a, {"width"}, 0));
       return AsMethod(v, "center", {{bound.GetOr(0, Value::Int(80))}, {}}, b);
     }},
    {"count", LengthOf},
    {"d", Default},
    {"default", Default},
    {"dictsort", FilterDictSort},
    {"e", Escape},
    {"escape", Escape},
    {"first", FilterFirst},
    {"float", Float},
    {"format", Format},
    {"indent", Indent},
    {"int", Int},
    {"items", FilterItems},
    {"join", FilterJoin},
    {"last", FilterLast},
    {"length", LengthOf},
    {"list", FilterList},
    {"lower", [](const Value& v, const CallArguments& a, Budget& b) { return AsMethod(v, "lower", a, b); }},
    {"map", FilterMap},
    {"max", FilterMax},
    {"min", FilterMin},
    {"reject", FilterReject},
    {"rejectattr", FilterRejectAttr},
    {"replace", Replace},
    {"reverse", FilterReverse},
    {"round", Round},
    {"safe", Safe},
    {"select", FilterSelect},
    {"selectattr", FilterSelectAttr},
    {"slice", FilterSlice},
    {"sort", FilterSort},
    {"string", String},
    {"sum", FilterSum},
    {"title", Titled},
    {"tojson", ToJsonText},
    {"trim", Trim},
    {"truncate", Truncate},
    {"unique", FilterUnique},
    {"upper", [](const Value& v, const CallArguments& a, Budget& b) { return AsMethod(v, "upper", a, b); }},
    {"filesizeformat", nullptr},
    {"forceescape", nullptr},
    {"groupby", nullptr},
    {"pprint", nullptr},
    {"random", nullptr},
    {"striptags", nullptr},
    {"urlencode", nullptr},
    {"urlize", nullptr},
    {"wordcount", nullptr},
    {"wordwrap", nullptr},
    {"xmlattr", nullptr},
};

const NamedFilter* FindFilter(absl::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const NamedFilter& filter) { return filter.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

}  // namespace

absl::Status CheckFilterName(absl::string_view name) {
  const NamedFilter* filter = FindFilter(name);
  if (filter != nullptr && filter->apply != nullptr) return absl::OkStatus();
  if (filter != nullptr)
    return Bad(absl::StrCat("the filter '", name, "' is not supported in chat templates"));
  std::vector<std::string> names;
  for (const NamedFilter& known : kFilters) names.emplace_back(known.name);
  return Bad(absl::StrCat("no filter named '", Excerpt(name, 40), "'", DidYouMean(name, names)));
}

absl::StatusOr<Value> ApplyFilter(absl::string_view name, const Value& value, const CallArguments& arguments,
                                  Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  if (value.is_string()) VN_RETURN_IF_ERROR(budget.SpendLook(value.text()));
  VN_RETURN_IF_ERROR(CheckFilterName(name));
  return FindFilter(name)->apply(value, arguments, budget);
}

}  // namespace vernier::data::jinja
