#include "worker/data/text/bpe.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"

namespace vernier::data {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr size_t kUsualBytes = 64;  // of a word, before memory is asked for

// A part of the word in the making; parts that were merged into the one before have no bytes.
struct Symbol {
  int32_t id;
  uint32_t begin;
  uint32_t num_bytes;
  uint32_t previous, next;
};

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

Bpe::Bpe(Options options, const std::vector<BpeMerge>& merges)
    : options_(std::move(options)), cache_(std::make_unique<std::array<Shard, kNumShards>>()) {
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

void Bpe::Encode(absl::string_view word, std::vector<BpeToken>* tokens) const {
  if (!options_.whole_words.empty()) {
    if (const auto whole = options_.whole_words.find(word); whole != options_.whole_words.end()) {
      tokens->push_back({whole->second, 0});
      return;
    }
  }
  if (word.size() > kMaxCachedBytes) {
    MergeWord(word, tokens);
    return;
  }
  Shard& shard = (*cache_)[absl::Hash<absl::string_view>{}(word) % kNumShards];
  {
    MutexLock lock(shard.mutex);
    if (const auto known = shard.words.find(word); known != shard.words.end()) {
      tokens->insert(tokens->end(), known->second.begin(), known->second.end());
      return;
    }
  }
  const auto first = static_cast<std::ptrdiff_t>(tokens->size());
  MergeWord(word, tokens);
  MutexLock lock(shard.mutex);
  if (shard.words.size() >= kMaxShardWords) shard.words.clear();
  shard.words.try_emplace(word, tokens->begin() + first, tokens->end());
}

void Bpe::MergeWord(absl::string_view word, std::vector<BpeToken>* tokens) const {
  absl::InlinedVector<Symbol, kUsualBytes> symbols;
  symbols.reserve(word.size());
  bool after_unknown = false;
  for (uint32_t at = 0; at < word.size(); ++at) {
    const std::optional<int32_t> known = options_.bytes[static_cast<unsigned char>(word[at])];
    if (!known && !options_.unknown) continue;
    if (!known && after_unknown && options_.fuse_unknown) {
      ++symbols.back().num_bytes;
      continue;
    }
    after_unknown = !known;
    const auto position = static_cast<uint32_t>(symbols.size());
    symbols.push_back({known ? *known : *options_.unknown, at, 1, position - 1, position + 1});
  }
  if (symbols.empty()) return;
  symbols.front().previous = kNone;
  symbols.back().next = kNone;

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
