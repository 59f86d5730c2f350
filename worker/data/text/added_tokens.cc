#include "worker/data/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "worker/data/text/library_unicode.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

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
  std::vector<Step> steps;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    uint32_t state = kRoot, depth = 0;
    for (const char c : patterns_[i].text) {
      const auto byte = static_cast<unsigned char>(c);
      const auto [edge, is_new] =
          edges_.try_emplace(uint64_t{state} << 8 | byte, static_cast<uint32_t>(states_.size()));
      ++depth;
      if (is_new) {
        steps.push_back({.from = state, .to = edge->second, .depth = depth, .byte = byte});
        states_.emplace_back();
      }
      state = edge->second;
    }
    if (states_[state].pattern < 0) states_[state].pattern = static_cast<int>(i);
    starts_[static_cast<unsigned char>(patterns_[i].text[0])] = true;
  }
  AddFailures(std::move(steps));
}

void AddedTokenMatcher::AddFailures(std::vector<Step> steps) {
  // What a state fails to is less deep.
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.depth < b.depth; });
  for (const Step& step : steps) {
    State& found = states_[step.to];
    found.fail = step.from == kRoot ? kRoot : Next(states_[step.from].fail, step.byte);
    if (found.pattern >= 0) {
      // A match that begins further left than any other: only a longer one from there can replace it.
      found.fail = kDead;
    } else if (found.fail != kDead) {
      // A pattern that ends here and begins later. It counts unless the text goes on along this path.
      found.pattern = states_[found.fail].pattern;
    }
  }
}

uint32_t AddedTokenMatcher::Next(uint32_t state, unsigned char byte) const {
  while (state != kDead) {
    if (state == kRoot && !starts_[byte]) return kRoot;
    const auto edge = edges_.find(uint64_t{state} << 8 | byte);
    if (edge != edges_.end()) return edge->second;
    state = states_[state].fail;
  }
  return kDead;
}

AddedTokenMatcher::Hit AddedTokenMatcher::Search(absl::string_view text, size_t at) const {
  Hit hit;
  for (uint32_t state = kRoot; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (state == kRoot && !starts_[byte]) continue;
    state = Next(state, byte);
    if (state == kDead) break;
    if (states_[state].pattern >= 0) hit = {states_[state].pattern, at + 1};
  }
  return hit;
}

void AddedTokenMatcher::Find(absl::string_view text, std::vector<AddedTokenMatch>* found) const {
  found->clear();
  size_t done = 0;  // everything before is in `found`
  for (Hit hit = Search(text, 0); hit.pattern >= 0; hit = Search(text, hit.end)) {
    // The search goes on behind the bare match, whether it counts or not, as the library does.
    const Pattern& pattern = patterns_[static_cast<size_t>(hit.pattern)];
    size_t end = hit.end;
    size_t begin = end - pattern.text.size();
    if (pattern.single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end))))
      continue;
    if (pattern.lstrip) begin = std::min(std::max(SpaceBefore(text, done, begin), done), end);
    if (pattern.rstrip) end = SpaceAfter(text, end);
    if (done < begin) found->push_back({done, begin, -1});
    found->push_back({begin, end, hit.pattern});
    done = end;
  }
  if (done < text.size()) found->push_back({done, text.size(), -1});
}

}  // namespace vernier::data
