#define PCRE2_CODE_UNIT_WIDTH 8
#include "worker/data/text/jinja_unicode.h"

#include <pcre2.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace vernier::data::jinja {
namespace {

// Every `stride`-th character of [first, last] maps to itself + delta.
struct CaseRun {
  char32_t first, last;
  int stride;
  int delta;
};
// A character that maps to several.
struct CaseLong {
  char32_t character;
  const char* to;
};

#include "worker/data/text/jinja_case_tables.inc"

template <size_t kSize>
const CaseRun* FindRun(const CaseRun (&runs)[kSize], char32_t character) {
  const CaseRun* run = std::upper_bound(std::begin(runs), std::end(runs), character,
                                        [](char32_t c, const CaseRun& r) { return c < r.first; });
  // Runs of stride 2 may interleave, so the one before is looked at too.
  for (int back = 0; back < 2 && run != std::begin(runs); ++back) {
    --run;
    if (character <= run->last && (character - run->first) % run->stride == 0) return run;
  }
  return nullptr;
}

template <size_t kSize>
const char* FindLong(const CaseLong (&longs)[kSize], char32_t character) {
  const CaseLong* at = std::lower_bound(std::begin(longs), std::end(longs), character,
                                        [](const CaseLong& l, char32_t c) { return l.character < c; });
  return at != std::end(longs) && at->character == character ? at->to : nullptr;
}

void AppendUpper(char32_t character, std::string* out) {
  if (character < 0x80) {
    out->push_back(static_cast<char>(character >= 'a' && character <= 'z' ? character - 32 : character));
  } else if (const char* many = FindLong(kUpperLongs, character)) {
    out->append(many);
  } else {
    const CaseRun* run = FindRun(kUpperRuns, character);
    AppendCharacter(run == nullptr ? character : character + run->delta, out);
  }
}

void AppendTitle(char32_t character, std::string* out) {
  if (const char* many = FindLong(kTitleLongs, character)) {
    out->append(many);
  } else if (FindRun(kTitleSame, character) != nullptr) {
    AppendCharacter(character, out);
  } else if (const CaseRun* run = FindRun(kTitleRuns, character)) {
    AppendCharacter(character + run->delta, out);
  } else {
    AppendUpper(character, out);
  }
}

// U+0130 is the one character whose lower case is two characters.
constexpr char32_t kCapitalDottedI = 0x130;
constexpr char32_t kCapitalSigma = 0x3A3;
constexpr char32_t kFinalSigma = 0x3C2;

void AppendLowerSimple(char32_t character, std::string* out) {
  if (character < 0x80) {
    out->push_back(static_cast<char>(character >= 'A' && character <= 'Z' ? character + 32 : character));
  } else if (character == kCapitalDottedI) {
    out->append("i\xCC\x87");
  } else {
    const CaseRun* run = FindRun(kLowerRuns, character);
    AppendCharacter(run == nullptr ? character : character + run->delta, out);
  }
}

// One property of single characters, asked through PCRE2's Unicode tables. Thread-safe.
class CharacterClass {
 public:
  explicit CharacterClass(const char* pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, &error, &offset, nullptr);
    VN_CHECK(code_ != nullptr);
  }
  bool Holds(char32_t character) const {
    std::string text;
    AppendCharacter(character, &text);
    pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
    const int rc = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                               PCRE2_NO_UTF_CHECK, match, nullptr);
    pcre2_match_data_free(match);
    return rc >= 0;
  }

 private:
  pcre2_code* code_;  // lives as long as the process: the classes below are never destroyed
};

bool IsCaseIgnorable(char32_t character) {
  static const auto* const kClass = new CharacterClass("\\p{Case_Ignorable}");
  return kClass->Holds(character);
}

// The character before byte `at`, and where it starts.
char32_t CharacterBefore(absl::string_view text, size_t at, size_t* begin) {
  *begin = at - 1;
  while (*begin > 0 && (static_cast<unsigned char>(text[*begin]) & 0xC0) == 0x80) --*begin;
  size_t size = 0;
  return DecodeCharacter(text, *begin, &size);
}

// Whether a capital sigma in bytes [begin, end) ends a word (Unicode's Final_Sigma condition).
bool EndsWord(absl::string_view text, size_t begin, size_t end) {
  bool after_cased = false;
  for (size_t at = begin; at > 0 && !after_cased;) {
    const char32_t character = CharacterBefore(text, at, &at);
    if (IsCaseIgnorable(character)) continue;
    if (!IsCased(character)) return false;
    after_cased = true;
  }
  if (!after_cased) return false;
  while (end < text.size()) {
    size_t size = 0;
    const char32_t character = DecodeCharacter(text, end, &size);
    if (!IsCaseIgnorable(character)) return !IsCased(character);
    end += size;
  }
  return true;
}

std::string LowerFrom(absl::string_view text, bool capitalize) {
  std::string out;
  out.reserve(text.size());
  ForEachCharacter(text, [&](char32_t character, size_t begin, size_t size) {
    if (begin == 0 && capitalize) {
      AppendTitle(character, &out);
    } else if (character == kCapitalSigma && EndsWord(text, begin, begin + size)) {
      AppendCharacter(kFinalSigma, &out);
    } else {
      AppendLowerSimple(character, &out);
    }
  });
  return out;
}

bool Contains(absl::string_view chars, absl::string_view character) {
  if (!chars.empty()) return chars.find(character) != absl::string_view::npos;
  size_t size = 0;
  return IsSpace(DecodeCharacter(character, 0, &size));
}

}  // namespace

std::vector<absl::string_view> Characters(absl::string_view text) {
  std::vector<absl::string_view> characters;
  characters.reserve(text.size());
  ForEachCharacter(
      text, [&](char32_t, size_t begin, size_t size) { characters.push_back(text.substr(begin, size)); });
  return characters;
}

int64_t CountCharacters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

size_t OffsetOf(absl::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  }
  return at;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

size_t FindText(absl::string_view text, absl::string_view what) {
  // std::string_view::find tries `what` anew at each place: texts can be made for which that takes ages.
  const void* const at = ::memmem(text.data(), text.size(), what.data(), what.size());
  return at == nullptr ? absl::string_view::npos
                       : static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

absl::string_view StripLeft(absl::string_view text, absl::string_view chars) {
  while (!text.empty()) {
    size_t size = 0;
    DecodeCharacter(text, 0, &size);
    if (!Contains(chars, text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  return text;
}

absl::string_view StripRight(absl::string_view text, absl::string_view chars) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!Contains(chars, text.substr(begin))) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

absl::string_view Strip(absl::string_view text, absl::string_view chars) {
  return StripLeft(StripRight(text, chars), chars);
}

std::string Upper(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  ForEachCharacter(text, [&](char32_t character, size_t, size_t) { AppendUpper(character, &out); });
  return out;
}

std::string Lower(absl::string_view text) { return LowerFrom(text, false); }

std::string Capitalize(absl::string_view text) { return LowerFrom(text, true); }

std::string Title(absl::string_view text) {
  std::string out;
  absl::string_view rest = text;
  while (!rest.empty()) {
    size_t size = 0;
    const char32_t character = DecodeCharacter(rest, 0, &size);
    if (!IsCased(character)) {
      absl::StrAppend(&out, rest.substr(0, size));
      rest.remove_prefix(size);
      continue;
    }
    size_t end = 0;
    while (end < rest.size()) {
      size_t next = 0;
      if (!IsCased(DecodeCharacter(rest, end, &next))) break;
      end += next;
    }
    out += Capitalize(rest.substr(0, end));
    rest.remove_prefix(end);
  }
  return out;
}

bool IsUpper(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z';
  static const auto* const kClass = new CharacterClass("\\p{Uppercase}");
  return kClass->Holds(c);
}

bool IsLower(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  static const auto* const kClass = new CharacterClass("\\p{Lowercase}");
  return kClass->Holds(c);
}

bool IsCased(char32_t c) {
  if (c < 0x80) return IsUpper(c) || IsLower(c);
  static const auto* const kClass = new CharacterClass("[\\p{Uppercase}\\p{Lowercase}\\p{Lt}]");
  return kClass->Holds(c);
}

bool IsAlpha(char32_t c) {
  if (c < 0x80) return IsUpper(c) || IsLower(c);
  static const auto* const kClass = new CharacterClass("\\p{L}");
  return kClass->Holds(c);
}

bool IsDecimal(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  static const auto* const kClass = new CharacterClass("\\p{Nd}");
  return kClass->Holds(c);
}

bool IsPrintable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c != 0x7F;
  static const auto* const kClass = new CharacterClass("[\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}]");
  return kClass->Holds(c);
}

}  // namespace vernier::data::jinja
