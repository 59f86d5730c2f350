#include "storage/usage.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "storage/memory_store.h"

namespace vernier::storage {
namespace {

TEST(UsageTest, EveryObjectIsCountedOnceUnderItsKind) {
  MemoryStore store;
  const std::string stage = "tenants/t/jobs/j/stages/s";
  const std::pair<std::string, int> objects[] = {{"tenants/t/datasets/d/data", 1},
                                                 {"tenants/t/datasets/d/manifest.json", 2},
                                                 {"tenants/t/models/m/model.safetensors", 4},
                                                 {"tenants/t/model_sources/x.json", 8},
                                                 {"tenants/t/adapters/a/manifest.json", 16},
                                                 {"tenants/t/prepared/p/train.safetensors", 32},
                                                 {stage + "/checkpoints/c/state.json", 64},
                                                 {stage + "/artifacts/adapter-1-i/x", 128},
                                                 {stage + "/metrics/1-i.jsonl", 256},
                                                 {"tenants/t/strange/x", 512},
                                                 {"tenants/other/datasets/d/data", 1024},
                                                 {"tenants/t2/datasets/d/data", 2048}};
  for (const auto& [key, size] : objects) ASSERT_TRUE(store.Put(key, std::string(size, 'x')).ok());
  const auto usage = MeasureUsage(store, "t");
  ASSERT_TRUE(usage.ok()) << usage.status();
  const std::pair<absl::string_view, Usage> want[] = {
      {"datasets", {2, 3}},     {"models", {2, 12}},     {"adapters", {1, 16}}, {"prepared", {1, 32}},
      {"checkpoints", {1, 64}}, {"artifacts", {1, 128}}, {"metrics", {1, 256}}, {"other", {1, 512}}};
  ASSERT_EQ(usage->kinds.size(), std::size(want));
  for (size_t i = 0; i < std::size(want); ++i) {
    EXPECT_EQ(usage->kinds[i].kind, want[i].first);
    EXPECT_EQ(usage->kinds[i].usage, want[i].second) << want[i].first;
  }
  EXPECT_EQ(usage->total, (Usage{10, 1023}));
}

TEST(UsageTest, ManyPagesAreSummed) {
  MemoryStore store;
  for (int i = 0; i < 2500; ++i)
    ASSERT_TRUE(store.Put(absl::StrCat("tenants/t/datasets/", i, "/data"), "xy").ok());
  EXPECT_EQ(MeasureUsage(store, "t")->total, (Usage{2500, 5000}));
}

TEST(UsageTest, AnEmptyTenantUsesNothingAndABadOneIsRefused) {
  MemoryStore store;
  EXPECT_EQ(MeasureUsage(store, "t")->total, (Usage{0, 0}));
  EXPECT_EQ(MeasureUsage(store, "../t").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MeasureUsage(store, "").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::storage
