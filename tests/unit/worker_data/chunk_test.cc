// Chunks: where they end, their bytes, and the threads that make them.
#include "worker/data/chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/unit/worker_data/fakes.h"
#include "worker/data/chunk_file.h"
#include "worker/data/chunk_keeper.h"
#include "worker/data/chunk_pipeline.h"

namespace vernier::data {
namespace {

using testing::HasSubstr;

std::string TextRow(const std::string& text) { return "{\"text\":\"" + text + "\"}\n"; }

std::unique_ptr<Source> Open(const std::string& file) {
  auto source = OpenSource(ReadFromMemory(file), static_cast<int64_t>(file.size()));
  EXPECT_TRUE(source.ok()) << source.status();
  return *std::move(source);
}

RawChunk FirstChunk(const std::string& file) {
  const auto source = Open(file);
  auto chunk = ReadChunk(*source);
  EXPECT_TRUE(chunk.ok()) << chunk.status();
  return *std::move(chunk);
}

constexpr char kRows[] =
    "{\"text\":\"alpha beta\",\"id\":\"one\",\"extra\":1}\n"
    "{broken\n"
    "\n"
    "{\"text\":\"gamma\"}\n";

EncodedChunk Encoded(const std::string& file) {
  const ByteCodec codec;
  auto chunk = EncodeChunk(
      FirstChunk(file),
      {.max_tokens = 8, .on_overlong = v1::ON_OVERLONG_SPLIT, .sign = true, .ngram_words = 2}, &codec);
  EXPECT_TRUE(chunk.ok()) << chunk.status();
  return *std::move(chunk);
}

TEST(ReadChunkTest, EndsBehindTheRecordThatFillsIt) {
  std::string file;
  const std::string half = TextRow(std::string(kChunkBytes / 2, 'x'));
  for (int i = 0; i < 5; ++i) file += half;
  const auto source = Open(file);
  std::vector<size_t> sizes;
  std::vector<int64_t> first_lines;
  while (true) {
    const auto chunk = ReadChunk(*source);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (chunk->entries.empty()) break;
    sizes.push_back(chunk->entries.size());
    first_lines.push_back(chunk->first_line);
  }
  EXPECT_THAT(sizes, testing::ElementsAre(2, 2, 1));
  EXPECT_THAT(first_lines, testing::ElementsAre(1, 3, 5));
}

TEST(EncodeChunkTest, KnowsEveryRowAndWhyItIsBad) {
  const EncodedChunk chunk = Encoded(kRows);
  ASSERT_EQ(chunk.rows.size(), 3u);
  EXPECT_TRUE(chunk.rows[0].Has(RowFacts::kHasId));
  EXPECT_EQ(chunk.rows[0].num_tokens, 11u);
  EXPECT_EQ(chunk.rows[0].num_pieces, 2u);
  EXPECT_EQ(chunk.rows[0].lost_by_truncate, 3u);
  EXPECT_TRUE(chunk.rows[1].Has(RowFacts::kBad));
  EXPECT_EQ(chunk.rows[2].line, 3u) << "blank lines count";
  ASSERT_EQ(chunk.reasons.size(), 1u);
  EXPECT_THAT(chunk.reasons[0].second, HasSubstr("broken JSON"));
  EXPECT_THAT(chunk.unused_columns, testing::ElementsAre("extra"));
  EXPECT_EQ(chunk.signatures.size(), 2u);
  EXPECT_EQ(chunk.ids.size(), 11u + 6u);
}

TEST(ChunkFileTest, ReadsBackWhatWasWritten) {
  const EncodedChunk chunk = Encoded(kRows);
  const std::string bytes = EncodeChunkFile(chunk);
  const auto back = ParseChunkFile(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(EncodeChunkFile(*back), bytes);
  EXPECT_EQ(back->ids, chunk.ids);
  EXPECT_EQ(back->signatures, chunk.signatures);
  EXPECT_EQ(back->reasons, chunk.reasons);
  EXPECT_EQ(back->row_ids, chunk.row_ids);
  EXPECT_EQ(back->unused_columns, chunk.unused_columns);
}

TEST(ChunkFileTest, DamageIsDataLossNotACrash) {
  const std::string good = EncodeChunkFile(Encoded(kRows));
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(ParseChunkFile(good.substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x11);
    EXPECT_EQ(ParseChunkFile(bad).status().code(), absl::StatusCode::kDataLoss) << at;
  }
}

TEST(ChunkDigestTest, TellsRecordsLinesAndContextApart) {
  const RawChunk rows = FirstChunk(TextRow("a") + TextRow("b"));
  const std::string digest = ChunkDigest("c", rows);
  EXPECT_EQ(ChunkDigest("c", FirstChunk(TextRow("a") + TextRow("b") + "\n")), digest)
      << "a blank line behind";
  EXPECT_NE(ChunkDigest("c", FirstChunk(TextRow("a") + "\n" + TextRow("b"))), digest)
      << "a blank line between";
  EXPECT_NE(ChunkDigest("d", rows), digest);
  EXPECT_NE(ChunkDigest("c", FirstChunk(TextRow("a") + TextRow("c"))), digest);
}

class RunChunksTest : public testing::Test {
 protected:
  // Files of so many chunks.
  static std::string Chunks(int count) {
    std::string file;
    for (int i = 0; i < count; ++i) file += TextRow(absl::StrCat(i, std::string(kChunkBytes, 'x')));
    return file;
  }
};

TEST_F(RunChunksTest, ResultsComeInOrderWhateverThreadIsFirst) {
  const std::string file = Chunks(12);
  const auto source = Open(file);
  std::vector<int64_t> lines;
  const ChunkSteps steps = {
      .work =
          [](const RawChunk& raw, const StopFn&, DoneChunk&) {
            // Later chunks are ready sooner.
            std::this_thread::sleep_for(std::chrono::milliseconds(3 * (12 - raw.first_line)));
            return absl::OkStatus();
          },
      .take = [&](DoneChunk done) -> absl::StatusOr<bool> {
        lines.push_back(done.first_line);
        return true;
      }};
  const auto whole = RunChunks(*source, 4, steps);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(*whole);
  EXPECT_THAT(lines, testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
}

TEST_F(RunChunksTest, TheFirstErrorInOrderEndsTheRun) {
  const std::string file = Chunks(8);
  const auto source = Open(file);
  int taken = 0;
  const ChunkSteps steps = {.work = [](const RawChunk& raw, const StopFn&, DoneChunk&) -> absl::Status {
                              if (raw.first_line < 3) return absl::OkStatus();
                              return absl::FailedPreconditionError(absl::StrCat("line ", raw.first_line));
                            },
                            .take = [&](DoneChunk) -> absl::StatusOr<bool> {
                              ++taken;
                              return true;
                            }};
  EXPECT_EQ(RunChunks(*source, 3, steps).status().message(), "line 3");
  EXPECT_EQ(taken, 2);
}

TEST_F(RunChunksTest, EnoughEndsTheRunEarly) {
  const std::string file = Chunks(8);
  const auto source = Open(file);
  const ChunkSteps steps = {
      .work = [](const RawChunk&, const StopFn&, DoneChunk&) { return absl::OkStatus(); },
      .take = [&](DoneChunk done) -> absl::StatusOr<bool> { return done.first_line < 2; }};
  const auto whole = RunChunks(*source, 2, steps);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_FALSE(*whole);
}

TEST_F(RunChunksTest, OutOfMemoryIsAnErrorNotACrash) {
  const std::string file = Chunks(2);
  const auto source = Open(file);
  const ChunkSteps steps = {
      .work = [](const RawChunk&, const StopFn&, DoneChunk&) -> absl::Status { throw std::bad_alloc(); },
      .take = [&](DoneChunk) -> absl::StatusOr<bool> { return true; }};
  const auto whole = RunChunks(*source, 2, steps);
  EXPECT_EQ(whole.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(RunChunksTest, WorkLearnsThatTheRunIsOver) {
  const std::string file = Chunks(4);
  const auto source = Open(file);
  const ChunkSteps steps = {.work = [](const RawChunk& raw, const StopFn& stop, DoneChunk&) -> absl::Status {
                              if (raw.first_line == 1) return absl::OkStatus();
                              while (!stop()) std::this_thread::yield();
                              return absl::CancelledError("stopped");
                            },
                            .take = [&](DoneChunk) -> absl::StatusOr<bool> { return false; }};
  const auto whole = RunChunks(*source, 2, steps);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_FALSE(*whole);
}

TEST(EncodeChunkTest, StopsBetweenRowsAndBetweenThoseMadeOfOne) {
  std::atomic<int64_t> num_tokenized = 0;
  ByteCodec codec;
  codec.num_tokenized = &num_tokenized;
  int asked = 0;
  const StopFn stop = [&] { return ++asked > 5; };
  const RawChunk texts = FirstChunk(TextRow("a") + TextRow("b") + TextRow("c") + TextRow("d"));
  EXPECT_EQ(EncodeChunk(texts, {.max_tokens = 8}, &codec, stop).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(num_tokenized.load(), 2);
  std::string talk = R"({"messages":[{"role":"user","content":"q"})";
  for (int i = 0; i < 20; ++i) {
    talk += R"(,{"role":"assistant","content":"a"},{"role":"user","content":"q"})";
  }
  asked = 0;
  const ChunkOptions expand = {.encode = {.turns = v1::TURNS_EXPAND}, .max_tokens = 1000};
  EXPECT_EQ(EncodeChunk(FirstChunk(talk + "]}\n"), expand, &codec, stop).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(num_tokenized.load(), 2 + 4);
}

TEST(ChunkKeeperTest, KeepsNothingThatItWouldNotReadBack) {
  MemoryBlobs blobs;
  const ByteCodec codec;
  const ChunkOptions options = {.max_tokens = 100};
  const RawChunk raw = FirstChunk(TextRow("alpha") + TextRow("beta"));
  DoneChunk done;
  const absl::Status status =
      ChunkKeeper(blobs, "chunks", "", options, codec, /*max_bytes=*/200).Work(raw, nullptr, done);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 1: the rows made of this line through line 2"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("data.turns: expand"));
  EXPECT_TRUE(blobs.objects.empty());
  EXPECT_TRUE(ChunkKeeper(blobs, "chunks", "", options, codec).Work(raw, nullptr, done).ok());
  EXPECT_EQ(blobs.objects.size(), 1u);
}

}  // namespace
}  // namespace vernier::data
