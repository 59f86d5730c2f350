#include "scheduler/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::scheduler {
namespace {

using testing::HasSubstr;

TEST(SchedulerRegistryTest, FindsPoliciesByName) {
  ASSERT_TRUE(FindQueuePolicy("fifo").ok());
  EXPECT_EQ((*FindQueuePolicy("fifo"))->name, "fifo");
  ASSERT_TRUE(FindPlacementPolicy("first_fit").ok());
}

TEST(SchedulerRegistryTest, AnUnknownPolicyListsThoseThatExist) {
  EXPECT_THAT(std::string(FindQueuePolicy("lifo").status().message()), HasSubstr("known: fifo"));
  EXPECT_THAT(std::string(FindPlacementPolicy("best").status().message()), HasSubstr("known: first_fit"));
}

}  // namespace
}  // namespace vernier::scheduler
