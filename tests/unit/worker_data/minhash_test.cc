// Similarity of texts and the index over it, against exact Jaccard similarity.
#include "worker/data/minhash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/philox.h"
#include "worker/data/near_index.h"

namespace vernier::data {
namespace {

using Words = std::vector<std::string>;

Words RandomWords(uint64_t seed, int count) {
  Words words;
  for (int i = 0; i < count; ++i)
    words.push_back(absl::StrCat("w", DeriveSeed(seed, 1, static_cast<uint64_t>(i)) % 5000));
  return words;
}

std::string Text(const Words& words) { return absl::StrJoin(words, " "); }

double Jaccard(const Words& a, const Words& b, size_t ngram) {
  const auto sequences = [ngram](const Words& words) {
    std::set<std::string> all;
    for (size_t i = 0; i + ngram <= words.size(); ++i)
      all.insert(absl::StrJoin(words.begin() + static_cast<int64_t>(i),
                               words.begin() + static_cast<int64_t>(i + ngram), " "));
    return all;
  };
  const std::set<std::string> left = sequences(a), right = sequences(b);
  size_t both = 0;
  for (const std::string& sequence : left) both += right.count(sequence);
  return static_cast<double>(both) / static_cast<double>(left.size() + right.size() - both);
}

// The words with every `step`-th one replaced.
Words Changed(Words words, int step, uint64_t seed) {
  for (size_t i = 0; i < words.size(); i += static_cast<size_t>(step))
    words[i] = absl::StrCat("x", seed, "y", i);
  return words;
}

TEST(MinHashTest, EstimatesJaccardSimilarity) {
  for (const size_t ngram : {1, 3, 5}) {
    for (const int step : {7, 15, 40, 100, 300}) {
      double error = 0;
      constexpr int kTexts = 20;
      for (uint64_t seed = 0; seed < kTexts; ++seed) {
        const Words a = RandomWords(seed, 400);
        const Words b = Changed(a, step, seed);
        const double estimate = EstimateSimilarity(*MinHash(Text(a), static_cast<int>(ngram)),
                                                   *MinHash(Text(b), static_cast<int>(ngram)));
        EXPECT_NEAR(estimate, Jaccard(a, b, ngram), 0.2) << ngram << " " << step << " " << seed;
        error += estimate - Jaccard(a, b, ngram);
      }
      EXPECT_NEAR(error / kTexts, 0, 0.03) << "biased at " << ngram << " " << step;
    }
  }
}

TEST(MinHashTest, CaseSpaceAndPunctuationDoNotCount) {
  EXPECT_EQ(MinHash("Hello,  World! it's 5 o'clock", 2), MinHash("hello world\nIT S 5 o clock", 2));
  EXPECT_NE(MinHash("hello world", 2), MinHash("world hello", 2));
}

// Signatures are kept in chunks and compared with those of other machines: they may never change.
TEST(MinHashTest, SignaturesAreTheSameEverywhere) {
  const MinHashSignature signature = *MinHash("The quick brown fox jumps over the lazy dog.", 3);
  EXPECT_EQ(std::vector<int>(signature.begin(), signature.begin() + 8),
            (std::vector<int>{135, 192, 113, 162, 208, 197, 17, 105}));
}

TEST(MinHashTest, TextWithoutWordsHasNoSignature) {
  EXPECT_FALSE(MinHash("", 5).has_value());
  EXPECT_FALSE(MinHash(" ... \n!", 5).has_value());
  EXPECT_TRUE(MinHash("a", 5).has_value());
}

TEST(MinHashTest, EveryChineseCharacterIsAWord) {
  const auto one = MinHash("今天天气很好我们去公园散步吧", 2),
             two = MinHash("今天天气很好我们去公园跑步吧", 2);
  EXPECT_GT(EstimateSimilarity(*one, *two), 0.4);
  EXPECT_LT(EstimateSimilarity(*one, *MinHash("他昨天买了三本新书和一支笔", 2)), 0.2);
}

TEST(MinHashTest, BrokenUtf8IsHashedToo) {
  EXPECT_TRUE(MinHash("abc \xff\xfe\xe2\x82", 2).has_value());
  EXPECT_TRUE(MinHash("\xf0", 1).has_value());
}

TEST(NearIndexTest, FindsRowsAboveTheThresholdAndNoOthers) {
  for (const double threshold : {0.5, 0.7, 0.8, 0.9, 0.99}) {
    NearIndex index(threshold);
    std::vector<MinHashSignature> signatures;
    for (uint64_t seed = 0; seed < 3000; ++seed) {
      signatures.push_back(*MinHash(Text(RandomWords(seed, 120)), 3));
      index.Add(static_cast<uint32_t>(seed), signatures.back());
    }
    int missed = 0, near = 0;
    for (uint64_t seed = 0; seed < 300; ++seed) {
      const MinHashSignature query =
          *MinHash(Text(Changed(RandomWords(seed, 120), 20 + static_cast<int>(seed) % 90, seed)), 3);
      const double similarity = EstimateSimilarity(query, signatures[seed]);
      const auto match = index.Find(query);
      if (similarity >= threshold) {
        ++near;
        missed += match.has_value() ? 0 : 1;
      }
      if (match.has_value()) {
        EXPECT_GE(match->similarity, threshold);
        EXPECT_DOUBLE_EQ(match->similarity, EstimateSimilarity(query, signatures[match->row]));
      }
    }
    // 1 % is the promise at the threshold itself.
    EXPECT_LE(missed, near / 20) << threshold << ": " << missed << " of " << near;
    if (threshold < 0.95) {
      EXPECT_GT(near, 10) << threshold;
    }
    EXPECT_FALSE(index.Find(*MinHash(Text(RandomWords(999999, 120)), 3)).has_value());
  }
}

TEST(NearIndexTest, TheFirstSimilarRowIsFound) {
  NearIndex index(0.8);
  const MinHashSignature signature = *MinHash(Text(RandomWords(1, 50)), 3);
  for (uint32_t row = 10; row < 200; ++row) index.Add(row, signature);
  const auto match = index.Find(signature);
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->row, 10u);
  EXPECT_EQ(match->similarity, 1.0);
}

TEST(NearIndexTest, BandsCoverTheSignature) {
  for (const double threshold : {0.5, 0.6, 0.7, 0.8, 0.9, 0.99}) {
    const NearIndex index(threshold);
    EXPECT_GE(index.num_bands() * index.band_bytes(), kMinHashes - index.band_bytes()) << threshold;
    EXPECT_LE(index.num_bands() * index.band_bytes(), kMinHashes) << threshold;
  }
}

}  // namespace
}  // namespace vernier::data
