#include "bench/prepare/rows.h"

#include <cmath>
#include <fstream>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/philox.h"

namespace vernier::bench {
namespace {

constexpr uint64_t kWordTag = 1, kDrawTag = 2;
constexpr int kVocabulary = 30'000;
constexpr double kDuplicateShare = 0.01;

// A stream of draws.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  uint64_t Next() { return DeriveSeed(seed_, kDrawTag, next_++); }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
  }

 private:
  const uint64_t seed_;
  uint64_t next_ = 0;
};

std::vector<std::string> MakeVocabulary(uint64_t seed) {
  constexpr const char* kSyllables[] = {"a",   "ba", "con", "de",  "er", "fi", "ga",  "ho",
                                        "in",  "ka", "la",  "me",  "ni", "on", "pro", "re",
                                        "sta", "ti", "un",  "ver", "wi", "ex", "ing", "tion"};
  std::vector<std::string> words;
  words.reserve(kVocabulary);
  for (uint64_t i = 0; i < kVocabulary; ++i) {
    uint64_t bits = DeriveSeed(seed, kWordTag, i);
    std::string word;
    // Frequent words are short.
    const int syllables = 1 + static_cast<int>(std::log10(static_cast<double>(i + 1)));
    for (int s = 0; s < syllables; ++s, bits /= std::size(kSyllables))
      word += kSyllables[bits % std::size(kSyllables)];
    words.push_back(std::move(word));
  }
  return words;
}

class RowMaker {
 public:
  explicit RowMaker(uint64_t seed) : draws_(seed), words_(MakeVocabulary(seed)) {}

  std::string Row() {
    std::string row = "{\"messages\": [";
    const int64_t turns = draws_.Between(1, 4);
    for (int64_t turn = 0; turn < turns; ++turn) {
      absl::StrAppend(&row, turn == 0 ? "" : ", ", R"({"role": "user", "content": ")",
                      Prose(draws_.Between(5, 80)), R"("}, {"role": "assistant", "content": ")",
                      Prose(draws_.Between(20, 200)), "\"}");
    }
    row += "]}\n";
    return row;
  }

  bool RepeatsNow() { return draws_.Unit() < kDuplicateShare; }

 private:
  std::string Prose(int64_t count) {
    std::string text;
    for (int64_t i = 0; i < count; ++i) {
      const double kind = draws_.Unit();
      if (!text.empty()) text += kind < 0.01 ? "\\n\\n" : " ";
      if (kind < 0.03) {
        absl::StrAppend(&text, draws_.Between(0, 100000));
      } else if (kind < 0.04) {
        absl::StrAppend(&text, "`", Word(), "(", Word(), ", ", draws_.Between(0, 9), ")`");
      } else {
        text += Word();
      }
      if (kind > 0.93) text += kind > 0.97 ? "." : ",";
    }
    return text;
  }

  // Rank r with a probability of about 1 / r.
  const std::string& Word() {
    const double rank = std::exp(draws_.Unit() * std::log(static_cast<double>(kVocabulary)));
    return words_[static_cast<size_t>(rank) - 1];
  }

  Draws draws_;
  const std::vector<std::string> words_;
};

}  // namespace

absl::StatusOr<WrittenRows> WriteRows(const std::string& path, int64_t num_bytes, uint64_t seed) {
  std::ofstream file(path, std::ios::binary);
  RowMaker maker(seed);
  WrittenRows written;
  std::string row;
  while (written.num_bytes < num_bytes) {
    if (row.empty() || !maker.RepeatsNow()) row = maker.Row();
    file.write(row.data(), static_cast<std::streamsize>(row.size()));
    ++written.num_rows;
    written.num_bytes += static_cast<int64_t>(row.size());
  }
  file.close();
  if (!file) return absl::ResourceExhaustedError(absl::StrCat(path, ": cannot be written"));
  return written;
}

}  // namespace vernier::bench
