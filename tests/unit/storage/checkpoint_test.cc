#include "storage/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "storage/layout.h"
#include "storage/memory_store.h"

namespace vernier::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const char kFolder[] = "tenants/t/jobs/j/stages/s/checkpoints";

TensorView Floats(std::string name, const std::vector<float>& values) {
  TensorView view;
  view.name = std::move(name);
  view.shape = {static_cast<int64_t>(values.size())};
  view.bytes = {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  return view;
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointWriter::Committed Write(const CheckpointId& id) {
    CheckpointWriter writer(store_, kFolder, id);
    EXPECT_TRUE(writer.AddTensors("state", {Floats("parameter/w", values_)}).ok());
    EXPECT_TRUE(writer.AddBytes("cursor.bin", "xyz").ok());
    const auto committed = writer.Commit({{"step", id.step}}, {{"step", id.step}, {"best", 0.5}});
    EXPECT_TRUE(committed.ok()) << committed.status();
    return *committed;
  }
  const std::vector<float> values_ = {1.5F, -2.0F};
  MemoryStore store_;
};

TEST_F(CheckpointTest, WhatIsWrittenIsRead) {
  const CheckpointId id{1200, 7, "9f3a"};
  const auto committed = Write(id);
  const std::string folder = absl::StrCat(kFolder, "/000000001200-7-9f3a");
  const auto checkpoint = Checkpoint::Open(store_, folder, committed.manifest_sha256);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->state()["step"], 1200);
  EXPECT_EQ(checkpoint->manifest().fields["best"], 0.5);
  EXPECT_EQ(checkpoint->manifest().parts.size(), 3);
  const auto tensors = checkpoint->Tensors("state");
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ(tensors->Find("parameter/w")->bytes, Floats("", values_).bytes);
  EXPECT_EQ(*checkpoint->Bytes("cursor.bin"), "xyz");
  EXPECT_EQ(checkpoint->Tensors("other").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(checkpoint->Bytes("other").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, NamesSortByStepAndParseBack) {
  const CheckpointId ids[] = {
      {9, 1, "a"}, {10, 1, "a"}, {10, 2, "a"}, {1'000'000, 18446744073709551615U, "A_z9"}};
  std::string before;
  for (const CheckpointId& id : ids) {
    EXPECT_LT(before, id.Name());
    before = id.Name();
    EXPECT_EQ(*CheckpointId::Parse(id.Name()), id);
  }
  EXPECT_EQ(ids[0].Name(), "000000000009-1-a");
}

TEST_F(CheckpointTest, OtherNamesDoNotParse) {
  for (const std::string name :
       {"", "9-1-a", "000000000009-1", "000000000009-1-", "000000000009-01-a", "000000000009-+1-a",
        "000000000009--1-a", "-00000000009-1-a", "000000000009-1-a-b", "000000000009-1-a.b",
        "000000000009-1-a/b", "0000000000090-1-a", "000000000009-18446744073709551616-a",
        " 00000000009-1-a"}) {
    EXPECT_EQ(CheckpointId::Parse(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(CheckpointId::Parse("000000000009-1-" + std::string(65, 'a')).ok());
}

TEST_F(CheckpointTest, BadIdsAreRefusedByEveryCall) {
  for (const CheckpointId& id : {CheckpointId{-1, 1, "a"}, CheckpointId{1'000'000'000'000, 1, "a"},
                                 CheckpointId{1, 1, ""}, CheckpointId{1, 1, "a/000000000001-1-b"}}) {
    CheckpointWriter writer(store_, kFolder, id);
    EXPECT_EQ(writer.AddTensors("state", {}).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(writer.AddBytes("x", "y").code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(writer.Commit(nlohmann::json::object()).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(DeleteCheckpoint(store_, kFolder, id).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(ListAll(store_, "")->empty());
}

TEST_F(CheckpointTest, ItDoesNotExistBeforeItsManifest) {
  CheckpointWriter writer(store_, kFolder, {1, 1, "a"});
  ASSERT_TRUE(writer.AddTensors("state", {}).ok());
  EXPECT_EQ(Checkpoint::Open(store_, writer.folder()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(ListCheckpoints(store_, kFolder)->empty());
  ASSERT_TRUE(writer.Commit(nlohmann::json::object()).ok());
  EXPECT_EQ(ListCheckpoints(store_, kFolder)->size(), 1);
}

TEST_F(CheckpointTest, AZombieOfAnotherIncarnationWritesBeside) {
  Write({5, 7, "aaaa"});
  Write({5, 8, "bbbb"});
  EXPECT_THAT(*ListCheckpoints(store_, kFolder),
              ElementsAre(CheckpointId{5, 7, "aaaa"}, CheckpointId{5, 8, "bbbb"}));
}

TEST_F(CheckpointTest, AnotherCheckpointOfTheSameIdIsRefused) {
  const CheckpointId id{5, 7, "aaaa"};
  Write(id);
  Write(id);  // a retry with equal bytes
  CheckpointWriter writer(store_, kFolder, id);
  EXPECT_EQ(writer.AddTensors("state", {Floats("parameter/w", {9.0F})}).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(writer.Commit({{"step", 6}}).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(CheckpointTest, PartsOfSeveralWritersMakeOneCheckpoint) {
  const CheckpointId id{5, 7, "aaaa"};
  CheckpointWriter other(store_, kFolder, id);
  ASSERT_TRUE(other.AddTensors("rank-1", {Floats("w", values_)}).ok());
  CheckpointWriter writer(store_, kFolder, id);
  ASSERT_TRUE(writer.AddTensors("rank-0", {Floats("w", values_)}).ok());
  ASSERT_TRUE(writer.AddWritten(other.parts()[0]).ok());
  EXPECT_EQ(writer.AddWritten(other.parts()[0]).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(writer.Commit(nlohmann::json::object()).ok());
  const auto checkpoint = Checkpoint::Open(store_, writer.folder());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_TRUE(checkpoint->Tensors("rank-1").ok());
}

TEST_F(CheckpointTest, PartNamesAreTakenOnce) {
  CheckpointWriter writer(store_, kFolder, {5, 7, "aaaa"});
  ASSERT_TRUE(writer.AddBytes("x", "1").ok());
  EXPECT_EQ(writer.AddBytes("x", "1").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer.AddBytes("manifest.json", "1").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer.AddBytes("../x", "1").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(writer.Commit(nlohmann::json::array()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CheckpointTest, DamageIsFoundAndNamed) {
  const CheckpointId id{5, 7, "aaaa"};
  const auto committed = Write(id);
  const std::string folder = absl::StrCat(kFolder, "/", id.Name());
  for (const std::string part : {"state.safetensors", "cursor.bin", "state.json", "manifest.json"}) {
    const std::string key = absl::StrCat(folder, "/", part);
    const std::string good = *store_.Get(key);
    std::string flipped = good;
    flipped.back() ^= 1;
    ASSERT_TRUE(store_.Put(key, flipped).ok());
    const absl::Status damaged = Checkpoint::Open(store_, folder, committed.manifest_sha256).status();
    EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss) << part;
    EXPECT_THAT(std::string(damaged.message()), StartsWith(key));
    ASSERT_TRUE(store_.Put(key, good.substr(1)).ok());
    EXPECT_EQ(Checkpoint::Open(store_, folder).status().code(), absl::StatusCode::kDataLoss) << part;
    ASSERT_TRUE(store_.Delete(key).ok());
    EXPECT_EQ(Checkpoint::Open(store_, folder).status().code(),
              part == "manifest.json" ? absl::StatusCode::kNotFound : absl::StatusCode::kDataLoss)
        << part;
    ASSERT_TRUE(store_.Put(key, good).ok());
  }
  EXPECT_TRUE(Checkpoint::Open(store_, folder, committed.manifest_sha256).ok());
}

TEST_F(CheckpointTest, ListingIgnoresStrangersAndUnfinishedOnes) {
  Write({100, 1, "a"});
  Write({20, 1, "a"});
  for (const std::string key : {"/notes/manifest.json", "/000000000030-1-a/state.json", "/manifest.json",
                                "/000000000030-1-a/deep/manifest.json"}) {
    ASSERT_TRUE(store_.Put(kFolder + key, "{}").ok());
  }
  EXPECT_THAT(*ListCheckpoints(store_, kFolder),
              ElementsAre(CheckpointId{20, 1, "a"}, CheckpointId{100, 1, "a"}));
}

TEST_F(CheckpointTest, DeletingTakesOnlyTheOneNamed) {
  Write({5, 7, "a"});
  Write({5, 7, "ab"});
  ASSERT_TRUE(DeleteCheckpoint(store_, kFolder, {5, 7, "a"}).ok());
  EXPECT_THAT(*ListCheckpoints(store_, kFolder), ElementsAre(CheckpointId{5, 7, "ab"}));
  EXPECT_EQ(ListAll(store_, kFolder)->size(), 4);
  EXPECT_TRUE(DeleteCheckpoint(store_, kFolder, {5, 7, "a"}).ok());
}

}  // namespace
}  // namespace vernier::storage
