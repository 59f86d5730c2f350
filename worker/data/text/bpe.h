// Byte pair encoding of one word: the pair of neighbours that was learned first is merged, again and again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"

namespace vernier::data {

struct BpeToken {
  int32_t id = 0;
  uint32_t begin = 0;  // byte of the word
};

struct BpeMerge {
  int32_t left = 0, right = 0, result = 0;  // ids
};

// Immutable but for a bounded cache of words; thread-safe. Neither copied nor moved.
class Bpe {
 public:
  struct Options {
    // The token of each byte; none: the byte is unknown.
    std::array<std::optional<int32_t>, 256> bytes;
    // Stands for unknown bytes, which vanish when there is none.
    std::optional<int32_t> unknown;
    bool fuse_unknown = false;  // one for a run of unknown bytes
    // Words that are a token as they stand, whatever the merges would make of them; by their bytes.
    absl::flat_hash_map<std::string, int32_t> whole_words;
  };
  // `merges` in the order in which they were learned; of equal pairs the last counts.
  Bpe(Options options, const std::vector<BpeMerge>& merges);

  // Appends the tokens of `word`, which is not empty and below 4 GiB.
  void Encode(absl::string_view word, std::vector<BpeToken>* tokens) const;

 private:
  struct Merge {
    uint32_t rank;
    int32_t result;
  };
  // Words seen before, with their tokens. A shard is emptied when full: text repeats its words soon or never.
  struct Shard {
    Mutex mutex;
    absl::flat_hash_map<std::string, std::vector<BpeToken>> words VN_GUARDED_BY(mutex);
  };
  static constexpr size_t kNumShards = 16;
  static constexpr size_t kMaxShardWords = 8192;
  static constexpr size_t kMaxCachedBytes = 64;  // of a word; all shards together stay below about 32 MiB

  void MergeWord(absl::string_view word, std::vector<BpeToken>* tokens) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;

  const Options options_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by the pair's ids
  const std::unique_ptr<std::array<Shard, kNumShards>> cache_;
};

}  // namespace vernier::data
