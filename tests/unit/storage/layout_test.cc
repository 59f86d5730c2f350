#include "storage/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/object_store.h"

namespace vernier::storage {
namespace {

TEST(LayoutTest, KeysAreAsDocumented) {
  EXPECT_EQ(DatasetObject("default", "d1"), "tenants/default/datasets/d1/data");
  EXPECT_EQ(ModelFolder("default", "m1"), "tenants/default/models/m1");
  EXPECT_EQ(ModelSourceKey("default", "s1"), "tenants/default/model_sources/s1.json");
  EXPECT_EQ(AdapterFolder("default", "a1"), "tenants/default/adapters/a1");
  EXPECT_EQ(PreparedFolder("default", "p1"), "tenants/default/prepared/p1");
  const std::string stage = StageFolder("default", "7f3a", "sft");
  EXPECT_EQ(stage, "tenants/default/jobs/7f3a/stages/sft");
  EXPECT_EQ(CheckpointsFolder(stage), stage + "/checkpoints");
  EXPECT_EQ(ArtifactFolder(stage, "adapter", 7, "9f"), stage + "/artifacts/adapter-7-9f");
  EXPECT_EQ(MetricsObject(stage, 7, "9f"), stage + "/metrics/7-9f.jsonl");
}

TEST(LayoutTest, AnIdCannotLeaveItsPlace) {
  for (const std::string id : {"", "..", ".", "a/b", "../x", "a b", "a%2Fb", "\xc3\xa4"}) {
    EXPECT_FALSE(CheckId("tenant", id).ok()) << id;
    for (const std::string& key : {DatasetObject(id, "d"), DatasetObject("t", id), ModelSourceKey("t", id),
                                   AdapterFolder("t", id) + "/x", StageFolder("t", id, "s") + "/x",
                                   StageFolder("t", "j", id) + "/x", ArtifactFolder("f", id, 1, "i") + "/x",
                                   ArtifactFolder("f", "n", 1, id) + "/x", MetricsObject("f", 1, id)}) {
      EXPECT_EQ(CheckKey(key).code(), absl::StatusCode::kInvalidArgument) << key;
    }
  }
  EXPECT_FALSE(CheckKey(DatasetObject(std::string(129, 'a'), "d")).ok());
  EXPECT_TRUE(CheckKey(DatasetObject(std::string(128, 'a'), "d")).ok());
  EXPECT_TRUE(CheckId("tenant", "A-z_0.9").ok());
}

struct PlaceCase {
  std::string key;
  ObjectKind kind;
  std::string unit;
};

TEST(LayoutTest, AKeyTellsWhatItIs) {
  const std::string stage = "tenants/t/jobs/j/stages/s";
  const PlaceCase cases[] = {
      {"tenants/t/datasets/d/data", ObjectKind::kDataset, "tenants/t/datasets/d"},
      {"tenants/t/models/m/config.json", ObjectKind::kModel, "tenants/t/models/m"},
      {"tenants/t/model_sources/x.json", ObjectKind::kModelSource, "tenants/t/model_sources/x.json"},
      {"tenants/t/adapters/a/manifest.json", ObjectKind::kAdapter, "tenants/t/adapters/a"},
      {"tenants/t/prepared/p/train.safetensors", ObjectKind::kPrepared, "tenants/t/prepared/p"},
      {stage + "/checkpoints/c/deep/part", ObjectKind::kCheckpoint, stage + "/checkpoints/c"},
      {stage + "/artifacts/adapter-1-i/manifest.json", ObjectKind::kArtifact,
       stage + "/artifacts/adapter-1-i"},
      {stage + "/metrics/1-i.jsonl", ObjectKind::kMetrics, stage + "/metrics/1-i.jsonl"},
      {"tenants/t/datasets/d", ObjectKind::kOther, "tenants/t/datasets/d"},
      {"tenants/t/unknown/d/x", ObjectKind::kOther, "tenants/t/unknown/d/x"},
      {"tenants/t/jobs/j/other/s/checkpoints/c/x", ObjectKind::kOther,
       "tenants/t/jobs/j/other/s/checkpoints/c/x"},
      {"elsewhere/t/datasets/d/data", ObjectKind::kOther, "elsewhere/t/datasets/d/data"},
      {"x", ObjectKind::kOther, "x"},
  };
  for (const PlaceCase& c : cases) {
    const ObjectPlace place = PlaceOf(c.key);
    EXPECT_EQ(place.kind, c.kind) << c.key;
    EXPECT_EQ(place.unit, c.unit) << c.key;
  }
}

}  // namespace
}  // namespace vernier::storage
