#include "server/jobs/checkpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/jobs/memory_job_store.h"
#include "server/jobs/tasks.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kFolder[] = "tenants/default/jobs/a/stages/sft";

class CheckpointsTest : public testing::Test {
 protected:
  CheckpointsTest() {
    record_.set_id("a");
    record_.set_tenant("default");
    record_.mutable_job()->set_name("jobs/a");
    v1::Stage& spec = *record_.mutable_job()->mutable_spec()->add_stages();
    spec.set_id("sft");
    spec.mutable_train()->mutable_checkpoint()->set_keep(2);
    record_.mutable_job()->add_stages()->set_id("sft");
    StageRecord& stage = *record_.add_stages();
    stage.set_id("sft");
    stage.set_attempts_without_progress(2);
    LeaseRecord& lease = *stage.mutable_lease();
    lease.set_token(7);
    lease.set_incarnation("beef");
    lease.set_threads(3);
    lease.set_isa("avx2");
    lease.set_device_kind("cpu");
  }

  static std::string Key(int64_t step) { return absl::StrCat(kFolder, "/checkpoints/", step, "-7-beef"); }
  absl::Status Add(int64_t step, bool best = false) {
    v1::CheckpointInfo checkpoint;
    checkpoint.set_step(step);
    checkpoint.set_key(Key(step));
    checkpoint.set_best(best);
    return RecordCheckpoint(draft_, record_, 0, checkpoint);
  }
  std::vector<int64_t> Steps() const {
    std::vector<int64_t> steps;
    for (const auto& checkpoint : record_.job().stages(0).checkpoints()) steps.push_back(checkpoint.step());
    return steps;
  }
  // What would be deleted after the commit.
  std::vector<std::string> Deleted() {
    std::vector<std::string> prefixes;
    const auto committed = draft_.Commit(store_);
    for (const Effect& effect : committed->effects) {
      if (const auto* deletion = std::get_if<DeleteObjects>(&effect)) prefixes.push_back(deletion->prefix);
    }
    return prefixes;
  }

  State state_{{}};
  Limits limits_;
  MemoryJobStore store_;
  Draft draft_{state_, limits_, absl::FromUnixSeconds(1'700'000'000)};
  JobRecord record_;
};

TEST_F(CheckpointsTest, TheNewestOnesAndTheBestAreKept) {
  for (const int step : {10, 20, 30, 40}) ASSERT_TRUE(Add(step, step == 10).ok());
  EXPECT_THAT(Steps(), ElementsAre(10, 30, 40));
  EXPECT_THAT(Deleted(), ElementsAre(absl::StrCat(Key(20), "/")));
}

TEST_F(CheckpointsTest, ANewBestReplacesTheOldOne) {
  ASSERT_TRUE(Add(10, true).ok());
  ASSERT_TRUE(Add(20).ok());
  ASSERT_TRUE(Add(30, true).ok());
  ASSERT_TRUE(Add(40).ok());
  EXPECT_THAT(Steps(), ElementsAre(30, 40));
}

TEST_F(CheckpointsTest, SayingItTwiceChangesNothing) {
  ASSERT_TRUE(Add(10).ok());
  ASSERT_TRUE(Add(10).ok());
  EXPECT_THAT(Steps(), ElementsAre(10));
  EXPECT_EQ(record_.last_event(), 1);
}

TEST_F(CheckpointsTest, TheNumericClassIsPinnedAndTheAttemptsStartAnew) {
  ASSERT_TRUE(Add(10).ok());
  const StageRecord& stage = record_.stages(0);
  EXPECT_EQ(stage.threads(), 3);
  EXPECT_EQ(stage.isa(), "avx2");
  EXPECT_EQ(stage.device_kind(), "cpu");
  EXPECT_EQ(stage.attempts_without_progress(), 0);
  EXPECT_TRUE(stage.lease().progressed());
}

TEST_F(CheckpointsTest, KeysOfOtherAttemptsJobsAndPlacesAreRefused) {
  for (const std::string& key : {
           absl::StrCat(kFolder, "/checkpoints/10-6-beef"),
           absl::StrCat(kFolder, "/checkpoints/10-7-dead"),
           std::string("tenants/default/jobs/b/stages/sft/checkpoints/10-7-beef"),
           absl::StrCat(kFolder, "/checkpoints/x/10-7-beef"),
           absl::StrCat(kFolder, "/artifacts/10-7-beef"),
       }) {
    v1::CheckpointInfo checkpoint;
    checkpoint.set_key(key);
    EXPECT_TRUE(absl::IsInvalidArgument(RecordCheckpoint(draft_, record_, 0, checkpoint))) << key;
  }
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(CheckpointsTest, DamagedOnesAreNotResumedFrom) {
  for (const int step : {10, 20}) ASSERT_TRUE(Add(step).ok());
  EXPECT_EQ(ResumePoint(record_, 0)->step(), 20);
  record_.mutable_stages(0)->add_damaged(Key(20));
  EXPECT_EQ(ResumePoint(record_, 0)->step(), 10);
  record_.mutable_stages(0)->add_damaged(Key(10));
  EXPECT_EQ(ResumePoint(record_, 0), nullptr);
  // They are forgotten when they go.
  for (const int step : {30, 40}) ASSERT_TRUE(Add(step).ok());
  EXPECT_THAT(record_.stages(0).damaged(), IsEmpty());
}

TEST_F(CheckpointsTest, AnArtifactPublishedAgainReplacesTheOneBefore) {
  v1::Artifact artifact;
  artifact.set_name("adapter");
  artifact.set_key(absl::StrCat(kFolder, "/artifacts/old-7-beef"));
  artifact.set_job("jobs/somebody-else");
  ASSERT_TRUE(RecordArtifact(draft_, record_, 0, artifact).ok());
  artifact.set_key(absl::StrCat(kFolder, "/artifacts/adapter-7-beef"));
  ASSERT_TRUE(RecordArtifact(draft_, record_, 0, artifact).ok());
  ASSERT_EQ(record_.stages(0).artifacts_size(), 1);
  EXPECT_EQ(record_.stages(0).artifacts(0).key(), artifact.key());
  EXPECT_EQ(record_.stages(0).artifacts(0).job(), "jobs/a") << "the server says whose it is";
  EXPECT_THAT(Deleted(), ElementsAre(absl::StrCat(kFolder, "/artifacts/old-7-beef/")));
}

TEST_F(CheckpointsTest, ArtifactsOfOtherPlacesAreRefused) {
  v1::Artifact artifact;
  artifact.set_name("adapter");
  artifact.set_key("tenants/default/jobs/b/stages/sft/artifacts/adapter");
  EXPECT_TRUE(absl::IsInvalidArgument(RecordArtifact(draft_, record_, 0, artifact)));
  artifact.set_key(absl::StrCat(kFolder, "/artifacts/adapter"));
  artifact.clear_name();
  EXPECT_TRUE(absl::IsInvalidArgument(RecordArtifact(draft_, record_, 0, artifact)));
}

}  // namespace
}  // namespace vernier::server
