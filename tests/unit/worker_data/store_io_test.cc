// Preparing into a real object store, and reading what was prepared out of it.
#include "worker/data/store_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "storage/registry.h"
#include "tests/testing/temp_folder.h"
#include "tests/unit/worker_data/fakes.h"
#include "worker/data/prepare_task.h"
#include "worker/data/prepared_data.h"

namespace vernier::data {
namespace {

class StoreIoTest : public testing::TestWithParam<const char*> {
 protected:
  StoreIoTest() {
    const std::string uri = GetParam() == std::string("folder") ? folder_.File("store") : "memory:";
    store_ = *storage::OpenObjectStore(uri);
    blobs_ = BlobsOf(*store_);
  }
  TempFolder folder_;
  std::unique_ptr<storage::ObjectStore> store_;
  std::unique_ptr<Blobs> blobs_;
};

TEST_P(StoreIoTest, BlobsAreTheObjectsOfTheStore) {
  ASSERT_TRUE(blobs_->Put("a/b", "0123456789").ok());
  EXPECT_EQ(*store_->Get("a/b"), "0123456789");
  EXPECT_EQ(*blobs_->Size("a/b"), 10);
  EXPECT_EQ(*blobs_->ReadAt("a/b", 8, 100), "89");
  EXPECT_EQ(*blobs_->ReadAt("a/b", 10, 100), "");
  EXPECT_EQ(*ReadWhole(*blobs_, "a/b", 10), "0123456789");
  EXPECT_EQ(ReadWhole(*blobs_, "a/b", 9).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(blobs_->Size("none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(blobs_->ReadAt("none", 0, 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(blobs_->LocalPath("none"), "");
  EXPECT_EQ(blobs_->LocalPath("a/b").empty(), GetParam() == std::string("memory"));
}

TEST_P(StoreIoTest, PutOnceKeepsTheFirst) {
  EXPECT_TRUE(blobs_->PutOnce("k", "x").ok());
  EXPECT_TRUE(blobs_->PutOnce("k", "x").ok());
  EXPECT_EQ(blobs_->PutOnce("k", "y").code(), absl::StatusCode::kAlreadyExists);
}

TEST_P(StoreIoTest, WhatIsPreparedIsRead) {
  std::string rows;
  for (int i = 0; i < 20; ++i) absl::StrAppend(&rows, "{\"text\":\"row ", i, "\"}\n");
  ASSERT_TRUE(store_->Put("d", rows).ok());
  ASSERT_TRUE(store_->Put("m/tokenizer.json", "{}").ok());
  v1::Task task;
  task.set_tenant("t");
  task.mutable_prepare()->set_dataset_key("d");
  task.mutable_prepare()->set_model_key("m");
  task.mutable_prepare()->set_validation_fraction(0.25);
  const CodecFactory factory = [](const CodecFiles&, std::string*) { return std::make_unique<ByteCodec>(); };
  const auto prepared = RunPrepareOn(task, *blobs_, factory, nullptr, nullptr);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const auto train = PreparedRows::Open(*store_, prepared->key(), Split::kTrain);
  const auto validation = PreparedRows::Open(*store_, prepared->key(), Split::kValidation);
  ASSERT_TRUE(train.ok() && validation.ok()) << train.status() << validation.status();
  EXPECT_EQ(train->num_rows() + validation->num_rows(), 20);
  const auto report = ReadReport(*store_, prepared->key());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->SerializeAsString(), prepared->report().SerializeAsString());
  const auto facts = ReadFacts(*store_, prepared->key());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->format, "text");
  EXPECT_EQ(facts->eos_id, ByteCodec::kEos);
  EXPECT_EQ(absl::StrCat("tenants/t/prepared/", facts->digest), prepared->key());
}

TEST_P(StoreIoTest, WhatWasNotPreparedIsNotFoundAndDamageIsDataLoss) {
  EXPECT_EQ(PreparedRows::Open(*store_, "p", Split::kTrain).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadReport(*store_, "p").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadFacts(*store_, "p").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(store_->Put("p/manifest.json", "{}").ok());
  EXPECT_EQ(PreparedRows::Open(*store_, "p", Split::kTrain).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadReport(*store_, "p").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ReadFacts(*store_, "p").status().code(), absl::StatusCode::kDataLoss);
}

INSTANTIATE_TEST_SUITE_P(Backends, StoreIoTest, testing::Values("memory", "folder"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::data
