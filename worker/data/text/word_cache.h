// Words seen before, with their tokens. Bounded: a shard is emptied when full, since text repeats its words
// soon or never.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "worker/data/text/token_model.h"

namespace vernier::data {

// Thread-safe. Neither copied nor moved.
class WordCache {
 public:
  static constexpr size_t kMaxWordBytes =
      64;  // longer ones are not kept; all together stay below about 32 MiB

  // Appends the tokens of `word` if they are known.
  bool Find(absl::string_view word, std::vector<WordToken>* tokens) {
    Shard& shard = ShardOf(word);
    MutexLock lock(shard.mutex);
    const auto known = shard.words.find(word);
    if (known == shard.words.end()) return false;
    tokens->insert(tokens->end(), known->second.begin(), known->second.end());
    return true;
  }

  // Remembers tokens[first...] for `word`.
  void Add(absl::string_view word, const std::vector<WordToken>& tokens, size_t first) {
    Shard& shard = ShardOf(word);
    MutexLock lock(shard.mutex);
    if (shard.words.size() >= kMaxShardWords) shard.words.clear();
    shard.words.try_emplace(word, tokens.begin() + static_cast<std::ptrdiff_t>(first), tokens.end());
  }

 private:
  struct Shard {
    Mutex mutex;
    absl::flat_hash_map<std::string, std::vector<WordToken>> words VN_GUARDED_BY(mutex);
  };
  static constexpr size_t kNumShards = 16;
  static constexpr size_t kMaxShardWords = 8192;

  Shard& ShardOf(absl::string_view word) {
    return shards_[absl::Hash<absl::string_view>{}(word) % kNumShards];
  }

  std::array<Shard, kNumShards> shards_;
};

}  // namespace vernier::data
