#include "storage/garbage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "storage/memory_store.h"

namespace vernier::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GarbageTest : public testing::Test {
 protected:
  void Put(const std::string& key, const std::string& bytes = "x") {
    ASSERT_TRUE(store_.Put(key, bytes).ok()) << key;
  }

  std::vector<GarbageObject> Plan(const std::vector<std::string>& live, absl::Duration age = absl::Hours(25),
                                  int limit = 100) {
    const GarbageOptions options{.now = absl::Now() + age};
    std::vector<GarbageObject> all;
    std::string start_after;
    do {
      const auto page = PlanGarbage(store_, "t", LiveKeys(live), options, start_after, limit);
      EXPECT_TRUE(page.ok()) << page.status();
      EXPECT_LE(page->objects.size(), limit);
      all.insert(all.end(), page->objects.begin(), page->objects.end());
      start_after = page->next_start_after;
    } while (!start_after.empty());
    return all;
  }
  std::vector<std::string> Keys(const std::vector<GarbageObject>& objects) {
    std::vector<std::string> keys;
    for (const GarbageObject& object : objects) keys.push_back(object.object.key);
    return keys;
  }
  MemoryStore store_;
};

TEST_F(GarbageTest, WhatNothingRefersToIsListedInOrder) {
  Put("tenants/t/datasets/d1/data");
  Put("tenants/t/datasets/d2/data");
  Put("tenants/t/jobs/j1/stages/s/metrics/1-a.jsonl");
  Put("tenants/t/prepared/p1/manifest.json");
  EXPECT_THAT(Keys(Plan({"tenants/t/datasets/d1/"})),
              ElementsAre("tenants/t/datasets/d2/data", "tenants/t/jobs/j1/stages/s/metrics/1-a.jsonl",
                          "tenants/t/prepared/p1/manifest.json"));
  EXPECT_THAT(Plan({"tenants/t/"}), IsEmpty());
}

TEST_F(GarbageTest, YoungObjectsStay) {
  Put("tenants/t/datasets/d1/data");
  EXPECT_THAT(Plan({}, absl::Hours(23)), IsEmpty());
  EXPECT_THAT(Plan({}, absl::Hours(-1)), IsEmpty()) << "a clock that runs behind";
  EXPECT_EQ(Plan({}, absl::Hours(25)).size(), 1);
}

TEST_F(GarbageTest, OtherTenantsAreNotLookedAt) {
  Put("tenants/t2/datasets/d1/data");
  Put("tenants/other/datasets/d1/data");
  EXPECT_THAT(Plan({}), IsEmpty());
}

TEST_F(GarbageTest, AFolderKeepsItsOwnObjectsOnly) {
  Put("tenants/t/models/ab/config.json");
  Put("tenants/t/models/ab/deep/x");
  Put("tenants/t/models/ab-2/config.json");
  Put("tenants/t/models/abc/config.json");
  EXPECT_THAT(Keys(Plan({"tenants/t/models/ab/"})),
              ElementsAre("tenants/t/models/ab-2/config.json", "tenants/t/models/abc/config.json"));
}

TEST_F(GarbageTest, ASingleObjectMayBeLive) {
  const std::string stage = "tenants/t/jobs/j/stages/s";
  Put(stage + "/metrics/1-a.jsonl");
  Put(stage + "/metrics/2-b.jsonl");
  EXPECT_THAT(Keys(Plan({stage + "/metrics/2-b.jsonl"})), ElementsAre(stage + "/metrics/1-a.jsonl"));
}

TEST_F(GarbageTest, ZombieCheckpointsBesideLiveOnesAreFoundAndExplained) {
  const std::string folder = "tenants/t/jobs/j/stages/s/checkpoints/";
  Put(folder + "000000000010-1-a/state.json");
  Put(folder + "000000000010-2-b/state.json");
  const std::vector<GarbageObject> garbage = Plan({folder + "000000000010-2-b/"});
  ASSERT_EQ(Keys(garbage), std::vector<std::string>{folder + "000000000010-1-a/state.json"});
  EXPECT_THAT(garbage[0].reason, HasSubstr("checkpoint"));
  EXPECT_THAT(garbage[0].reason, HasSubstr("last written 25 h ago"));
  EXPECT_EQ(garbage[0].object.size_bytes, 1);
}

TEST_F(GarbageTest, ARecordOfASourceLivesAsLongAsItsModel) {
  const std::string record = R"({"format":"vernier.model_source","version":1,"model":"m1"})";
  Put("tenants/t/model_sources/s1.json", record);
  Put("tenants/t/model_sources/s2.json", "broken");
  Put("tenants/t/models/m1/config.json");
  EXPECT_THAT(Keys(Plan({"tenants/t/models/m1/"})), ElementsAre("tenants/t/model_sources/s2.json"));
  EXPECT_EQ(Plan({}).size(), 3);
}

TEST_F(GarbageTest, PagesCoverEverythingOnceWhateverTheirSize) {
  std::vector<std::string> live, want;
  for (int i = 0; i < 30; ++i) {
    const std::string folder = absl::StrCat("tenants/t/datasets/", 100 + i, "/");
    // Live folders larger than a page of the listing, garbage between them.
    for (int k = 0; k < (i % 10 == 0 ? 1100 : 2); ++k) Put(absl::StrCat(folder, k));
    if (i % 2 == 0) {
      live.push_back(folder);
    } else {
      want.push_back(folder + "0");
      want.push_back(folder + "1");
    }
  }
  for (const int limit : {1, 7, 30, 1000}) EXPECT_EQ(Keys(Plan(live, absl::Hours(25), limit)), want) << limit;
}

TEST_F(GarbageTest, BadArgumentsAreRefused) {
  const GarbageOptions options{.now = absl::Now()};
  EXPECT_EQ(PlanGarbage(store_, "a/b", LiveKeys({}), options, "", 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PlanGarbage(store_, "t", LiveKeys({}), options, "", 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::storage
