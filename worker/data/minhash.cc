#include "worker/data/minhash.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/check.h"
#include "common/philox.h"

namespace vernier::data {
namespace {

// Keeps these hashes apart from every other use of keyed numbers. Changing it changes signatures, which are
// part of prepared chunks.
constexpr uint64_t kHashTag = 0x6d696e6861736801;  // "minhash" 1

std::array<uint32_t, kMinHashes> MakeKeys() {
  std::array<uint32_t, kMinHashes> keys = {};
  for (int i = 0; i < kMinHashes; ++i) {
    keys[i] = static_cast<uint32_t>(DeriveSeed(kHashTag, kHashTag, static_cast<uint64_t>(i)));
  }
  return keys;
}

// The finaliser of MurmurHash3: every input bit moves every output bit.
inline uint64_t Mix64(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccd;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53;
  return h ^ (h >> 33);
}
inline uint32_t Mix32(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6b;
  h ^= h >> 13;
  h *= 0xc2b2ae35;
  return h ^ (h >> 16);
}

using Values = std::array<uint32_t, kMinHashes>;

// The least of hash i over all values, for each i. The innermost loop of all: vector code, because a local
// array is no alias of anything.
__attribute__((always_inline)) inline Values LeastHashes(const std::vector<uint32_t>& values,
                                                         const Values& keys) {
  Values least;
  least.fill(UINT32_MAX);
  for (const uint32_t value : values) {
    for (int i = 0; i < kMinHashes; ++i) least[i] = std::min(least[i], Mix32(value ^ keys[i]));
  }
  return least;
}

Values LeastGeneric(const std::vector<uint32_t>& values, const Values& keys) {
  return LeastHashes(values, keys);
}

#ifdef __x86_64__
// The same numbers; the baseline instruction set cannot multiply 32-bit lanes.
__attribute__((target("avx2"))) Values LeastAvx2(const std::vector<uint32_t>& values, const Values& keys) {
  return LeastHashes(values, keys);
}
#endif

Values Least(const std::vector<uint32_t>& values, const Values& keys) {
#ifdef __x86_64__
  static const bool kAvx2 = __builtin_cpu_supports("avx2") != 0;
  if (kAvx2) return LeastAvx2(values, keys);
#endif
  return LeastGeneric(values, keys);
}

// Hashes of the words, in order (FNV-1a, mixed).
std::vector<uint64_t> HashWords(absl::string_view text) {
  constexpr uint64_t kStart = 0xcbf29ce484222325, kPrime = 0x100000001b3;
  std::vector<uint64_t> words;
  uint64_t hash = kStart;
  bool open = false;
  const auto close = [&] {
    if (open) words.push_back(Mix64(hash));
    hash = kStart;
    open = false;
  };
  const auto add = [&](unsigned char byte) {
    hash = (hash ^ byte) * kPrime;
    open = true;
  };
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      if (absl::ascii_isalnum(c)) {
        add(static_cast<unsigned char>(absl::ascii_tolower(c)));
      } else {
        close();
      }
      ++i;
      continue;
    }
    const size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    const size_t end = std::min(text.size(), i + length);
    if (length > 2) close();
    for (; i < end; ++i) add(static_cast<unsigned char>(text[i]));
    if (length > 2) close();
  }
  close();
  return words;
}

}  // namespace

std::optional<MinHashSignature> MinHash(absl::string_view text, int ngram_words) {
  VN_CHECK(ngram_words >= 1);
  static const Values kKeys = MakeKeys();
  const std::vector<uint64_t> words = HashWords(text);
  if (words.empty()) return std::nullopt;
  const size_t length = std::min(words.size(), static_cast<size_t>(ngram_words));
  std::vector<uint32_t> values;
  values.reserve(words.size());
  for (size_t begin = 0; begin + length <= words.size(); ++begin) {
    uint64_t sequence = length;
    for (size_t i = 0; i < length; ++i) sequence = Mix64(sequence ^ words[begin + i]);
    values.push_back(static_cast<uint32_t>(sequence >> 32));
  }
  const Values least = Least(values, kKeys);
  MinHashSignature signature;
  for (int i = 0; i < kMinHashes; ++i) signature[i] = static_cast<uint8_t>(least[i]);
  return signature;
}

double EstimateSimilarity(const MinHashSignature& a, const MinHashSignature& b) {
  int equal = 0;
  for (int i = 0; i < kMinHashes; ++i) equal += a[i] == b[i] ? 1 : 0;
  // Bytes of different values agree by chance once in 256.
  constexpr double kChance = 1.0 / 256;
  return std::max(0.0, (static_cast<double>(equal) / kMinHashes - kChance) / (1 - kChance));
}

}  // namespace vernier::data
