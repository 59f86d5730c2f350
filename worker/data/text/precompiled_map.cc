#include "worker/data/text/precompiled_map.h"

#include <utf8proc.h>

#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kMaxMapBytes = 64 << 20;
// The library looks for a rule for a whole grapheme only below this.
constexpr size_t kMaxGraphemeBytes = 6;

// A unit of the double array.
bool HasLeaf(uint32_t unit) { return ((unit >> 8) & 1) == 1; }
uint32_t Value(uint32_t unit) { return unit & 0x7FFFFFFFU; }
uint32_t Label(uint32_t unit) { return unit & 0x800000FFU; }
uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }

// The end of the grapheme that begins at `at`.
size_t GraphemeEnd(absl::string_view text, size_t at) {
  utf8proc_int32_t state = 0;
  size_t size = 0;
  char32_t character = DecodeCharacter(text, at, &size);
  while (at + size < text.size()) {
    at += size;
    const char32_t next = DecodeCharacter(text, at, &size);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(character),
                                         static_cast<utf8proc_int32_t>(next), &state)) {
      return at;
    }
    character = next;
  }
  return text.size();
}

// The library's list of changes: each new character replaces (0), is added (1), or replaces and also takes
// away as many more old ones as it is below 0.
struct Change {
  char32_t character;
  int change;
};

void AddReplacement(absl::string_view old_text, absl::string_view new_text, std::vector<Change>* changes) {
  int difference = 0;
  ForEachCharacter(old_text, [&](char32_t, size_t, size_t) { --difference; });
  ForEachCharacter(new_text, [&](char32_t character, size_t, size_t) {
    ++difference;
    changes->push_back({character, 0});
  });
  for (int i = 0; i < difference; ++i) (*changes)[changes->size() - 1 - static_cast<size_t>(i)].change = 1;
  // Nothing may stand before the first one removed; the library then loses count, and so its offsets.
  if (difference < 0 && !changes->empty()) changes->back().change += difference;
}

absl::Status ApplyChanges(const std::vector<Change>& changes, AlignedText& aligned) {
  const absl::string_view text = aligned.text();
  AlignedText::Editor editor(aligned);
  size_t at = 0;        // the next old character
  size_t previous = 0;  // the one before it
  size_t size = 0;
  for (const Change& change : changes) {
    if (change.change > 0 || at >= text.size()) {
      editor.Insert(change.character, previous);
      continue;
    }
    if (DecodeCharacter(text, at, &size) == change.character) {
      editor.Keep(at, at + size);
    } else {
      editor.Insert(change.character, at);
    }
    for (int taken = 0; taken <= -change.change && at < text.size(); ++taken) {
      DecodeCharacter(text, at, &size);
      previous = at;
      at += size;
    }
  }
  return editor.Finish();
}

}  // namespace

absl::StatusOr<PrecompiledMap> PrecompiledMap::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxMapBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", bytes.size(), " bytes, more than the limit of ", kMaxMapBytes));
  }
  uint32_t trie_bytes = 0;
  if (bytes.size() >= sizeof(trie_bytes)) std::memcpy(&trie_bytes, bytes.data(), sizeof(trie_bytes));
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > bytes.size() - sizeof(trie_bytes)) {
    return absl::InvalidArgumentError("is damaged: the size of its trie does not fit");
  }
  PrecompiledMap map;
  map.units_.resize(trie_bytes / 4);
  std::memcpy(map.units_.data(), bytes.data() + 4, trie_bytes);
  map.replacements_ = std::string(bytes.substr(4 + trie_bytes));
  if (FirstInvalidUtf8(map.replacements_) != absl::string_view::npos) {
    return absl::InvalidArgumentError("is damaged: its replacements are not UTF-8");
  }
  return map;
}

std::optional<absl::string_view> PrecompiledMap::Find(absl::string_view text) const {
  size_t node = Offset(units_[0]);
  for (const char byte : text) {
    if (byte == '\0') return std::nullopt;
    const uint32_t label = static_cast<unsigned char>(byte);
    node ^= label;
    if (node >= units_.size() || Label(units_[node]) != label) return std::nullopt;
    const uint32_t unit = units_[node];
    node ^= Offset(unit);
    if (!HasLeaf(unit)) continue;
    if (node >= units_.size()) return std::nullopt;
    const size_t begin = Value(units_[node]);
    // A value that points inside a character belongs to a damaged map.
    if (begin > replacements_.size() || !IsCharacterBoundary(replacements_, begin)) return std::nullopt;
    const size_t end = replacements_.find('\0', begin);
    return absl::string_view(replacements_).substr(begin, end == std::string::npos ? end : end - begin);
  }
  return std::nullopt;
}

absl::Status PrecompiledMap::Apply(AlignedText& aligned) const {
  const absl::string_view text = aligned.text();
  std::vector<Change> changes;
  bool changed = false;
  const auto apply = [&](absl::string_view part) {
    const std::optional<absl::string_view> replacement = Find(part);
    if (!replacement) return false;
    AddReplacement(part, *replacement, &changes);
    return changed = true;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t end = GraphemeEnd(text, at);
    const absl::string_view grapheme = text.substr(at, end - at);
    if (grapheme.size() >= kMaxGraphemeBytes || !apply(grapheme)) {
      ForEachCharacter(grapheme, [&](char32_t character, size_t begin, size_t size) {
        if (!apply(grapheme.substr(begin, size))) changes.push_back({character, 0});
      });
    }
    at = end;
  }
  return changed ? ApplyChanges(changes, aligned) : absl::OkStatus();
}

}  // namespace vernier::data
