#include "server/jobs/draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/text.h"
#include "server/jobs/memory_job_store.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

JobRecord Record(const std::string& id, uint64_t order) {
  JobRecord record;
  record.set_id(id);
  record.set_tenant("default");
  record.set_order(order);
  record.mutable_job()->set_name("jobs/" + id);
  record.mutable_job()->set_state(v1::JOB_STATE_QUEUED);
  return record;
}

class DraftTest : public testing::Test {
 protected:
  DraftTest() {
    Draft draft = Begin();
    draft.Add(Record("a", draft.NextOrder()));
    EXPECT_TRUE(draft.Commit(store_).ok());
  }
  Draft Begin() { return Draft(state_, limits_, kNow); }

  MemoryJobStore store_;
  State state_{{}};
  Limits limits_;
};

TEST_F(DraftTest, NothingChangesBeforeTheCommit) {
  Draft draft = Begin();
  draft.Edit("a").mutable_job()->set_state(v1::JOB_STATE_RUNNING);
  EXPECT_EQ(draft.Find("a")->job().state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(state_.Find("a")->job().state(), v1::JOB_STATE_QUEUED);
  ASSERT_TRUE(draft.Commit(store_).ok());
  EXPECT_EQ(state_.Find("a")->job().state(), v1::JOB_STATE_RUNNING);
}

TEST_F(DraftTest, AFailedCommitChangesNothing) {
  store_.FailWith(absl::ResourceExhaustedError("disk full"));
  Draft draft = Begin();
  draft.Edit("a").mutable_job()->set_state(v1::JOB_STATE_RUNNING);
  draft.NextToken();
  draft.Add(Record("b", draft.NextOrder()));
  EXPECT_TRUE(absl::IsResourceExhausted(draft.Commit(store_).status()));
  EXPECT_EQ(state_.Find("a")->job().state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(state_.Find("b"), nullptr);
  EXPECT_EQ(state_.counters.next_token, 1);
}

TEST_F(DraftTest, ADraftWithoutChangesWritesNothing) {
  const int64_t before = store_.num_commits();
  EXPECT_TRUE(Begin().Commit(store_).ok());
  EXPECT_EQ(store_.num_commits(), before);
}

TEST_F(DraftTest, TokensAndOrdersNeverRepeat) {
  Draft first = Begin();
  EXPECT_EQ(first.NextToken(), 1);
  EXPECT_EQ(first.NextToken(), 2);
  ASSERT_TRUE(first.Commit(store_).ok());
  EXPECT_EQ(Begin().NextToken(), 3);
  EXPECT_EQ(State(*store_.Load()).counters.next_token, 3);
}

TEST_F(DraftTest, EventsAreNumberedWithoutGaps) {
  for (int i = 0; i < 3; ++i) {
    Draft draft = Begin();
    JobRecord& record = draft.Edit("a");
    draft.AddEvent(record, "info", "", "one");
    draft.AddEvent(record, "info", "", "two");
    ASSERT_TRUE(draft.Commit(store_).ok());
  }
  const auto events = store_.ListEvents("a", 0, 100);
  ASSERT_THAT(*events, SizeIs(6));
  for (int i = 0; i < 6; ++i) EXPECT_EQ((*events)[i].sequence(), i + 1);
}

TEST_F(DraftTest, TheHistoryOfAJobIsBounded) {
  limits_.max_events_per_job = 150;
  for (int i = 0; i < 1000; ++i) {
    Draft draft = Begin();
    draft.AddEvent(draft.Edit("a"), "info", "", "again");
    ASSERT_TRUE(draft.Commit(store_).ok());
  }
  const auto events = store_.ListEvents("a", 0, 10'000);
  EXPECT_GE(events->size(), 150);
  EXPECT_LT(events->size(), 300);
  EXPECT_EQ(events->back().sequence(), 1000);
}

TEST_F(DraftTest, ThePointsOfAStageAreBounded) {
  limits_.max_points_per_stage = 2000;
  for (int step = 1; step <= 10'000; ++step) {
    Draft draft = Begin();
    v1::MetricPoint point;
    point.set_stage("s");
    point.set_step(step);
    draft.AddPoint(*draft.Find("a"), point);
    ASSERT_TRUE(draft.Commit(store_).ok());
  }
  const auto points = store_.ListPoints("a", "s", 0, 100'000);
  EXPECT_GE(points->size(), 2000);
  EXPECT_LE(points->size(), 3001);
}

TEST_F(DraftTest, CommitTellsWhichLeasesBeganAndEnded) {
  {
    Draft draft = Begin();
    StageRecord& stage = *draft.Edit("a").add_stages();
    stage.set_id("s");
    stage.mutable_lease()->set_lease("l1");
    const auto committed = draft.Commit(store_);
    EXPECT_THAT(committed->started, IsEmpty()) << "granted, not committed";
    EXPECT_NE(state_.FindLease("l1"), nullptr);
  }
  {
    Draft draft = Begin();
    draft.Edit("a").mutable_stages(0)->mutable_lease()->set_committed(true);
    EXPECT_THAT(draft.Commit(store_)->started, ElementsAre("l1"));
  }
  {
    Draft draft = Begin();
    draft.Edit("a").mutable_stages(0)->mutable_lease()->set_lease("l2");
    const auto committed = draft.Commit(store_);
    EXPECT_THAT(committed->released, ElementsAre("l1"));
    EXPECT_THAT(committed->started, ElementsAre("l2"));
  }
  {
    Draft draft = Begin();
    draft.Delete("a");
    EXPECT_THAT(draft.Commit(store_)->released, ElementsAre("l2"));
    EXPECT_EQ(state_.FindLease("l2"), nullptr);
  }
}

TEST(ShortenedTest, CutsBetweenCharacters) {
  EXPECT_EQ(Shortened("short", 10), "short");
  const std::string cut = Shortened("ääääääääää", 13);
  EXPECT_EQ(cut, "ääää ...");
  for (size_t max = 5; max < 20; ++max) {
    const std::string shortened = Shortened("日本語テキスト", max);
    EXPECT_LE(shortened.size(), max);
    EXPECT_EQ(FirstInvalidUtf8(shortened), absl::string_view::npos) << max;
  }
}

TEST(TimestampTest, RoundTripsToTheMicrosecond) {
  const absl::Time time = kNow + absl::Microseconds(123456);
  EXPECT_EQ(FromTimestamp(ToTimestamp(time)), time);
}

}  // namespace
}  // namespace vernier::server
