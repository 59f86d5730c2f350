#include "worker/data/text/bpe.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr size_t kUsualBytes = 64;  // of a word, before memory is asked for

struct Candidate {
  uint32_t rank;
  uint32_t position;  // of the left symbol
  int32_t result;
  // A heap's front is its greatest: the lowest rank, then the leftmost.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

uint64_t PairKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

// A part of the word in the making; parts that were merged into the one before have no bytes.
struct Bpe::Symbol {
  int32_t id;
  uint32_t begin;
  uint32_t num_bytes;
  uint32_t previous, next;
};

Bpe::Bpe(Options options, const std::vector<BpeMerge>& merges)
    : options_(std::move(options)),
      has_fallback_(std::any_of(options_.bytes.begin(), options_.bytes.end(),
                                [](const std::optional<int32_t>& id) { return id.has_value(); })),
      cache_(std::make_unique<WordCache>()) {
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const BpeMerge& merge = merges[rank];
    merges_[PairKey(merge.left, merge.right)] = {static_cast<uint32_t>(rank), merge.result};
  }
}

const Bpe::Merge* Bpe::FindMerge(int32_t left, int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

absl::Status Bpe::Encode(absl::string_view word, CpuBudget& /*budget*/,
                         std::vector<WordToken>* tokens) const {
  if (!options_.whole_words.empty()) {
    if (const auto whole = options_.whole_words.find(word); whole != options_.whole_words.end()) {
      tokens->push_back({whole->second, 0});
      return absl::OkStatus();
    }
  }
  if (!options_.boundary) {
    EncodePart(word, 0, tokens);
    return absl::OkStatus();
  }
  size_t begin = 0;
  bool after_boundary = true;
  ForEachCharacter(word, [&](char32_t character, size_t at, size_t) {
    const bool is_boundary = character == *options_.boundary;
    if (is_boundary && !after_boundary) {
      EncodePart(word.substr(begin, at - begin), static_cast<uint32_t>(begin), tokens);
      begin = at;
    }
    after_boundary = is_boundary;
  });
  EncodePart(word.substr(begin), static_cast<uint32_t>(begin), tokens);
  return absl::OkStatus();
}

void Bpe::EncodePart(absl::string_view word, uint32_t base, std::vector<WordToken>* tokens) const {
  const size_t first = tokens->size();
  const bool may_cache = word.size() <= WordCache::kMaxWordBytes;
  if (!may_cache || !cache_->Find(word, tokens)) {
    MergeWord(word, tokens);
    if (may_cache) cache_->Add(word, *tokens, first);
  }
  if (base == 0) return;
  for (size_t i = first; i < tokens->size(); ++i) (*tokens)[i].begin += base;
}

template <typename Symbols>
void Bpe::AddByteSymbols(absl::string_view word, Symbols* symbols) const {
  bool after_unknown = false;
  for (uint32_t at = 0; at < word.size(); ++at) {
    const std::optional<int32_t> known = options_.bytes[static_cast<unsigned char>(word[at])];
    if (!known && !options_.unknown) continue;
    if (!known && after_unknown && options_.fuse_unknown) {
      ++symbols->back().num_bytes;
      continue;
    }
    after_unknown = !known;
    symbols->push_back({known ? *known : *options_.unknown, at, 1, 0, 0});
  }
}

template <typename Symbols>
void Bpe::AddCharacterSymbols(absl::string_view word, Symbols* symbols) const {
  bool after_unknown = false;
  const auto byte_at = [&](size_t at) { return options_.bytes[static_cast<unsigned char>(word[at])]; };
  ForEachCharacter(word, [&](char32_t character, size_t at, size_t size) {
    const auto begin = static_cast<uint32_t>(at);
    const auto num_bytes = static_cast<uint32_t>(size);
    const bool was_unknown = std::exchange(after_unknown, false);
    if (const auto known = options_.characters.find(character); known != options_.characters.end()) {
      symbols->push_back({known->second, begin, num_bytes, 0, 0});
      return;
    }
    bool falls_back = has_fallback_;
    for (size_t i = 0; i < size && falls_back; ++i) falls_back = byte_at(at + i).has_value();
    if (falls_back) {
      for (uint32_t i = 0; i < num_bytes; ++i) symbols->push_back({*byte_at(at + i), begin + i, 1, 0, 0});
      return;
    }
    if (!options_.unknown) return;
    after_unknown = true;
    if (was_unknown && options_.fuse_unknown) {
      symbols->back().num_bytes += num_bytes;
    } else {
      symbols->push_back({*options_.unknown, begin, num_bytes, 0, 0});
    }
  });
}

void Bpe::MergeWord(absl::string_view word, std::vector<WordToken>* tokens) const {
  absl::InlinedVector<Symbol, kUsualBytes> symbols;
  symbols.reserve(word.size());
  if (options_.by_bytes) {
    AddByteSymbols(word, &symbols);
  } else {
    AddCharacterSymbols(word, &symbols);
  }
  if (symbols.empty()) return;
  for (uint32_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = i == 0 ? kNone : i - 1;
    symbols[i].next = i + 1 == symbols.size() ? kNone : i + 1;
  }

  absl::InlinedVector<Candidate, kUsualBytes> heap;
  const auto consider = [&](uint32_t position) {
    const Symbol& left = symbols[position];
    const Merge* merge = FindMerge(left.id, symbols[left.next].id);
    if (merge == nullptr) return false;
    heap.push_back({merge->rank, position, merge->result});
    return true;
  };
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) consider(i);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[top.position];
    if (left.num_bytes == 0 || left.next == kNone) continue;
    Symbol& right = symbols[left.next];
    // The pair may have changed since it was put here. One that now gives the same token counts, at the old
    // rank: so does the library.
    const Merge* merge = FindMerge(left.id, right.id);
    if (merge == nullptr || merge->result != top.result) continue;
    left.id = top.result;
    left.num_bytes += right.num_bytes;
    left.next = right.next;
    right.num_bytes = 0;
    if (left.next != kNone) {
      symbols[left.next].previous = top.position;
      if (consider(top.position)) std::push_heap(heap.begin(), heap.end());
    }
    if (left.previous != kNone && consider(left.previous)) std::push_heap(heap.begin(), heap.end());
  }
  for (const Symbol& symbol : symbols) {
    if (symbol.num_bytes > 0) tokens->push_back({symbol.id, symbol.begin});
  }
}

}  // namespace vernier::data
