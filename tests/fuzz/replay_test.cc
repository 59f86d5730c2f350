// Runs a fuzz target over its committed corpus, and over mutations of it that are the same every time: found
// bugs stay found, with any compiler. The fuzzers themselves look further (docs/fuzzing.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLongestInput{20};  // with sanitizers; without, hundreds a second
constexpr std::chrono::seconds kMutating{4};

std::vector<fs::path> Seeds() {
  std::vector<fs::path> files;
  for (const auto& seed : absl::StrSplit(VERNIER_FUZZ_SEEDS, ':')) {
    const fs::path path{std::string(seed)};
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Replay(const std::string& input, const std::string& what) {
  SCOPED_TRACE(what);
  const auto start = std::chrono::steady_clock::now();
  // A buffer of its own size: AddressSanitizer sees what is read behind it.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  EXPECT_EQ(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kLongestInput);
}

TEST(FuzzReplayTest, CorpusHasNothingNew) {
  const std::vector<fs::path> seeds = Seeds();
  ASSERT_GE(seeds.size(), 3u) << "no corpus in " << VERNIER_FUZZ_SEEDS;
  for (const fs::path& path : seeds) {
    ASSERT_TRUE(fs::exists(path)) << path;
    Replay(ReadAll(path), path.filename());
  }
  Replay("", "nothing");
}

TEST(FuzzReplayTest, MutationsOfTheCorpusAreBorne) {
  std::mt19937 random(20240501);
  std::vector<std::string> inputs;
  for (const fs::path& path : Seeds()) inputs.push_back(ReadAll(path));
  ASSERT_FALSE(inputs.empty());
  const auto start = std::chrono::steady_clock::now();
  int round = 0;
  while (round < 20000 && std::chrono::steady_clock::now() - start < kMutating) {
    const std::string& seed = inputs[static_cast<size_t>(round) % inputs.size()];
    std::string input = seed;
    for (unsigned edits = 1 + random() % 8; edits > 0 && !input.empty(); --edits) {
      const size_t at = random() % input.size();
      switch (random() % 6) {
        case 0:
          input[at] = static_cast<char>(random());
          break;
        case 1:
          input[at] = static_cast<char>(input[at] ^ (1 << random() % 8));
          break;
        case 2:
          input.erase(at, 1 + random() % 16);
          break;
        case 3:
          input.insert(at, input.substr(random() % input.size(), 1 + random() % 64));
          break;
        case 4:
          input.resize(at);
          break;
        default:
          input.replace(at, std::min<size_t>(4, input.size() - at), std::string(4, static_cast<char>(0xFF)));
          break;
      }
    }
    Replay(input, "round " + std::to_string(round));
    ++round;
  }
  EXPECT_GT(round, 10);
}

}  // namespace
