#include "scheduler/lease_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);
constexpr LeaseTable::Options kOptions{.ttl = absl::Seconds(15), .margin = absl::Seconds(5)};

TEST(LeaseTableTest, LapsesAfterTtlAndMargin) {
  LeaseTable table(kOptions);
  table.Grant("a", kStart);
  EXPECT_THAT(table.Lapsed(kStart + absl::Seconds(20) - absl::Nanoseconds(1)), IsEmpty());
  EXPECT_THAT(table.Lapsed(kStart + absl::Seconds(20)), ElementsAre("a"));
  EXPECT_EQ(table.NextLapse(), kStart + absl::Seconds(20));
}

TEST(LeaseTableTest, RenewExtends) {
  LeaseTable table(kOptions);
  table.Grant("a", kStart);
  const auto renewed = table.Renew("a", kStart + absl::Seconds(10));
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(*renewed, kStart + absl::Seconds(30));
  EXPECT_THAT(table.Lapsed(kStart + absl::Seconds(29)), IsEmpty());
}

TEST(LeaseTableTest, RenewAfterExpiryIsNotFound) {
  LeaseTable table(kOptions);
  table.Grant("a", kStart);
  EXPECT_TRUE(absl::IsNotFound(table.Renew("a", kStart + absl::Seconds(20)).status()));
  EXPECT_THAT(table.Lapsed(kStart + absl::Seconds(20)), ElementsAre("a")) << "a late renewal revives nothing";
}

TEST(LeaseTableTest, RenewOfAnUnknownLeaseIsNotFound) {
  LeaseTable table(kOptions);
  EXPECT_TRUE(absl::IsNotFound(table.Renew("a", kStart).status()));
}

TEST(LeaseTableTest, ReleasedLeasesNeverLapse) {
  LeaseTable table(kOptions);
  table.Grant("a", kStart);
  table.Release("a");
  EXPECT_THAT(table.Lapsed(kStart + absl::Hours(1)), IsEmpty());
  EXPECT_EQ(table.NextLapse(), absl::InfiniteFuture());
}

TEST(LeaseTableTest, GrantStartsALeaseAnew) {
  LeaseTable table(kOptions);
  table.Grant("a", kStart);
  table.Grant("a", kStart + absl::Minutes(5));
  EXPECT_THAT(table.Lapsed(kStart + absl::Minutes(5)), IsEmpty());
}

TEST(LeaseTableTest, LapsedAreInOrderOfId) {
  LeaseTable table(kOptions);
  for (const char* id : {"c", "a", "b"}) table.Grant(id, kStart);
  EXPECT_THAT(table.Lapsed(kStart + absl::Minutes(1)), ElementsAre("a", "b", "c"));
}

}  // namespace
}  // namespace vernier::scheduler
