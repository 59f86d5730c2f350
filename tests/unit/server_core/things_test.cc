// Datasets, models, adapters, artifacts, and what is alive.
#include <gmock/gmock.h>

#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class ThingsTest : public CoreFixture {
 protected:
  absl::StatusOr<Core::Registered> AddDataset(const std::string& name, char digest) {
    v1::Dataset dataset;
    dataset.set_name(name);
    dataset.set_digest(Digest(digest));
    return core->RegisterDataset(kTenant, dataset, now);
  }
};

TEST_F(ThingsTest, DatasetsAreFoundByNameDigestAndPrefixAlsoAfterARestart) {
  ASSERT_TRUE(AddDataset("rows", '1').ok());
  Restart();
  for (const std::string& name : {std::string("rows"), Digest('1'), Digest('1').substr(0, 12)}) {
    const auto dataset = core->GetDataset(kTenant, name);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ(dataset->name(), "rows");
  }
  EXPECT_TRUE(absl::IsNotFound(core->GetDataset("other", "rows").status()));
}

TEST_F(ThingsTest, EqualContentIsTheSameDatasetAndMayHaveAnotherName) {
  EXPECT_FALSE(AddDataset("rows", '1')->existed);
  EXPECT_TRUE(AddDataset("rows", '1')->existed);
  EXPECT_TRUE(AddDataset("", '1')->existed);
  EXPECT_EQ(AddDataset("", '1')->dataset.name(), "rows");
  EXPECT_EQ(AddDataset("again", '1')->dataset.name(), "again");
  EXPECT_EQ(AddDataset("", '2')->dataset.name(), "222222222222");
}

TEST_F(ThingsTest, ATakenNameIsRefused) {
  ASSERT_TRUE(AddDataset("rows", '1').ok());
  const absl::Status status = AddDataset("rows", '2').status();
  EXPECT_TRUE(absl::IsAlreadyExists(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("choose another name"));
}

TEST_F(ThingsTest, BadNamesAndDigestsAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(AddDataset("a/b", '1').status()));
  EXPECT_TRUE(absl::IsInvalidArgument(AddDataset("rows", 'X').status()));
  v1::Model model;
  model.set_name("m");
  model.set_digest("short");
  EXPECT_TRUE(absl::IsInvalidArgument(core->RegisterModel(kTenant, model, now).status()));
}

TEST_F(ThingsTest, ListsArePagedByName) {
  for (const char* name : {"c", "a", "b"}) ASSERT_TRUE(AddDataset(name, *name).ok());
  v1::ListDatasetsRequest request;
  request.set_page_size(3);
  const auto first = core->ListDatasets(kTenant, request);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(first->datasets(), SizeIs(3));
  EXPECT_EQ(first->datasets(0).name(), "a");
  request.set_page_token(first->next_page_token());
  const auto second = core->ListDatasets(kTenant, request);
  ASSERT_THAT(second->datasets(), SizeIs(1));
  EXPECT_EQ(second->datasets(0).name(), "chat");
  EXPECT_EQ(second->next_page_token(), "");
  request.set_page_size(-1);
  EXPECT_TRUE(absl::IsInvalidArgument(core->ListDatasets(kTenant, request).status()));
}

TEST_F(ThingsTest, WhatAJobUsesCannotBeDeletedWhileItRuns) {
  const std::string job = Submit();
  const absl::Status dataset = core->DeleteDataset(kTenant, "chat");
  EXPECT_TRUE(absl::IsFailedPrecondition(dataset));
  EXPECT_THAT(std::string(dataset.message()), HasSubstr(job));
  EXPECT_TRUE(absl::IsFailedPrecondition(core->DeleteModel(kTenant, "smollm2")));
  ASSERT_TRUE(core->CancelJob(kTenant, job, now).ok());
  Pump();
  EXPECT_TRUE(core->DeleteDataset(kTenant, "chat").ok());
  EXPECT_TRUE(core->DeleteModel(kTenant, "smollm2").ok());
  Pump();
  EXPECT_THAT(Take<DeleteObjects>(), SizeIs(2));
  EXPECT_TRUE(absl::IsNotFound(core->GetModel(kTenant, "smollm2").status()));
}

TEST_F(ThingsTest, ContentWithAnotherNameStays) {
  ASSERT_TRUE(AddDataset("one", '1').ok());
  ASSERT_TRUE(AddDataset("two", '1').ok());
  ASSERT_TRUE(core->DeleteDataset(kTenant, "one").ok());
  Pump();
  EXPECT_THAT(Take<DeleteObjects>(), IsEmpty());
  ASSERT_TRUE(core->DeleteDataset(kTenant, "two").ok());
  Pump();
  const std::vector<DeleteObjects> deletions = Take<DeleteObjects>();
  ASSERT_THAT(deletions, SizeIs(1));
  EXPECT_EQ(deletions[0].prefix, absl::StrCat("tenants/default/datasets/", Digest('1'), "/"));
  EXPECT_FALSE(core->IsLive(deletions[0].prefix));
  ASSERT_TRUE(AddDataset("three", '1').ok());
  EXPECT_TRUE(core->IsLive(deletions[0].prefix)) << "it came back before the deletion was done";
}

TEST_F(ThingsTest, AdaptersAreImportedOnceAndUsed) {
  AdapterRecord adapter;
  adapter.set_digest(Digest('a'));
  adapter.set_key(absl::StrCat("tenants/default/adapters/", Digest('a')));
  ASSERT_TRUE(core->RegisterAdapter(kTenant, adapter, now).ok());
  ASSERT_TRUE(core->RegisterAdapter(kTenant, adapter, now).ok());
  EXPECT_THAT(*core->ListAdapters(kTenant), SizeIs(1));
  Submit(absl::StrCat("train { init_from { adapter: 'adapters/", Digest('a'), "' } }"));
  EXPECT_TRUE(absl::IsFailedPrecondition(core->DeleteAdapter(kTenant, "adapters/" + Digest('a'))));
  const ConnectionId agent = Connect();
  Prepare(agent);
  EXPECT_EQ(Accept(agent).task.train().init_adapter_key(), adapter.key());
}

TEST_F(ThingsTest, AJobWhoseAdapterIsContinuedCannotBeDeleted) {
  const std::string first = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Publish(held);
  Finish(held);
  const std::string second = Submit(absl::StrCat("train { init_from { job: '", first, "' } }"));
  EXPECT_TRUE(absl::IsFailedPrecondition(core->DeleteJob(kTenant, first, now)));
  ASSERT_TRUE(core->CancelJob(kTenant, second, now).ok());
  EXPECT_TRUE(core->DeleteJob(kTenant, first, now).ok());
}

TEST_F(ThingsTest, ArtifactsOfAnUnclearNameSayWhatThereIs) {
  const std::string job = Submit("stages { id: 'x' train {} } stages { id: 'y' after: 'x' train {} }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  EXPECT_THAT(std::string(core->GetArtifact(kTenant, job, "", "").status().message()),
              HasSubstr("published none"));
  for (int i = 0; i < 2; ++i) {
    Held held = Accept(agent);
    Publish(held);
    Finish(held);
  }
  EXPECT_THAT(std::string(core->GetArtifact(kTenant, job, "", "adapter").status().message()),
              HasSubstr("it has x/adapter, y/adapter"));
  EXPECT_EQ(core->GetArtifact(kTenant, job, "y", "")->stage(), "y");
  EXPECT_TRUE(absl::IsNotFound(core->GetArtifact(kTenant, job, "x", "weights").status()));
  EXPECT_THAT(*core->ListArtifacts(kTenant, ""), SizeIs(2));
  EXPECT_THAT(*core->ListArtifacts("other", ""), IsEmpty());
}

TEST_F(ThingsTest, LivePrefixesHoldEverythingThatIsReferredTo) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Checkpoint(held, 5);
  Publish(held);
  EXPECT_THAT(core->LivePrefixes(), Contains("tenants/default/prepared/p/"));
  Finish(held);
  const std::vector<std::string> live = core->LivePrefixes();
  EXPECT_THAT(live, Contains(absl::StrCat("tenants/default/datasets/", Digest('d'), "/")));
  EXPECT_THAT(live, Contains(absl::StrCat("tenants/default/models/", Digest('e'), "/")));
  EXPECT_THAT(live, Contains(absl::StrCat(CheckpointKey(held, 5), "/")));
  EXPECT_THAT(live, Contains(absl::StrCat(ArtifactKey(held, "adapter"), "/")));
  EXPECT_THAT(live, Not(Contains("tenants/default/prepared/p/"))) << "the job has ended";
  EXPECT_TRUE(core->IsLive(absl::StrCat("tenants/default/", job, "/")));
  EXPECT_FALSE(core->IsLive("tenants/default/prepared/p/"));
}

}  // namespace
}  // namespace vernier::server
