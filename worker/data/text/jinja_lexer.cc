#include "worker/data/text/jinja_lexer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return absl::ascii_isalpha(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool IsNamePart(char c) { return IsNameStart(c) || IsDigit(c); }

// "\r\n" and "\r" become "\n"; one line break at the end goes (keep_trailing_newline is off).
std::string NormalizeNewlines(absl::string_view text) {
  std::string out = absl::StrReplaceAll(text, {{"\r\n", "\n"}, {"\r", "\n"}});
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(absl::string_view text) : source_(NormalizeNewlines(text)), rest_(source_) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (!rest_.empty()) VN_RETURN_IF_ERROR(Root());
    Add(Token::Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  absl::Status Fail(absl::string_view reason) const { return ErrorAt(line_, reason); }

  Token& Add(Token::Kind kind, std::string text = {}) {
    Token token;
    token.kind = kind;
    token.text = std::move(text);
    token.line = line_;
    tokens_.push_back(std::move(token));
    return tokens_.back();
  }

  void Skip(size_t size) {
    const absl::string_view skipped = rest_.substr(0, size);
    line_ += static_cast<int>(std::count(skipped.begin(), skipped.end(), '\n'));
    if (size > 0) line_starting_ = skipped.back() == '\n';
    rest_.remove_prefix(size);
  }

  // Text up to the next tag, then the tag.
  absl::Status Root() {
    size_t at = 0;
    for (;; ++at) {
      at = rest_.find('{', at);
      if (at == absl::string_view::npos || at + 1 >= rest_.size()) {
        AddData(rest_);
        Skip(rest_.size());
        return absl::OkStatus();
      }
      if (rest_[at + 1] == '{' || rest_[at + 1] == '%' || rest_[at + 1] == '#') break;
    }
    absl::string_view data = rest_.substr(0, at);
    const char kind = rest_[at + 1];
    const char sign = at + 2 < rest_.size() ? rest_[at + 2] : '\0';
    AddData(StripBefore(data, sign, kind == '{'));
    Skip(at + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (kind == '#') return Comment();
    if (kind == '{') return Tag(Token::Kind::kVariableBegin, Token::Kind::kVariableEnd, "}}");
    if (const size_t size = RawSize(rest_); size > 0) {
      Skip(size);
      return Raw();
    }
    return Tag(Token::Kind::kBlockBegin, Token::Kind::kBlockEnd, "%}");
  }

  void AddData(absl::string_view data) {
    if (!data.empty()) Add(Token::Kind::kData, std::string(data));
  }

  // What stays of the text before a tag: all, less the white space that '-' or lstrip_blocks takes.
  absl::string_view StripBefore(absl::string_view data, char sign, bool variable) const {
    if (sign == '-') return StripRight(data);
    if (sign == '+' || variable) return data;
    const size_t newline = data.rfind('\n');
    const size_t begin = newline == absl::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !line_starting_) return data;
    return Strip(data.substr(begin)).empty() ? data.substr(0, begin) : data;
  }

  // Size of "-%}", "+%}" or "%}" with the white space that goes with it; 0 when rest_ does not start so.
  size_t EndSize(absl::string_view text, absl::string_view end, bool variable) const {
    if (absl::StartsWith(text, "-") && absl::StartsWith(text.substr(1), end)) {
      const absl::string_view after = text.substr(1 + end.size());
      return 1 + end.size() + (after.size() - StripLeft(after).size());
    }
    if (variable) return absl::StartsWith(text, end) ? end.size() : 0;
    if (absl::StartsWith(text, "+") && absl::StartsWith(text.substr(1), end)) return 1 + end.size();
    if (!absl::StartsWith(text, end)) return 0;
    return end.size() + (absl::StartsWith(text.substr(end.size()), "\n") ? 1 : 0);  // trim_blocks
  }

  absl::Status Comment() {
    for (size_t at = 0; at < rest_.size(); ++at) {
      if (const size_t size = EndSize(rest_.substr(at), "#}", false); size > 0) {
        Skip(at + size);
        return absl::OkStatus();
      }
    }
    return Fail("the comment has no end (#})");
  }

  // Size of " raw %}" after "{%"; 0 when the tag is another.
  static size_t RawSize(absl::string_view text) {
    absl::string_view after = StripLeft(text);
    if (!absl::ConsumePrefix(&after, "raw")) return 0;
    after = StripLeft(after);
    if (absl::ConsumePrefix(&after, "-%}")) {
      after = StripLeft(after);
    } else if (!absl::ConsumePrefix(&after, "%}")) {
      return 0;
    }
    return text.size() - after.size();
  }

  absl::Status Raw() {
    for (size_t at = rest_.find("{%"); at != absl::string_view::npos; at = rest_.find("{%", at + 1)) {
      absl::string_view tag = rest_.substr(at + 2);
      const char sign = tag.empty() ? '\0' : tag.front();
      if (sign == '-' || sign == '+') tag.remove_prefix(1);
      tag = StripLeft(tag);
      if (!absl::ConsumePrefix(&tag, "endraw")) continue;
      tag = StripLeft(tag);
      const size_t end = EndSize(tag, "%}", false);
      if (end == 0) continue;
      AddData(StripBefore(rest_.substr(0, at), sign, false));
      Skip(rest_.size() - tag.size() + end);
      return absl::OkStatus();
    }
    return Fail("the raw block has no end ({% endraw %})");
  }

  absl::Status Tag(Token::Kind begin, Token::Kind end, absl::string_view closing) {
    Add(begin);
    std::string open;  // closing brackets still to come
    while (true) {
      if (rest_.empty()) return Fail(absl::StrCat("the tag has no end (", closing, ")"));
      if (open.empty()) {
        if (const size_t size = EndSize(rest_, closing, end == Token::Kind::kVariableEnd); size > 0) {
          Add(end);
          Skip(size);
          return absl::OkStatus();
        }
      }
      if (const size_t space = rest_.size() - StripLeft(rest_).size(); space > 0) {
        Skip(space);
      } else if (IsDigit(rest_.front())) {
        VN_RETURN_IF_ERROR(Number());
      } else if (IsNameStart(rest_.front())) {
        size_t size = 1;
        while (size < rest_.size() && IsNamePart(rest_[size])) ++size;
        Add(Token::Kind::kName, std::string(rest_.substr(0, size)));
        Skip(size);
      } else if (rest_.front() == '\'' || rest_.front() == '"') {
        VN_RETURN_IF_ERROR(String());
      } else {
        VN_RETURN_IF_ERROR(Operator(&open));
      }
    }
  }

  absl::Status Operator(std::string* open) {
    static constexpr absl::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                       "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                       ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const absl::string_view text : kOperators) {
      if (!absl::StartsWith(rest_, text)) continue;
      const char c = text.front();
      if (c == '(' || c == '[' || c == '{') open->push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      if (c == ')' || c == ']' || c == '}') {
        if (open->empty()) return Fail(absl::StrCat("unexpected '", text, "'"));
        if (open->back() != c) {
          return Fail(
              absl::StrCat("unexpected '", text, "', expected '", open->substr(open->size() - 1), "'"));
        }
        open->pop_back();
      }
      Add(Token::Kind::kOperator, std::string(text));
      Skip(text.size());
      return absl::OkStatus();
    }
    size_t size = 0;
    DecodeCharacter(rest_, 0, &size);
    return Fail(absl::StrCat("unexpected character ", Excerpt(rest_.substr(0, size))));
  }

  // Digits from `at`, with single underscores between them; 0 when there is none.
  size_t DigitsSize(size_t at) const {
    size_t end = at;
    while (end < rest_.size() &&
           (IsDigit(rest_[end]) || (rest_[end] == '_' && end > at && IsDigit(rest_[end - 1]) &&
                                    end + 1 < rest_.size() && IsDigit(rest_[end + 1])))) {
      ++end;
    }
    return end - at;
  }

  absl::Status Number() {
    const bool after_dot =
        !tokens_.empty() && tokens_.back().kind == Token::Kind::kOperator && tokens_.back().text == ".";
    size_t size = DigitsSize(0);
    bool is_float = false;
    if (!after_dot) {
      if (size < rest_.size() && rest_[size] == '.' && DigitsSize(size + 1) > 0) {
        size += 1 + DigitsSize(size + 1);
        is_float = true;
      }
      if (size < rest_.size() && (rest_[size] == 'e' || rest_[size] == 'E')) {
        const size_t sign =
            size + 1 < rest_.size() && (rest_[size + 1] == '+' || rest_[size + 1] == '-') ? 1 : 0;
        if (const size_t digits = DigitsSize(size + 1 + sign); digits > 0) {
          size += 1 + sign + digits;
          is_float = true;
        }
      }
    }
    const std::string text = absl::StrReplaceAll(rest_.substr(0, size), {{"_", ""}});
    Token token;
    token.line = line_;
    token.kind = is_float ? Token::Kind::kFloat : Token::Kind::kInteger;
    if (is_float) {
      if (!absl::SimpleAtod(text, &token.number)) return Fail(absl::StrCat("bad number ", Excerpt(text)));
    } else if (text.size() > 1 && text.front() == '0' && text.find_first_not_of('0') != std::string::npos) {
      return Fail(absl::StrCat("bad number ", Excerpt(text), ": a leading zero"));
    } else if (size < rest_.size() && IsNameStart(rest_[size])) {
      return Fail(absl::StrCat("bad number ", Excerpt(rest_.substr(0, size + 1)),
                               "; only decimal numbers are supported"));
    } else if (!absl::SimpleAtoi(text, &token.integer)) {
      return Fail(absl::StrCat("the number ", Excerpt(text), " does not fit into 64 bits"));
    }
    tokens_.push_back(std::move(token));
    Skip(size);
    return absl::OkStatus();
  }

  absl::Status String() {
    const char quote = rest_.front();
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) return Fail("the string has no end");
    VN_ASSIGN_OR_RETURN(std::string value, Unescape(rest_.substr(1, end - 1)));
    Add(Token::Kind::kString, std::move(value));
    Skip(end + 1);
    return absl::OkStatus();
  }

  // The escapes of a Python string literal.
  absl::StatusOr<std::string> Unescape(absl::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        out.push_back(text[i]);
        continue;
      }
      const char c = text[++i];
      static constexpr absl::string_view kFrom = "\\'\"abfnrtv";
      static constexpr absl::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
      if (const size_t at = kFrom.find(c); at != absl::string_view::npos) {
        out.push_back(kTo[at]);
      } else if (c == '\n') {
        continue;
      } else if (c >= '0' && c <= '7') {
        char32_t value = 0;
        size_t digits = 0;
        while (digits < 3 && i + digits < text.size() && text[i + digits] >= '0' && text[i + digits] <= '7') {
          value = value * 8 + static_cast<char32_t>(text[i + digits++] - '0');
        }
        i += digits - 1;
        AppendCharacter(value, &out);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        uint32_t value = 0;
        const absl::string_view hex = text.substr(i + 1, digits);
        if (hex.size() != digits || !absl::SimpleHexAtoi(hex, &value) || !absl::ascii_isxdigit(hex[0]) ||
            !absl::ascii_isxdigit(hex[1]) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
          return Fail(absl::StrCat("bad escape \\", text.substr(i, 1 + digits), " in a string"));
        }
        i += digits;
        AppendCharacter(value, &out);
      } else if (c == 'N') {
        return Fail("the escape \\N{...} is not supported; write the character");
      } else {
        out.push_back('\\');
        out.push_back(c);
      }
    }
    return out;
  }

  const std::string source_;
  absl::string_view rest_;
  std::vector<Token> tokens_;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

absl::Status ErrorAt(int line, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", reason));
}

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view text) {
  if (const size_t at = FirstInvalidUtf8(text); at != absl::string_view::npos) {
    return ErrorAt(
        1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n')),
        "not UTF-8");
  }
  return Lexer(text).Run();
}

}  // namespace vernier::data::jinja
