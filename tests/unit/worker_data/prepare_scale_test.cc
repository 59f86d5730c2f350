// Preparing in chunks: threads, resuming after a kill, duplicates, mixtures, contamination.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/philox.h"
#include "storage/folder_store.h"
#include "tests/testing/temp_folder.h"
#include "tests/unit/worker_data/prepare_run.h"
#include "worker/data/chunk.h"

namespace vernier::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// A file of so many chunks of kChunkRecords short rows.
std::string Large(int chunks) { return ManyTexts(chunks * static_cast<int>(kChunkRecords)); }

std::string Sentence(uint64_t seed, int words) {
  std::string text;
  for (int i = 0; i < words; ++i)
    absl::StrAppend(&text, i == 0 ? "" : " ", "w", DeriveSeed(seed, 2, static_cast<uint64_t>(i)) % 3000);
  return text;
}

TEST(PrepareScaleTest, ThreadsChangeNoByte) {
  const std::string file = Large(4) + ManyTexts(500);
  std::vector<std::string> outcomes;
  for (const int threads : {1, 2, 5}) {
    const auto made = Prepare(file, [threads](v1::Task& task) {
      task.set_threads(threads);
      task.mutable_prepare()->set_validation_fraction(0.3);
      task.mutable_prepare()->mutable_data()->mutable_deduplicate()->set_kind(v1::DUPLICATE_KIND_NEAR);
    });
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_FALSE(made->validation_lines.empty());
    outcomes.push_back(absl::StrCat(Sha256Hex(made->train_bytes), Sha256Hex(made->validation_bytes),
                                    made->report().SerializeAsString(), made->prepared.key()));
  }
  EXPECT_EQ(outcomes[0], outcomes[1]);
  EXPECT_EQ(outcomes[0], outcomes[2]);
}

TEST(PrepareScaleTest, AStoppedRunGoesOnWithItsFinishedChunks) {
  PrepareRun undisturbed({Large(6)});
  const auto want = undisturbed.Run();
  ASSERT_TRUE(want.ok()) << want.status();
  EXPECT_EQ(undisturbed.num_tokenized, 6 * kChunkRecords);
  EXPECT_EQ(undisturbed.num_chunks(), 0) << "chunks go when all is done";

  PrepareRun run({Large(6)});
  std::atomic<bool> stop = false;
  const auto stopped = run.Run(
      [&](const PrepareProgress& now) {
        if (now.phase == "tokenising" && now.rows >= 3 * kChunkRecords) stop = true;
      },
      &stop);
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  const int64_t finished = run.num_chunks();
  EXPECT_GE(finished, 3);
  const int64_t before = run.num_tokenized;
  const auto resumed = run.Run();
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(run.num_tokenized - before, (6 - finished) * kChunkRecords)
      << "finished chunks are not made again";
  EXPECT_EQ(resumed->train_bytes, want->train_bytes);
  EXPECT_EQ(resumed->prepared.key(), want->prepared.key());
  EXPECT_EQ(run.num_chunks(), 0);
}

TEST(PrepareScaleTest, ARefusedRunThatIsAskedAgainWithAnotherPolicyKeepsItsChunks) {
  PrepareRun run({Large(3) + "{broken\n"});
  EXPECT_EQ(run.Run().status().code(), absl::StatusCode::kInvalidArgument);
  const int64_t before = run.num_tokenized;
  run.data().set_on_bad_row(v1::ON_BAD_ROW_DROP);
  const auto made = run.Run();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(run.num_tokenized, before);
  EXPECT_EQ(static_cast<int64_t>(made->train_lines.size()), 3 * kChunkRecords);
}

TEST(PrepareScaleTest, DamagedChunksAreMadeAgain) {
  PrepareRun run({Large(3) + "{broken\n"});
  ASSERT_FALSE(run.Run().ok());
  for (auto& [key, bytes] : run.blobs.objects) {
    if (absl::EndsWith(key, ".chunk")) bytes[bytes.size() / 2] ^= 1;
  }
  const int64_t before = run.num_tokenized;
  run.data().set_on_bad_row(v1::ON_BAD_ROW_DROP);
  ASSERT_TRUE(run.Run().ok());
  EXPECT_EQ(run.num_tokenized - before, 3 * kChunkRecords);
}

TEST(PrepareScaleTest, ChunksThatAnotherRunDeletedAreMadeAgain) {
  PrepareRun run({Large(3)});
  int deletions = 0;
  const auto made = run.Run([&](const PrepareProgress& now) {
    if (now.phase != "writing" || deletions == 1) return;
    ++deletions;
    std::erase_if(run.blobs.objects,
                  [](const auto& object) { return absl::EndsWith(object.first, ".chunk"); });
  });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(deletions, 1);
  EXPECT_EQ(run.num_tokenized, 2 * 3 * kChunkRecords);
  EXPECT_EQ(made->train_bytes, Prepare(Large(3))->train_bytes);
}

// kill -9 in the middle of the work: a child process prepares into a folder and is killed once it has
// finished some chunks.
TEST(PrepareScaleTest, AfterAKillOnlyUnfinishedChunksAreMade) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "ThreadSanitizer lets a forked child start no threads";
#endif
#endif
  const TempFolder folder;
  const std::string file = Large(8);
  v1::Task task;
  task.set_tenant("t");
  task.set_threads(2);
  task.mutable_prepare()->set_dataset_key("d");
  task.mutable_prepare()->set_model_key("m");
  std::atomic<int64_t> tokenized = 0;
  // Tokenising waits for a byte of the pipe, so that the child cannot be done before it is killed.
  const auto factory_of = [&tokenized](int wait_fd) {
    return CodecFactory([&tokenized, wait_fd](const CodecFiles&,
                                              std::string* text) -> absl::StatusOr<std::unique_ptr<Codec>> {
      class Waiting final : public Codec {
       public:
        Waiting(std::atomic<int64_t>* count, int fd) : fd_(fd) { inner_.num_tokenized = count; }
        absl::StatusOr<RenderedConversation> Render(const Row& row) const override {
          return inner_.Render(row);
        }
        absl::StatusOr<std::string> RenderPrompt(const Json& m) const override {
          return inner_.RenderPrompt(m);
        }
        absl::StatusOr<TokenizedText> Tokenize(absl::string_view t) const override {
          char byte = 0;
          if (fd_ >= 0 && ::read(fd_, &byte, 1) != 1) ::pause();
          return inner_.Tokenize(t);
        }
        std::optional<int32_t> bos_id() const override { return inner_.bos_id(); }
        std::optional<int32_t> eos_id() const override { return inner_.eos_id(); }
        int64_t vocab_size() const override { return inner_.vocab_size(); }

       private:
        ByteCodec inner_;
        const int fd_;
      };
      *text = "own";
      return std::make_unique<Waiting>(&tokenized, wait_fd);
    });
  };
  const std::string root = folder.path();
  const auto open = [&root] {
    auto store = storage::FolderStore::Open({.root = root});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  };
  {
    const auto store = open();
    ASSERT_TRUE(store->Put("d", file).ok());
    ASSERT_TRUE(store->Put("m/tokenizer.json", "{}").ok());
  }
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(pipe_fds[1]);
    const auto store = open();
    const std::unique_ptr<Blobs> blobs = BlobsOf(*store);
    const auto ignored = RunPrepareOn(task, *blobs, factory_of(pipe_fds[0]), nullptr, nullptr);
    ::_exit(ignored.ok() ? 0 : 1);
  }
  ::close(pipe_fds[0]);
  // Enough for five chunks and a half; two threads hold at most two unfinished ones.
  const std::string bytes(static_cast<size_t>(kChunkRecords * 11 / 2), 'x');
  ASSERT_EQ(::write(pipe_fds[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  const auto store = open();
  const auto num_chunks = [&] {
    int count = 0;
    const auto all = storage::ListAll(*store, "tenants/");
    EXPECT_TRUE(all.ok());
    for (const storage::ObjectInfo& info : *all) count += absl::EndsWith(info.key, ".chunk") ? 1 : 0;
    return count;
  };
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (num_chunks() < 4 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it ended before it was killed";
  ::close(pipe_fds[1]);
  const int finished = num_chunks();
  EXPECT_GE(finished, 4);
  EXPECT_LT(finished, 8);

  const std::unique_ptr<Blobs> blobs = BlobsOf(*store);
  tokenized = 0;
  const auto resumed = RunPrepareOn(task, *blobs, factory_of(-1), nullptr, nullptr);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(tokenized, (8 - finished) * kChunkRecords);
  EXPECT_EQ(num_chunks(), 0);

  const auto undisturbed =
      Prepare(file, [](v1::Task& task) { task.mutable_prepare()->mutable_data()->clear_max_tokens(); });
  ASSERT_TRUE(undisturbed.ok()) << undisturbed.status();
  const auto train = store->Get(absl::StrCat(resumed->key(), "/", kTrainFile));
  ASSERT_TRUE(train.ok()) << train.status();
  EXPECT_EQ(Sha256Hex(*train), Sha256Hex(undisturbed->train_bytes));
}

TEST(PrepareScaleTest, ProgressRisesInBytesAndRowsToTheEnd) {
  PrepareRun run({Large(4)});
  int64_t bytes = 0, rows = 0;
  std::vector<std::string> phases;
  const auto made = run.Run([&](const PrepareProgress& now) {
    if (phases.empty() || phases.back() != now.phase) {
      phases.emplace_back(now.phase);
      bytes = 0;
    }
    EXPECT_GE(now.bytes, bytes);
    EXPECT_GE(now.rows, rows);
    EXPECT_LE(now.bytes, now.total_bytes);
    EXPECT_GE(now.fraction, 0);
    EXPECT_LE(now.fraction, 1);
    bytes = now.bytes;
    rows = now.rows;
  });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(phases, ElementsAre("reading", "tokenising", "writing"));
  EXPECT_EQ(rows, 4 * kChunkRecords);
}

TEST(PrepareScaleTest, AnUploadedDatasetThatIsDamagedIsNotPrepared) {
  const std::string file = ManyTexts(20);
  const std::string key = absl::StrCat("tenants/t1/datasets/", Sha256Hex(file), "/data");
  PrepareRun run({file});
  run.blobs.objects[key] = file;
  run.task.mutable_prepare()->set_dataset_key(key);
  ASSERT_TRUE(run.Run().ok());
  // Also where no more than the first rows are asked for: not one of them is used.
  run.data().set_max_rows(7);
  std::string altered = file;
  altered[altered.size() - 20] ^= 1;
  for (const std::string& damaged : {altered, file.substr(0, file.size() / 2), file + "{\"text\": \"more\"}\n"}) {
    run.blobs.objects[key] = damaged;
    std::set<std::string> phases;
    const absl::Status status =
        run.Run([&](const PrepareProgress& now) { phases.insert(std::string(now.phase)); }).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(key), HasSubstr("upload it again")));
    EXPECT_THAT(phases, ElementsAre("reading"));
  }
  run.blobs.objects.erase(key);
  const absl::Status gone = run.Run().status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(gone.message()), AllOf(HasSubstr(key), HasSubstr("upload it again")));
}

// --- Duplicates.

TEST(DeduplicateTest, ExactRepeatsGoAndTheFirstStays) {
  const std::string file =
      TextRow("a") + TextRow("b") + TextRow("a") + "{ \"text\" : \"a\", \"id\": 7 }\n" + TextRow("c");
  const auto kept = Prepare(file);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->report().num_duplicate_rows(), 2);
  EXPECT_EQ(kept->train_lines.size(), 5u);
  const auto exact = Prepare(file, [](v1::Task& task) {
    task.mutable_prepare()->mutable_data()->mutable_deduplicate()->set_kind(v1::DUPLICATE_KIND_EXACT);
  });
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_THAT(exact->train_lines, ElementsAre(1, 2, 5));
  EXPECT_EQ(exact->report().num_deduplicated_rows(), 2);
  EXPECT_NE(exact->prepared.key(), kept->prepared.key());
}

TEST(DeduplicateTest, NearRepeatsGoAndRowsBelowTheThresholdStay) {
  const std::string base = Sentence(1, 60);
  const std::string file = TextRow(base) + TextRow(base + " one more") + TextRow(Sentence(2, 60)) +
                           TextRow(base.substr(0, base.size() / 2) + " " + Sentence(3, 30)) + TextRow(base);
  const auto near = [&](double threshold) {
    return Prepare(file, [threshold](v1::Task& task) {
      v1::Deduplicate& deduplicate = *task.mutable_prepare()->mutable_data()->mutable_deduplicate();
      deduplicate.set_kind(v1::DUPLICATE_KIND_NEAR);
      deduplicate.set_threshold(threshold);
    });
  };
  const auto made = near(0.8);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->train_lines, ElementsAre(1, 3, 4));
  EXPECT_EQ(made->report().num_duplicate_rows(), 1);
  EXPECT_EQ(made->report().num_near_duplicate_rows(), 1);
  ASSERT_GE(made->report().duplicates_size(), 1);
  EXPECT_EQ(made->report().duplicates(0).row(), "line 2");
  EXPECT_EQ(made->report().duplicates(0).other(), "line 1");
  EXPECT_GT(made->report().duplicates(0).similarity(), 0.8);
}

TEST(DeduplicateTest, SharedSystemMessagesDoNotMakeRowsSimilar) {
  const auto chat = [](const std::string& question, const std::string& answer) {
    return absl::StrCat(R"({"messages":[{"role":"system","content":")", Sentence(77, 200),
                        R"("},{"role":"user","content":")", question, R"("},{"role":"assistant","content":")",
                        answer, "\"}]}\n");
  };
  const auto made = Prepare(
      chat("how are you", "fine, thanks") + chat("what time is it", "half past nine in the morning"),
      [](v1::Task& task) {
        task.mutable_prepare()->mutable_data()->clear_max_tokens();
        task.mutable_prepare()->mutable_data()->mutable_deduplicate()->set_kind(v1::DUPLICATE_KIND_NEAR);
      });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->train_lines.size(), 2u);
}

// --- Contamination.

class ContaminationTest : public testing::Test {
 protected:
  absl::StatusOr<Made> Run(v1::OnContamination policy) {
    const std::string base = Sentence(5, 60);
    const std::string validation = TextRow("fresh") + TextRow("row 7") + TextRow(base + " x");
    return Prepare(
        ManyTexts(20) + TextRow(base),
        [policy](v1::Task& task) { task.mutable_prepare()->mutable_data()->set_on_contamination(policy); },
        &validation);
  }
};

TEST_F(ContaminationTest, IsReportedByDefault) {
  const auto made = Run(v1::ON_CONTAMINATION_UNSPECIFIED);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->report().num_contaminated_rows(), 1);
  EXPECT_EQ(made->report().num_near_contaminated_rows(), 1);
  EXPECT_EQ(made->report().num_validation_rows(), 3);
  ASSERT_EQ(made->report().contaminations_size(), 2);
  EXPECT_EQ(made->report().contaminations(0).row(), "validation line 2");
  EXPECT_EQ(made->report().contaminations(0).other(), "line 8");
  EXPECT_EQ(made->report().contaminations(1).other(), "line 21");
  EXPECT_THAT(made->report().notes(), testing::Contains(HasSubstr("2 of 3 validation rows occur among")));
}

TEST_F(ContaminationTest, CanEndTheJobOrLeaveTheRowsOut) {
  const auto failed = Run(v1::ON_CONTAMINATION_FAIL);
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(failed.status().message()),
              testing::AllOf(HasSubstr("data.validation: 2 of 3 validation rows"),
                             HasSubstr("validation line 2 is equal to line 8"),
                             HasSubstr("data.on_contamination: drop")));
  const auto dropped = Run(v1::ON_CONTAMINATION_DROP);
  ASSERT_TRUE(dropped.ok()) << dropped.status();
  EXPECT_THAT(dropped->validation_lines, ElementsAre(1));
  EXPECT_EQ(dropped->train_lines.size(), 21u);
}

TEST_F(ContaminationTest, NearRepeatsAcrossASplitByShareAreFound) {
  std::string file;
  for (uint64_t i = 0; i < 60; ++i) file += TextRow(Sentence(i, 50)) + TextRow(Sentence(i, 50) + " too");
  const auto made =
      Prepare(file, [](v1::Task& task) { task.mutable_prepare()->set_validation_fraction(0.3); });
  ASSERT_TRUE(made.ok()) << made.status();
  const std::set<int64_t> held_out(made->validation_lines.begin(), made->validation_lines.end());
  int64_t parted = 0;
  for (int64_t pair = 0; pair < 60; ++pair)
    parted += held_out.contains(2 * pair + 1) != held_out.contains(2 * pair + 2) ? 1 : 0;
  EXPECT_GT(parted, 5);
  EXPECT_EQ(made->report().num_near_contaminated_rows(), parted);
}

// --- Mixtures.

TEST(MixturePrepareTest, DatasetsLieEndToEndWithTheirWeights) {
  PrepareRun run({ManyTexts(30), TextRow("x") + TextRow("y"), TextRow("z")});
  for (int i = 0; i < 3; ++i) {
    run.data().mutable_mix(i)->set_weight(i + 1);
    run.data().mutable_mix(i)->set_name(absl::StrCat("set", i));
  }
  const auto made = run.Run();
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_EQ(made->manifest.facts.mixture.size(), 3u);
  EXPECT_EQ(made->manifest.facts.mixture[0].num_rows, 30);
  EXPECT_EQ(made->manifest.facts.mixture[1].num_rows, 2);
  EXPECT_EQ(made->manifest.facts.mixture[2].weight, 3);
  EXPECT_EQ(made->train_lines.size(), 33u);
  EXPECT_EQ(made->train_lines[30], 1) << "lines start again with each dataset";
  ASSERT_EQ(made->report().sources_size(), 3);
  EXPECT_EQ(made->report().sources(1).name(), "set1");
  EXPECT_EQ(made->report().sources(1).rows_per_epoch(), 11);
  EXPECT_DOUBLE_EQ(made->report().sources(1).passes_per_epoch(), 5.5);
}

TEST(MixturePrepareTest, WithoutWeightsEveryRowIsSeenOnce) {
  PrepareRun run({ManyTexts(30), TextRow("x")});
  const auto made = run.Run();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->manifest.facts.mixture.empty());
  EXPECT_EQ(made->train_lines.size(), 31u);
}

TEST(MixturePrepareTest, CapsTakeASampleThatRowsKeepWhenOthersCome) {
  const auto sample = [](int rows) {
    PrepareRun run({ManyTexts(rows), TextRow("x")});
    run.data().mutable_mix(0)->set_max_rows(50);
    const auto made = run.Run();
    EXPECT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->report().sources(0).num_capped_rows(), rows - 50);
    return made->train_lines;
  };
  const std::vector<int64_t> few = sample(200), many = sample(220);
  ASSERT_EQ(few.size(), 51u);
  EXPECT_GT(*std::max_element(few.begin(), few.end()), 120) << "not just the first rows";
  const std::set<int64_t> earlier(few.begin(), few.end());
  int64_t fresh = 0;
  for (const int64_t line : many) fresh += line <= 200 && !earlier.contains(line) ? 1 : 0;
  EXPECT_EQ(fresh, 0) << "a row is only pushed out, never in, by new ones";
}

TEST(MixturePrepareTest, RepeatsOfAnotherDatasetGo) {
  PrepareRun run({TextRow("a") + TextRow("b"), TextRow("b") + TextRow("c")});
  run.data().mutable_deduplicate()->set_kind(v1::DUPLICATE_KIND_EXACT);
  const auto made = run.Run();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->train_lines, ElementsAre(1, 2, 2));
  EXPECT_EQ(made->report().sources(1).num_deduplicated_rows(), 1);
}

struct MixCase {
  std::string name, want;
  std::function<void(PrepareRun&)> set;
};
void PrintTo(const MixCase& c, std::ostream* out) { *out << c.name; }
class MixRefusalTest : public testing::TestWithParam<MixCase> {};

TEST_P(MixRefusalTest, IsOneSentenceWithTheField) {
  PrepareRun run({ManyTexts(5), TextRow("row 1") + TextRow("row 2")});
  GetParam().set(run);
  const auto made = run.Run();
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, MixRefusalTest,
    testing::ValuesIn<MixCase>({
        {"WeightZero", "data.mix[1].weight = 0 is outside",
         [](PrepareRun& run) {
           run.data().mutable_mix(0)->set_weight(1);
           run.data().mutable_mix(1)->set_weight(0);
         }},
        {"WeightNegative", "data.mix[0].weight = -1 is outside",
         [](PrepareRun& run) { run.data().mutable_mix(0)->set_weight(-1); }},
        {"OneWeightOfTwo", "data.mix: 1 of 2 datasets have a weight",
         [](PrepareRun& run) { run.data().mutable_mix(0)->set_weight(1); }},
        {"CapZero", "data.mix[1].max_rows = 0 is below 1",
         [](PrepareRun& run) { run.data().mutable_mix(1)->set_max_rows(0); }},
        {"MaxRowsBeside", "data.max_rows does not go with data.mix",
         [](PrepareRun& run) { run.data().set_max_rows(3); }},
        {"OtherFormat",
         "data.mix[1] (d1): its rows are prompt_completion (line 1), those of data.mix[0] (d0) are text",
         [](PrepareRun& run) { run.blobs.objects["d1"] = R"({"prompt":"a","completion":"b"})"; }},
        {"EmptyAfterDeduplicating", "data.mix[1] (d1): no row of it is left to train on (2 repeat others",
         [](PrepareRun& run) { run.data().mutable_deduplicate()->set_kind(v1::DUPLICATE_KIND_EXACT); }},
        {"ThresholdOutOfRange", "data.deduplicate.threshold = 1 is outside [0.5, 0.99]",
         [](PrepareRun& run) { run.data().mutable_deduplicate()->set_threshold(1); }},
        {"ThresholdNan", "data.deduplicate.threshold = nan is outside",
         [](PrepareRun& run) { run.data().mutable_deduplicate()->set_threshold(NAN); }},
        {"NgramZero", "data.deduplicate.ngram_words = 0 is outside [1, 32]",
         [](PrepareRun& run) { run.data().mutable_deduplicate()->set_ngram_words(0); }},
        {"SourceBeside", "data: source and mix are both given",
         [](PrepareRun& run) { run.task.mutable_prepare()->set_dataset_key("d0"); }},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::data
