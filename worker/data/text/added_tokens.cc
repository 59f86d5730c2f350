#include "worker/data/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

// Places between two looks at the budget.
constexpr size_t kPlacesPerLook = 256;

bool EndsWithWord(absl::string_view text) {
  size_t size = 0;
  return !text.empty() && IsWordCharacter(DecodeCharacter(text, CharacterBefore(text, text.size()), &size));
}

bool StartsWithWord(absl::string_view text) {
  size_t size = 0;
  return !text.empty() && IsWordCharacter(DecodeCharacter(text, 0, &size));
}

// Where the white space that ends at `end` begins, not before `from`.
size_t SpaceBefore(absl::string_view text, size_t from, size_t end) {
  while (end > from) {
    const size_t at = CharacterBefore(text, end);
    size_t size = 0;
    if (!IsWhiteSpace(DecodeCharacter(text, at, &size))) break;
    end = at;
  }
  return end;
}

size_t SpaceAfter(absl::string_view text, size_t at) {
  while (at < text.size()) {
    size_t size = 0;
    if (!IsWhiteSpace(DecodeCharacter(text, at, &size))) break;
    at += size;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {
  for (size_t i = 0; i < patterns_.size(); ++i) {
    trie_.Add(patterns_[i].text, static_cast<int32_t>(i));
    starts_[static_cast<unsigned char>(patterns_[i].text[0])] = true;
  }
}

absl::Status AddedTokenMatcher::Find(absl::string_view text, CpuBudget& budget,
                                     std::vector<AddedTokenMatch>* found) const {
  found->clear();
  size_t done = 0;  // everything before is in `found`
  size_t num_places = 0;
  for (size_t at = 0; at < text.size();) {
    int token = -1;
    if (starts_[static_cast<unsigned char>(text[at])]) {
      trie_.ForEachPrefix(text.substr(at), [&](size_t, int32_t pattern) { token = pattern; });
      if (++num_places % kPlacesPerLook == 0 && budget.Spent()) {
        return absl::InvalidArgumentError(
            absl::StrCat("looking for added tokens in this text takes more than ",
                         absl::FormatDuration(budget.limit()), " of CPU time; shorten it"));
      }
    }
    if (token < 0) {
      ++at;
      continue;
    }
    const Pattern& pattern = patterns_[static_cast<size_t>(token)];
    size_t begin = at;
    size_t end = at + pattern.text.size();
    // The search goes on behind the bare match, whether it counts or not, as the library does.
    at = end;
    if (pattern.single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end))))
      continue;
    if (pattern.lstrip) begin = std::min(std::max(SpaceBefore(text, done, begin), done), end);
    if (pattern.rstrip) end = SpaceAfter(text, end);
    if (done < begin) found->push_back({done, begin, -1});
    found->push_back({begin, end, token});
    done = end;
  }
  if (done < text.size()) found->push_back({done, text.size(), -1});
  return absl::OkStatus();
}

}  // namespace vernier::data
