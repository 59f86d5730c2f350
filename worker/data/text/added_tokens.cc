#include "worker/data/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "worker/data/text/library_unicode.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

uint64_t EdgeKey(uint32_t node, char byte) { return uint64_t{node} << 8 | static_cast<unsigned char>(byte); }

// Where the character that ends at `end` > 0 begins.
size_t CharacterBefore(absl::string_view text, size_t end) {
  do --end;
  while (end > 0 && !IsCharacterBoundary(text, end));
  return end;
}

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

AddedTokenMatcher::AddedTokenMatcher(std::vector<Pattern> patterns)
    : patterns_(std::move(patterns)), ends_(1, -1) {
  for (size_t i = 0; i < patterns_.size(); ++i) {
    uint32_t node = 0;
    for (const char byte : patterns_[i].text) {
      const auto [edge, is_new] =
          edges_.try_emplace(EdgeKey(node, byte), static_cast<uint32_t>(ends_.size()));
      if (is_new) ends_.push_back(-1);
      node = edge->second;
    }
    if (ends_[node] < 0) ends_[node] = static_cast<int>(i);
    starts_[static_cast<unsigned char>(patterns_[i].text[0])] = true;
  }
}

int AddedTokenMatcher::LongestAt(absl::string_view text, size_t at) const {
  int longest = -1;
  uint32_t node = 0;
  for (; at < text.size(); ++at) {
    const auto edge = edges_.find(EdgeKey(node, text[at]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (ends_[node] >= 0) longest = ends_[node];
  }
  return longest;
}

std::vector<AddedTokenMatch> AddedTokenMatcher::Find(absl::string_view text) const {
  std::vector<AddedTokenMatch> found;
  size_t done = 0;  // everything before is in `found`
  for (size_t at = 0; at < text.size();) {
    const int token = starts_[static_cast<unsigned char>(text[at])] ? LongestAt(text, at) : -1;
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
    if (done < begin) found.push_back({done, begin, -1});
    found.push_back({begin, end, token});
    done = end;
  }
  if (done < text.size()) found.push_back({done, text.size(), -1});
  return found;
}

}  // namespace vernier::data
