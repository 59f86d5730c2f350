// PatternForPcre2: reads a pattern left to right and writes PCRE2's spelling of each piece.
// Source: Oniguruma's doc/RE (Ruby syntax) and pcre2pattern(3).
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/split_pattern.h"

namespace vernier::data {
namespace {

// Inside [...]: what Oniguruma's \w matches. The first numbers are its own addition to Unicode's word
// characters.
constexpr absl::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})"
    R"(\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

constexpr absl::string_view kCategories[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc",
                                             "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps",
                                             "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So",
                                             "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cn"};
constexpr std::pair<absl::string_view, absl::string_view> kLongNames[] = {{"Letter", "L"},
                                                                          {"Mark", "M"},
                                                                          {"Number", "N"},
                                                                          {"Punctuation", "P"},
                                                                          {"Symbol", "S"},
                                                                          {"Separator", "Z"},
                                                                          {"Other", "C"},
                                                                          {"Han", "sc:Han"},
                                                                          {"Hangul", "sc:Hangul"},
                                                                          {"Hiragana", "sc:Hiragana"},
                                                                          {"Katakana", "sc:Katakana"}};
// One character that equals these two when case is ignored, in Oniguruma only.
constexpr absl::string_view kFoldedPairs[] = {"ss", "ff", "fi", "fl", "st"};

class Translator {
 public:
  explicit Translator(absl::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < in_.size()) VN_RETURN_IF_ERROR(Piece());
    return std::move(out_);
  }

 private:
  absl::Status Refuse(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(what, " is not supported, at byte ", at_,
                                                   " of the split pattern \"", Excerpt(in_), "\""));
  }
  bool Next(absl::string_view text) const { return absl::StartsWith(in_.substr(at_), text); }
  void Take(size_t count, absl::string_view spelling) {
    at_ += count;
    absl::StrAppend(&out_, spelling);
  }
  bool ignores_case() const { return !ignores_case_.empty() && ignores_case_.back(); }

  absl::Status Piece() {
    const char c = in_[at_];
    switch (c) {
      case '\\':
        return Escape(/*in_class=*/false);
      case '[':
        return Class();
      case '(':
        return Open();
      case ')':
        if (!ignores_case_.empty()) ignores_case_.pop_back();
        Take(1, ")");
        return absl::OkStatus();
      case '^':
        return Refuse("\"^\"");
      case '$':  // the end of any line
        Take(1, R"((?=\n|\z))");
        return absl::OkStatus();
      case '*':
      case '+':
      case '?':
        Take(1, in_.substr(at_, 1));
        if (Next("?") || Next("+")) Take(1, in_.substr(at_, 1));
        return Repeated();
      case '{':
        return Interval();
      default:
        return Literal();
    }
  }

  absl::Status Character() {
    if (ignores_case() && !absl::ascii_isascii(static_cast<unsigned char>(in_[at_]))) {
      return Refuse("a character beyond ASCII inside (?i:");
    }
    Take(1, in_.substr(at_, 1));
    return absl::OkStatus();
  }

  absl::Status Literal() {
    if (ignores_case()) {
      for (const absl::string_view pair : kFoldedPairs) {
        if (absl::EqualsIgnoreCase(in_.substr(at_, 2), pair))
          return Refuse(absl::StrCat("\"", pair, "\" inside (?i:"));
      }
    }
    return Character();
  }

  // A second quantifier on a quantified piece means different things.
  absl::Status Repeated() const {
    if (at_ < in_.size() && absl::StrContains("*+?", in_.substr(at_, 1))) {
      return Refuse("a repeated repeat");
    }
    return absl::OkStatus();
  }

  absl::Status Interval() {
    size_t end = at_ + 1;
    while (end < in_.size() && (absl::ascii_isdigit(static_cast<unsigned char>(in_[end])) || in_[end] == ','))
      ++end;
    const absl::string_view body = in_.substr(at_ + 1, end - at_ - 1);
    if (end >= in_.size() || in_[end] != '}' || body.empty() || body == "," ||
        std::count(body.begin(), body.end(), ',') > 1) {
      Take(1, R"(\{)");  // not an interval: itself
      return absl::OkStatus();
    }
    Take(end + 1 - at_, absl::StrCat("{", body[0] == ',' ? "0" : "", body, "}"));
    // {n}? is "n or none" there and "n, lazily" here.
    if (Next("?") && absl::StrContains(body, ',')) Take(1, "?");
    return Repeated();
  }

  absl::Status Open() {
    static constexpr absl::string_view kSame[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    for (const absl::string_view group : kSame) {
      if (!Next(group)) continue;
      ignores_case_.push_back(ignores_case());
      Take(group.size(), group);
      return absl::OkStatus();
    }
    if (Next("(?i:")) {
      ignores_case_.push_back(true);
      Take(4, "(?i:");
      return absl::OkStatus();
    }
    if (Next("(?")) return Refuse(absl::StrCat("the group \"", Excerpt(in_.substr(at_, 4)), "\""));
    ignores_case_.push_back(ignores_case());
    Take(1, "(?:");
    return absl::OkStatus();
  }

  absl::Status Class() {
    Take(1, "[");
    if (Next("^")) Take(1, "^");
    if (Next("]")) return Refuse("an empty class or one that starts with \"]\"");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (Next("[")) return Refuse("\"[\" inside a class (write \"\\[\"), nested classes and [:names:]");
      if (Next("&&")) return Refuse("the intersection \"&&\"");
      if (Next("\\")) {
        VN_RETURN_IF_ERROR(Escape(/*in_class=*/true));
      } else {
        VN_RETURN_IF_ERROR(Character());
      }
    }
    if (at_ == in_.size()) return Refuse("a class without \"]\"");
    Take(1, "]");
    return absl::OkStatus();
  }

  absl::Status Escape(bool in_class) {
    if (at_ + 1 == in_.size()) return Refuse("a backslash at the end");
    const char c = in_[at_ + 1];
    switch (c) {
      case 's':
      case 'S':
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'e':
      case 'a':
        Take(2, in_.substr(at_, 2));
        return absl::OkStatus();
      case 'v':  // a single character there, all vertical space here
        Take(2, R"(\x0B)");
        return absl::OkStatus();
      case 'w':
        Take(2, in_class ? std::string(kWord) : absl::StrCat("[", kWord, "]"));
        return absl::OkStatus();
      case 'W':
        if (in_class) return Refuse("\"\\W\" inside a class");
        Take(2, absl::StrCat("[^", kWord, "]"));
        return absl::OkStatus();
      case 'b':
      case 'B': {
        if (in_class) return Refuse("\"\\b\" inside a class");
        const std::string yes = absl::StrCat("[", kWord, "]");
        const absl::string_view inner = c == 'b' ? "!" : "=";
        const absl::string_view outer = c == 'b' ? "=" : "!";
        Take(2, absl::StrCat("(?:(?<=", yes, ")(?", inner, yes, ")|(?<!", yes, ")(?", outer, yes, "))"));
        return absl::OkStatus();
      }
      case 'A':
      case 'z':
        if (in_class) return Refuse(absl::StrCat("\"\\", absl::string_view(&c, 1), "\" inside a class"));
        Take(2, in_.substr(at_, 2));
        return absl::OkStatus();
      case 'p':
      case 'P':
        return Property(c);
      case 'x':
      case 'u':
        return Code(c);
      default:
        if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
          return Refuse(absl::StrCat("\"\\", absl::string_view(&c, 1), "\""));
        }
        if (!absl::ascii_isascii(static_cast<unsigned char>(c))) {
          Take(1, "");  // the character itself
        } else {
          Take(2, in_.substr(at_, 2));
        }
        return absl::OkStatus();
    }
  }

  absl::Status Property(char letter) {
    const size_t close = in_.find('}', at_);
    if (in_.substr(at_ + 2, 1) != "{" || close == absl::string_view::npos)
      return Refuse("\"\\p\" without {name}");
    if (ignores_case()) return Refuse("\"\\p\" inside (?i:");
    absl::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    bool negated = letter == 'P';
    if (absl::ConsumePrefix(&name, "^")) negated = !negated;
    absl::string_view ours;
    for (const absl::string_view category : kCategories) {
      if (absl::EqualsIgnoreCase(name, category)) ours = category;
    }
    for (const auto& [long_name, spelling] : kLongNames) {
      if (absl::EqualsIgnoreCase(name, long_name)) ours = spelling;
    }
    if (ours.empty()) {
      return Refuse(absl::StrCat("the property \"", Excerpt(name), "\" (supported: ",
                                 absl::StrJoin(kCategories, " "), " Han Hangul Hiragana Katakana)"));
    }
    Take(close + 1 - at_, absl::StrCat(negated ? "\\P{" : "\\p{", ours, "}"));
    return absl::OkStatus();
  }

  // \xHH, \x{H...}, \uHHHH.
  absl::Status Code(char letter) {
    size_t begin = at_ + 2;
    const bool braced = letter == 'x' && in_.substr(begin, 1) == "{";
    if (braced) ++begin;
    const size_t most = letter == 'u' ? 4 : braced ? 8 : 2;
    size_t end = begin;
    while (end < in_.size() && end < begin + most &&
           absl::ascii_isxdigit(static_cast<unsigned char>(in_[end])))
      ++end;
    if (end == begin || (letter == 'u' && end - begin != 4) || (braced && in_.substr(end, 1) != "}")) {
      return Refuse(absl::StrCat("the escape \"", Excerpt(in_.substr(at_, 4)), "\""));
    }
    const std::string digits(in_.substr(begin, end - begin));
    // Without braces it is a byte there, a character here.
    if (letter == 'x' && !braced && std::stoul(digits, nullptr, 16) > 0x7F) {
      return Refuse("\"\\x\" beyond 7F without {}");
    }
    Take(end + (braced ? 1 : 0) - at_, absl::StrCat("\\x{", digits, "}"));
    return absl::OkStatus();
  }

  const absl::string_view in_;
  size_t at_ = 0;
  std::string out_;
  std::vector<bool> ignores_case_;  // of each open group
};

}  // namespace

absl::StatusOr<std::string> PatternForPcre2(absl::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace vernier::data
