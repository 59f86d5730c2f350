// Rows of ten million bytes of one character.
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/unit/worker_text/other_models.h"
#include "tests/unit/worker_text/tokenizer_files.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using nlohmann::json;

std::unique_ptr<Tokenizer> Make(const json& file) {
  auto created = Tokenizer::Create(file.dump(), "");
  EXPECT_TRUE(created.ok()) << created.status();
  return *std::move(created);
}

// None of the models may take the square of the row's length.
struct LongRow {
  std::string name;
  json file;
  std::string text;
};
void PrintTo(const LongRow& row, std::ostream* out) { *out << row.name; }
class LongRowTest : public testing::TestWithParam<LongRow> {};

std::string Repeated(absl::string_view what, size_t bytes) {
  std::string text;
  text.reserve(bytes + what.size());
  while (text.size() < bytes) text.append(what.data(), what.size());
  return text;
}

TEST_P(LongRowTest, TakesSeconds) {
  const auto tokenizer = Make(GetParam().file);
  const auto start = std::chrono::steady_clock::now();
  const auto got = tokenizer->Encode(GetParam().text);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_FALSE(got->ids.empty());
  EXPECT_LT(taken.count(), 60) << "a sanitizer's time; without, a few seconds";
}

json With(json file, const std::string& key, json value) {
  file[key] = std::move(value);
  return file;
}

json WithManyAddedTokens() {
  json file = SmallTokenizer();
  json added = json::array();
  for (int i = 0; i < 200; ++i) {
    added.push_back(AddedTokenJson(259 + i, std::string(20 + static_cast<size_t>(i), 'a') + "!", false));
  }
  file["added_tokens"] = added;
  return file;
}

constexpr size_t kLong = 10 << 20;

INSTANTIATE_TEST_SUITE_P(Rows, LongRowTest,
                         testing::ValuesIn<LongRow>({
                             {"BytesOfOneWord", SmallTokenizer(), Repeated("e", kLong)},
                             {"BytesThatMerge", SmallTokenizer(), Repeated("he", kLong)},
                             {"Spaces", SmallTokenizer(), Repeated(" ", kLong)},
                             {"AddedTokensThatAlmostMatch", WithManyAddedTokens(), Repeated("a", kLong / 40)},
                             {"Pieces", SmallPieces(), Repeated("a", kLong)},
                             {"PiecesOfSpaces", SmallPieces(), Repeated(" ", kLong)},
                             {"PiecesThatFallBack", SmallPieces(), Repeated("😀", kLong)},
                             {"Unigram", SmallUnigram(), Repeated("a", kLong)},
                             {"UnigramOfUnknowns", SmallUnigram(), Repeated("x", kLong)},
                             {"WordPieceOfOneWord", SmallWordPiece(), Repeated("p", kLong)},
                             {"WordPieceOfMarks", SmallWordPiece(), Repeated("\u0903", kLong)},
                             {"WordPieceOfCommas", SmallWordPiece(), Repeated(",", kLong / 10)},
                             {"ComposedMarks", With(SmallTokenizer(), "normalizer", {{"type", "NFKC"}}),
                              Repeated("e\u0301", kLong / 4)},
                         }),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::data
