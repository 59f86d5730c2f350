#include "worker/data/text/jinja_text_methods.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_format.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

using Result = absl::StatusOr<Value>;

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

struct TextCall {
  const Value& self;
  const CallArguments& arguments;
  Budget& budget;
  const std::string& text() const { return self.text(); }
  // A new string that is Markup when the old one is.
  Value Same(std::string text) const { return Value::String(std::move(text), self.is_markup()); }
};

using TextMethod = Result (*)(const TextCall& call);

Result StripSides(const TextCall& call, absl::string_view name, bool left, bool right) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, call.arguments, {"chars"}, 0));
  VN_ASSIGN_OR_RETURN(const std::string chars, bound.TextOr(0, ""));
  absl::string_view text = call.text();
  if (bound.HasValue(0) && chars.empty()) return call.self;  // strip("") strips nothing
  // Each character is looked for in `chars`.
  VN_RETURN_IF_ERROR(call.budget.Spend(static_cast<int64_t>(call.text().size() / 64 * (chars.size() / 64))));
  if (left) text = StripLeft(text, chars);
  if (right) text = StripRight(text, chars);
  return call.Same(std::string(text));
}

Result Mapped(const TextCall& call, absl::string_view name, std::string (*map)(absl::string_view)) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, call.arguments, {}, 0));
  return call.Same(map(call.text()));
}

// text[start:end] for the methods that search; the offsets count characters.
struct Window {
  absl::string_view text;
  int64_t first = 0;  // character at which it starts
  bool valid = true;  // false: start lies behind the end
};

absl::StatusOr<Window> Within(const TextCall& call, const BoundArguments& bound, size_t start_at,
                              size_t end_at) {
  Window window{call.text()};
  if (!bound.HasValue(start_at) && !bound.HasValue(end_at)) return window;
  const int64_t size = CountCharacters(call.text());
  VN_ASSIGN_OR_RETURN(int64_t start, bound.IntOr(start_at, 0));
  VN_ASSIGN_OR_RETURN(int64_t end, bound.IntOr(end_at, size));
  if (start < 0) start = std::max<int64_t>(0, start + size);
  if (end < 0) end = std::max<int64_t>(0, end + size);
  end = std::min(end, size);
  window.valid = start <= end;
  window.first = start;
  if (!window.valid) {
    window.text = {};
    return window;
  }
  const size_t begin = OffsetOf(call.text(), start);
  window.text = absl::string_view(call.text()).substr(begin);
  window.text = window.text.substr(0, OffsetOf(window.text, end - start));
  return window;
}

Result StartsOrEnds(const TextCall& call, absl::string_view name, bool starts) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind(name, call.arguments, {"prefix", "start", "end"}, 1));
  VN_ASSIGN_OR_RETURN(const Window window, Within(call, bound, 1, 2));
  const auto fits = [&](const Value& affix) -> absl::StatusOr<bool> {
    if (!affix.is_string()) {
      return Bad(absl::StrCat(name, " first arg must be str or a tuple of str, not ", affix.TypeName()));
    }
    VN_RETURN_IF_ERROR(call.budget.SpendLook(affix.text()));
    return window.valid &&
           (starts ? absl::StartsWith(window.text, affix.text()) : absl::EndsWith(window.text, affix.text()));
  };
  const Value& affix = bound.Get(0);
  if (affix.is_sequence() && affix.sequence().kind == Sequence::Kind::kTuple) {
    for (const Value& one : affix.sequence().items) {
      VN_ASSIGN_OR_RETURN(const bool yes, fits(one));
      if (yes) return Value::Bool(true);
    }
    return Value::Bool(false);
  }
  VN_ASSIGN_OR_RETURN(const bool yes, fits(affix));
  return Value::Bool(yes);
}

// Where `what` is last. Searching from the right has no linear method in the library: both sizes count.
absl::StatusOr<size_t> FindLast(absl::string_view text, absl::string_view what, Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(static_cast<int64_t>(text.size() / 64 * (what.size() / 64))));
  return text.rfind(what);
}

Result Find(const TextCall& call, absl::string_view name, bool from_right, bool must) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind(name, call.arguments, {"sub", "start", "end"}, 1));
  VN_ASSIGN_OR_RETURN(const std::string what, bound.TextOr(0, ""));
  VN_ASSIGN_OR_RETURN(const Window window, Within(call, bound, 1, 2));
  size_t at = absl::string_view::npos;
  if (window.valid && from_right) {
    VN_ASSIGN_OR_RETURN(at, FindLast(window.text, what, call.budget));
  } else if (window.valid) {
    at = FindText(window.text, what);
  }
  if (at == absl::string_view::npos) {
    if (must) return Bad("substring not found");
    return Value::Int(-1);
  }
  return Value::Int(window.first + CountCharacters(window.text.substr(0, at)));
}

Result CountText(const TextCall& call) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("count", call.arguments, {"sub", "start", "end"}, 1));
  VN_ASSIGN_OR_RETURN(const std::string what, bound.TextOr(0, ""));
  VN_ASSIGN_OR_RETURN(const Window window, Within(call, bound, 1, 2));
  if (!window.valid) return Value::Int(0);
  if (what.empty()) return Value::Int(CountCharacters(window.text) + 1);
  int64_t count = 0;
  absl::string_view rest = window.text;
  for (size_t at = 0; (at = FindText(rest, what)) != absl::string_view::npos;
       rest.remove_prefix(at + what.size())) {
    ++count;
  }
  return Value::Int(count);
}

Result Replace(const TextCall& call) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("replace", call.arguments, {"old", "new", "count"}, 2));
  VN_ASSIGN_OR_RETURN(const std::string from, bound.TextOr(0, ""));
  VN_ASSIGN_OR_RETURN(const std::string to, bound.TextOr(1, ""));
  VN_ASSIGN_OR_RETURN(const int64_t count, bound.IntOr(2, -1));
  VN_ASSIGN_OR_RETURN(std::string text, ReplaceText(call.text(), from, to, count, call.budget));
  return call.Same(std::move(text));
}

Result Split(const TextCall& call, absl::string_view name, bool from_right) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind(name, call.arguments, {"sep", "maxsplit"}, 0));
  std::optional<std::string> separator;
  if (bound.HasValue(0)) {
    VN_ASSIGN_OR_RETURN(separator, bound.TextOr(0, ""));
    if (separator->empty()) return Bad("empty separator");
  }
  VN_ASSIGN_OR_RETURN(const int64_t max_splits, bound.IntOr(1, -1));
  if (!from_right || max_splits < 0) return SplitText(call.text(), separator, max_splits, call.budget);
  std::vector<Value> parts;
  absl::string_view rest = call.text();
  if (!separator.has_value()) rest = StripRight(rest);
  for (int64_t i = 0; i < max_splits && !rest.empty(); ++i) {
    if (separator.has_value()) {
      VN_ASSIGN_OR_RETURN(const size_t at, FindLast(rest, *separator, call.budget));
      if (at == absl::string_view::npos) break;
      VN_RETURN_IF_ERROR(call.budget.Spend(4));
      parts.push_back(Value::String(std::string(rest.substr(at + separator->size()))));
      rest = rest.substr(0, at);
      continue;
    }
    size_t begin = rest.size();
    while (begin > 0 && StripRight(rest.substr(0, begin)).size() == begin) {
      do --begin;
      while (begin > 0 && (static_cast<unsigned char>(rest[begin]) & 0xC0) == 0x80);
    }
    VN_RETURN_IF_ERROR(call.budget.Spend(4));
    parts.push_back(Value::String(std::string(rest.substr(begin))));
    rest = StripRight(rest.substr(0, begin));
  }
  if (separator.has_value() || !rest.empty()) parts.push_back(Value::String(std::string(rest)));
  std::reverse(parts.begin(), parts.end());
  return Value::Of(Sequence::Kind::kList, std::move(parts));
}

Result Partition(const TextCall& call, absl::string_view name, bool from_right) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, call.arguments, {"sep"}, 1));
  VN_ASSIGN_OR_RETURN(const std::string separator, bound.TextOr(0, ""));
  if (separator.empty()) return Bad("empty separator");
  const std::string& text = call.text();
  size_t at = FindText(text, separator);
  if (from_right && at != std::string::npos) {
    VN_ASSIGN_OR_RETURN(at, FindLast(text, separator, call.budget));
  }
  std::vector<Value> parts(3, Value::String(""));
  if (at == std::string::npos) {
    parts[from_right ? 2 : 0] = call.self;
  } else {
    parts[0] = Value::String(text.substr(0, at));
    parts[1] = Value::String(separator);
    parts[2] = Value::String(text.substr(at + separator.size()));
  }
  return Value::Of(Sequence::Kind::kTuple, std::move(parts));
}

Result Join(const TextCall& call) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("join", call.arguments, {"iterable"}, 1));
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(bound.Get(0), call.budget));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) {
      return Bad(
          absl::StrCat("sequence item ", i, ": expected str instance, ", items[i].TypeName(), " found"));
    }
    if (i > 0) text += call.text();
    text += items[i].text();
    if (static_cast<int64_t>(text.size()) > kMaxTextBytes) {
      return call.budget.SpendText(static_cast<int64_t>(text.size()));
    }
  }
  VN_RETURN_IF_ERROR(call.budget.SpendText(static_cast<int64_t>(text.size())));
  return call.Same(std::move(text));
}

Result Lines(const TextCall& call) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("splitlines", call.arguments, {"keepends"}, 0));
  std::vector<Value> lines;
  VN_ASSIGN_OR_RETURN(const std::vector<absl::string_view> all,
                      SplitLines(call.text(), bound.GetOr(0, Value::Bool(false)).Truth(), call.budget));
  for (const absl::string_view line : all) {
    lines.push_back(Value::String(std::string(line)));
  }
  return Value::Of(Sequence::Kind::kList, std::move(lines));
}

Result WithoutAffix(const TextCall& call, absl::string_view name, bool prefix) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, call.arguments, {"affix"}, 1));
  VN_ASSIGN_OR_RETURN(const std::string affix, bound.TextOr(0, ""));
  absl::string_view text = call.text();
  if (prefix) {
    absl::ConsumePrefix(&text, affix);
  } else {
    absl::ConsumeSuffix(&text, affix);
  }
  return call.Same(std::string(text));
}

Result Pad(const TextCall& call, absl::string_view name, char where) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind(name, call.arguments, {"width", "fillchar"}, 1));
  VN_ASSIGN_OR_RETURN(int64_t width, bound.IntOr(0, 0));
  width = std::max<int64_t>(0, width);
  VN_ASSIGN_OR_RETURN(const std::string fill, bound.TextOr(1, where == '0' ? "0" : " "));
  if (CountCharacters(fill) != 1) return Bad("The fill character must be exactly one character long");
  const int64_t missing = width - CountCharacters(call.text());
  if (missing <= 0) return call.self;
  VN_RETURN_IF_ERROR(
      call.budget.SpendText(std::min(missing, kMaxTextBytes) * static_cast<int64_t>(fill.size()) +
                            static_cast<int64_t>(call.text().size())));
  // Python puts the odd one of center() on the left when the width is odd too.
  const int64_t left = where == '<' ? 0 : where == '^' ? missing / 2 + (missing & width & 1) : missing;
  std::string text;
  absl::string_view rest = call.text();
  if (where == '0' && !rest.empty() && (rest.front() == '-' || rest.front() == '+')) {
    text.push_back(rest.front());
    rest.remove_prefix(1);
  }
  for (int64_t i = 0; i < left; ++i) text += fill;
  absl::StrAppend(&text, rest);
  for (int64_t i = left; i < missing; ++i) text += fill;
  return call.Same(std::move(text));
}

// Not empty, and every character has the property.
Result Every(const TextCall& call, absl::string_view name, bool (*holds)(char32_t)) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, call.arguments, {}, 0));
  bool all = !call.text().empty();
  ForEachCharacter(call.text(), [&](char32_t c, size_t, size_t) { all = all && holds(c); });
  return Value::Bool(all);
}

// Some cased character, and every cased one has the case.
Result InCase(const TextCall& call, absl::string_view name, bool (*holds)(char32_t)) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, call.arguments, {}, 0));
  bool any = false, all = true;
  ForEachCharacter(call.text(), [&](char32_t c, size_t, size_t) {
    if (!IsCased(c)) return;
    any = true;
    all = all && holds(c);
  });
  return Value::Bool(any && all);
}

struct NamedMethod {
  absl::string_view name;
  TextMethod call;  // null: str has it, templates do not get it
};

constexpr NamedMethod kTextMethods[] = {
    {"strip", [](const TextCall& c) { return StripSides(c, "strip", true, true); }},
    {"lstrip", [](const TextCall& c) { return StripSides(c, "lstrip", true, false); }},
    {"rstrip", [](const TextCall& c) { return StripSides(c, "rstrip", false, true); }},
    {"split", [](const TextCall& c) { return Split(c, "split", false); }},
    {"rsplit", [](const TextCall& c) { return Split(c, "rsplit", true); }},
    {"splitlines", Lines},
    {"partition", [](const TextCall& c) { return Partition(c, "partition", false); }},
    {"rpartition", [](const TextCall& c) { return Partition(c, "rpartition", true); }},
    {"startswith", [](const TextCall& c) { return StartsOrEnds(c, "startswith", true); }},
    {"endswith", [](const TextCall& c) { return StartsOrEnds(c, "endswith", false); }},
    {"removeprefix", [](const TextCall& c) { return WithoutAffix(c, "removeprefix", true); }},
    {"removesuffix", [](const TextCall& c) { return WithoutAffix(c, "removesuffix", false); }},
    {"replace", Replace},
    {"find", [](const TextCall& c) { return Find(c, "find", false, false); }},
    {"rfind", [](const TextCall& c) { return Find(c, "rfind", true, false); }},
    {"index", [](const TextCall& c) { return Find(c, "index", false, true); }},
    {"rindex", [](const TextCall& c) { return Find(c, "rindex", true, true); }},
    {"count", CountText},
    {"join", Join},
    {"format", [](const TextCall& c) { return FormatBraces(c.self, c.arguments, c.budget); }},
    {"upper", [](const TextCall& c) { return Mapped(c, "upper", Upper); }},
    {"lower", [](const TextCall& c) { return Mapped(c, "lower", Lower); }},
    {"title", [](const TextCall& c) { return Mapped(c, "title", Title); }},
    {"capitalize", [](const TextCall& c) { return Mapped(c, "capitalize", Capitalize); }},
    {"center", [](const TextCall& c) { return Pad(c, "center", '^'); }},
    {"ljust", [](const TextCall& c) { return Pad(c, "ljust", '<'); }},
    {"rjust", [](const TextCall& c) { return Pad(c, "rjust", '>'); }},
    {"zfill", [](const TextCall& c) { return Pad(c, "zfill", '0'); }},
    {"isspace", [](const TextCall& c) { return Every(c, "isspace", IsSpace); }},
    {"isalpha", [](const TextCall& c) { return Every(c, "isalpha", IsAlpha); }},
    {"isdigit", [](const TextCall& c) { return Every(c, "isdigit", IsDecimal); }},
    {"isdecimal", [](const TextCall& c) { return Every(c, "isdecimal", IsDecimal); }},
    {"isalnum",
     [](const TextCall& c) {
       return Every(c, "isalnum", [](char32_t ch) { return IsAlpha(ch) || IsDecimal(ch); });
     }},
    {"isupper", [](const TextCall& c) { return InCase(c, "isupper", IsUpper); }},
    {"islower", [](const TextCall& c) { return InCase(c, "islower", IsLower); }},
    {"encode", nullptr},
    {"expandtabs", nullptr},
    {"casefold", nullptr},
    {"format_map", nullptr},
    {"isascii", nullptr},
    {"isidentifier", nullptr},
    {"isnumeric", nullptr},
    {"isprintable", nullptr},
    {"istitle", nullptr},
    {"maketrans", nullptr},
    {"swapcase", nullptr},
    {"translate", nullptr},
};

const NamedMethod* FindTextMethod(absl::string_view name) {
  const auto* found = std::find_if(std::begin(kTextMethods), std::end(kTextMethods),
                                   [&](const NamedMethod& method) { return method.name == name; });
  return found == std::end(kTextMethods) ? nullptr : found;
}

}  // namespace

absl::StatusOr<Value> SplitText(absl::string_view text, const std::optional<std::string>& separator,
                                int64_t max_splits, Budget& budget) {
  std::vector<Value> parts;
  // A part takes some 90 bytes.
  const auto add = [&](absl::string_view part) {
    parts.push_back(Value::String(std::string(part)));
    return budget.Spend(4);
  };
  if (separator.has_value()) {
    absl::string_view rest = text;
    for (int64_t i = 0; max_splits < 0 || i < max_splits; ++i) {
      const size_t at = FindText(rest, *separator);
      if (at == absl::string_view::npos) break;
      VN_RETURN_IF_ERROR(add(rest.substr(0, at)));
      rest.remove_prefix(at + separator->size());
    }
    VN_RETURN_IF_ERROR(add(rest));
  } else {
    absl::string_view rest = StripLeft(text);
    for (int64_t i = 0; !rest.empty(); ++i) {
      if (max_splits >= 0 && i == max_splits) {
        VN_RETURN_IF_ERROR(add(StripRight(rest)));
        break;
      }
      size_t end = 0;
      while (end < rest.size()) {
        size_t size = 0;
        if (IsSpace(DecodeCharacter(rest, end, &size))) break;
        end += size;
      }
      VN_RETURN_IF_ERROR(add(rest.substr(0, end)));
      rest = StripLeft(rest.substr(end));
    }
  }
  VN_RETURN_IF_ERROR(budget.SpendLook(text));
  return Value::Of(Sequence::Kind::kList, std::move(parts));
}

absl::StatusOr<std::vector<absl::string_view>> SplitLines(absl::string_view text, bool keep_ends,
                                                          Budget& budget) {
  std::vector<absl::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    size_t size = 0;
    const char32_t c = DecodeCharacter(text, at, &size);
    const bool ends =
        (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) {
      at += size;
      continue;
    }
    size_t after = at + size;
    if (c == '\r' && after < text.size() && text[after] == '\n') ++after;
    VN_RETURN_IF_ERROR(budget.Spend(4));
    lines.push_back(text.substr(begin, (keep_ends ? after : at) - begin));
    begin = at = after;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

absl::StatusOr<std::string> ReplaceText(absl::string_view text, absl::string_view from, absl::string_view to,
                                        int64_t count, Budget& budget) {
  // Any negative count means all; the least has no predecessor.
  count = std::max<int64_t>(-1, count);
  std::string out;
  const auto put = [&](absl::string_view piece) -> absl::Status {
    absl::StrAppend(&out, piece);
    if (static_cast<int64_t>(out.size()) > kMaxTextBytes)
      return budget.SpendText(static_cast<int64_t>(out.size()));
    return absl::OkStatus();
  };
  absl::string_view rest = text;
  if (from.empty()) {  // before every character and at the end
    for (; count != 0; --count) {
      VN_RETURN_IF_ERROR(put(to));
      if (rest.empty()) break;
      size_t size = 0;
      DecodeCharacter(rest, 0, &size);
      VN_RETURN_IF_ERROR(put(rest.substr(0, size)));
      rest.remove_prefix(size);
    }
  } else {
    for (; count != 0; --count) {
      const size_t at = FindText(rest, from);
      if (at == absl::string_view::npos) break;
      VN_RETURN_IF_ERROR(put(rest.substr(0, at)));
      VN_RETURN_IF_ERROR(put(to));
      rest.remove_prefix(at + from.size());
    }
  }
  VN_RETURN_IF_ERROR(put(rest));
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(out.size())));
  return out;
}

bool IsTextMethod(absl::string_view name) { return FindTextMethod(name) != nullptr; }

absl::StatusOr<Value> CallTextMethod(const Value& text, absl::string_view name,
                                     const CallArguments& arguments, Budget& budget) {
  const NamedMethod* method = FindTextMethod(name);
  if (method == nullptr || method->call == nullptr) {
    return Bad(absl::StrCat("the method str.", name, " is not supported in chat templates"));
  }
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(text.text().size())));
  return method->call({text, arguments, budget});
}

}  // namespace vernier::data::jinja
