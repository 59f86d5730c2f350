// What every JobStore backend promises.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "google/protobuf/util/message_differencer.h"
#include "server/jobs/memory_job_store.h"
#include "server/jobs/sqlite_job_store.h"
#include "tests/testing/temp_folder.h"

namespace vernier::server {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A backend whose contents survive Reopen.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual JobStore& store() = 0;
  virtual void Reopen() = 0;
};

class MemoryBackend final : public Backend {
 public:
  JobStore& store() override { return store_; }
  void Reopen() override {}

 private:
  MemoryJobStore store_;
};

class SqliteBackend final : public Backend {
 public:
  SqliteBackend() { Reopen(); }
  JobStore& store() override { return *store_; }
  void Reopen() override {
    store_.reset();
    auto opened = OpenSqliteJobStore(folder_.path() + "/jobs.db");
    if (!opened.ok()) ADD_FAILURE() << opened.status();
    store_ = *std::move(opened);
  }

 private:
  TempFolder folder_;
  std::unique_ptr<JobStore> store_;
};

struct BackendCase {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;
};

class JobStoreContractTest : public ::testing::TestWithParam<BackendCase> {
 protected:
  JobStore& store() { return backend_->store(); }
  void Commit(const StoreBatch& batch) {
    const absl::Status status = store().Commit(batch);
    ASSERT_TRUE(status.ok()) << status;
  }
  StoreSnapshot Load() {
    auto loaded = store().Load();
    if (!loaded.ok()) ADD_FAILURE() << loaded.status();
    return *std::move(loaded);
  }
  std::vector<int64_t> Sequences(const std::string& job, int64_t after = 0, int limit = 100) {
    std::vector<int64_t> sequences;
    const auto events = store().ListEvents(job, after, limit);
    if (!events.ok()) ADD_FAILURE() << events.status();
    for (const v1::JobEvent& event : *events) sequences.push_back(event.sequence());
    return sequences;
  }
  std::vector<StoredPoint> Points(const std::string& job, const std::string& stage = "", int64_t after = 0,
                                  int limit = 100) {
    auto points = store().ListPoints(job, stage, after, limit);
    if (!points.ok()) ADD_FAILURE() << points.status();
    return *std::move(points);
  }

  std::unique_ptr<Backend> backend_ = GetParam().make();
};

JobRecord Record(const std::string& id, uint64_t order) {
  JobRecord record;
  record.set_id(id);
  record.set_tenant("default");
  record.set_order(order);
  record.mutable_job()->set_name("jobs/" + id);
  record.mutable_job()->set_state(v1::JOB_STATE_QUEUED);
  return record;
}

StoreBatch::Event Event(const std::string& job, int64_t sequence) {
  StoreBatch::Event event{job, {}};
  event.event.set_sequence(sequence);
  event.event.set_message("event " + std::to_string(sequence));
  return event;
}

StoreBatch::Point Point(const std::string& job, const std::string& stage, int64_t step,
                        const std::string& name, double value) {
  StoreBatch::Point point{job, {}};
  point.point.set_stage(stage);
  point.point.set_step(step);
  (*point.point.mutable_values())[name] = value;
  return point;
}

TEST_P(JobStoreContractTest, ANewStoreIsEmptyAndCountsFromOne) {
  const StoreSnapshot snapshot = Load();
  EXPECT_THAT(snapshot.jobs, IsEmpty());
  EXPECT_EQ(snapshot.counters, (Counters{.epoch = 0, .next_token = 1, .next_order = 1}));
}

TEST_P(JobStoreContractTest, WhatWasCommittedIsThereAfterReopening) {
  StoreBatch batch;
  batch.counters = Counters{.epoch = 3, .next_token = uint64_t{1} << 40, .next_order = 9};
  batch.put_jobs = {Record("b", 2), Record("a", 1)};
  batch.events = {Event("a", 1), Event("a", 2)};
  batch.points = {Point("a", "sft", 1, "loss", 2.5)};
  v1::Dataset dataset;
  dataset.set_name("rows");
  dataset.set_digest("d1");
  batch.put_datasets = {{"default", dataset}, {"other", dataset}};
  v1::Model model;
  model.set_name("m");
  batch.put_models = {{"default", model}};
  AdapterRecord adapter;
  adapter.set_digest("cafe");
  batch.put_adapters = {{"default", adapter}};
  Commit(batch);
  backend_->Reopen();

  const StoreSnapshot snapshot = Load();
  EXPECT_EQ(snapshot.counters, *batch.counters);
  ASSERT_THAT(snapshot.jobs, SizeIs(2));
  EXPECT_EQ(snapshot.jobs[0].id(), "a") << "in order of submission";
  EXPECT_TRUE(MessageDifferencer::Equals(snapshot.jobs[1], batch.put_jobs[0]));
  EXPECT_THAT(snapshot.datasets, SizeIs(2));
  ASSERT_THAT(snapshot.models, SizeIs(1));
  EXPECT_EQ(snapshot.models[0].tenant, "default");
  EXPECT_EQ(snapshot.models[0].value.name(), "m");
  EXPECT_THAT(snapshot.adapters, SizeIs(1));
  EXPECT_THAT(Sequences("a"), ElementsAre(1, 2));
  ASSERT_THAT(Points("a"), SizeIs(1));
}

TEST_P(JobStoreContractTest, PutReplacesAndDeleteTakesEverythingOfTheJobAlong) {
  StoreBatch batch;
  batch.put_jobs = {Record("a", 1), Record("b", 2)};
  batch.events = {Event("a", 1), Event("b", 1)};
  batch.points = {Point("a", "s", 1, "x", 1), Point("b", "s", 1, "x", 1)};
  Commit(batch);
  StoreBatch change;
  JobRecord changed = Record("b", 2);
  changed.mutable_job()->set_state(v1::JOB_STATE_RUNNING);
  change.put_jobs = {changed};
  change.delete_jobs = {"a"};
  Commit(change);
  const StoreSnapshot snapshot = Load();
  ASSERT_THAT(snapshot.jobs, SizeIs(1));
  EXPECT_EQ(snapshot.jobs[0].job().state(), v1::JOB_STATE_RUNNING);
  EXPECT_THAT(Sequences("a"), IsEmpty());
  EXPECT_THAT(Sequences("b"), ElementsAre(1));
  EXPECT_THAT(Points("a"), IsEmpty());
  EXPECT_THAT(Points("b"), SizeIs(1));
}

TEST_P(JobStoreContractTest, EventsArePagedInOrder) {
  StoreBatch batch;
  for (const int i : {3, 1, 2, 10, 4}) batch.events.push_back(Event("a", i));
  batch.events.push_back(Event("ab", 1));
  Commit(batch);
  EXPECT_THAT(Sequences("a", 0, 2), ElementsAre(1, 2));
  EXPECT_THAT(Sequences("a", 2, 100), ElementsAre(3, 4, 10));
  EXPECT_THAT(Sequences("a", 10), IsEmpty());
}

TEST_P(JobStoreContractTest, OldEventsGo) {
  StoreBatch batch;
  for (int i = 1; i <= 5; ++i) batch.events.push_back(Event("a", i));
  batch.events.push_back(Event("b", 1));
  Commit(batch);
  StoreBatch trim;
  trim.delete_events = {{"a", 4}};
  Commit(trim);
  EXPECT_THAT(Sequences("a"), ElementsAre(4, 5));
  EXPECT_THAT(Sequences("b"), ElementsAre(1));
}

TEST_P(JobStoreContractTest, ATransactionThatFailsLeavesNothing) {
  StoreBatch batch;
  batch.events = {Event("a", 1)};
  Commit(batch);
  StoreBatch twice;
  twice.counters = Counters{.epoch = 7};
  twice.put_jobs = {Record("x", 5)};
  twice.points = {Point("a", "s", 1, "x", 1)};
  twice.events = {Event("a", 2), Event("a", 1)};  // 1 is there already
  EXPECT_FALSE(store().Commit(twice).ok());
  EXPECT_THAT(Load().jobs, IsEmpty());
  EXPECT_EQ(Load().counters.epoch, 0);
  EXPECT_THAT(Sequences("a"), ElementsAre(1));
  EXPECT_THAT(Points("a"), IsEmpty());
  Commit({.put_jobs = {Record("x", 5)}});  // and the store works on
}

TEST_P(JobStoreContractTest, PointsOfAStepAreOneAndComeAnewWhenTheyChange) {
  StoreBatch batch;
  batch.points = {Point("a", "sft", 1, "train_loss", 3), Point("a", "sft", 2, "train_loss", 2)};
  Commit(batch);
  const int64_t seen = Points("a").back().cursor;
  EXPECT_THAT(Points("a", "", seen), IsEmpty());

  StoreBatch more;
  more.points = {Point("a", "sft", 1, "valid_loss", 4), Point("a", "sft", 1, "train_loss", 2.5)};
  Commit(more);
  const std::vector<StoredPoint> fresh = Points("a", "", seen);
  ASSERT_THAT(fresh, SizeIs(1)) << "one point a step";
  EXPECT_EQ(fresh[0].point.values().at("train_loss"), 2.5);
  EXPECT_EQ(fresh[0].point.values().at("valid_loss"), 4);
  EXPECT_THAT(Points("a"), SizeIs(2));
}

TEST_P(JobStoreContractTest, PointsArePagedByStage) {
  StoreBatch batch;
  for (int step = 1; step <= 4; ++step) {
    batch.points.push_back(Point("a", "x", step, "v", step));
    batch.points.push_back(Point("a", "y", step, "v", step));
  }
  Commit(batch);
  const std::vector<StoredPoint> first = Points("a", "x", 0, 3);
  ASSERT_THAT(first, SizeIs(3));
  const std::vector<StoredPoint> rest = Points("a", "x", first.back().cursor, 3);
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].point.step(), 4);
  EXPECT_THAT(Points("a"), SizeIs(8));
}

TEST_P(JobStoreContractTest, OldPointsGo) {
  StoreBatch batch;
  for (int step = 1; step <= 4; ++step) batch.points.push_back(Point("a", "x", step, "v", step));
  batch.points.push_back(Point("a", "y", 1, "v", 1));
  Commit(batch);
  StoreBatch trim;
  trim.delete_points = {{"a", "x", 4}};
  Commit(trim);
  EXPECT_THAT(Points("a", "x"), SizeIs(1));
  EXPECT_THAT(Points("a", "y"), SizeIs(1));
}

TEST_P(JobStoreContractTest, ThingsAreByTenantAndName) {
  v1::Dataset dataset;
  dataset.set_name("rows");
  dataset.set_digest("old");
  Commit({.put_datasets = {{"a", dataset}, {"b", dataset}}});
  dataset.set_digest("new");
  Commit({.put_datasets = {{"a", dataset}}, .delete_datasets = {{"b", "rows"}}});
  const StoreSnapshot snapshot = Load();
  ASSERT_THAT(snapshot.datasets, SizeIs(1));
  EXPECT_EQ(snapshot.datasets[0].tenant, "a");
  EXPECT_EQ(snapshot.datasets[0].value.digest(), "new");
}

INSTANTIATE_TEST_SUITE_P(Backends, JobStoreContractTest,
                         ::testing::ValuesIn<BackendCase>({
                             {"Memory", [] { return std::make_unique<MemoryBackend>(); }},
                             {"Sqlite", [] { return std::make_unique<SqliteBackend>(); }},
                         }),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::server
