#include "worker/agent/devices.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/testing/temp_folder.h"

namespace vernier::agent {
namespace {

class CgroupMemoryLimitTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) { folder_.Write(path, text); }
  int64_t Limit(const std::string& own) { return CgroupMemoryLimit(own, folder_.File("cgroup")); }

  TempFolder folder_;
};

TEST_F(CgroupMemoryLimitTest, NoLimitAnywhereIsNone) {
  EXPECT_EQ(Limit("0::/a\n"), INT64_MAX);
  EXPECT_EQ(Limit(""), INT64_MAX);
  Write("cgroup/a/memory.max", "max\n");
  EXPECT_EQ(Limit("0::/a\n"), INT64_MAX);
}

TEST_F(CgroupMemoryLimitTest, TheLeastOfItsOwnAndAllAboveCounts) {
  Write("cgroup/a/b/memory.max", "3000\n");
  Write("cgroup/a/memory.max", "2000\n");
  Write("cgroup/memory.max", "max\n");
  EXPECT_EQ(Limit("0::/a/b\n"), 2000);
  EXPECT_EQ(Limit("0::/a/c\n"), 2000);
  EXPECT_EQ(Limit("0::/x\n"), INT64_MAX);
}

TEST_F(CgroupMemoryLimitTest, Version1IsReadToo) {
  Write("cgroup/memory/a/memory.limit_in_bytes", "5000\n");
  Write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Limit("4:memory:/a\n3:cpuset:/\n0::/\n"), 5000);
  EXPECT_EQ(Limit("4:cpu,memory:/b\n"), 9223372036854771712);
}

TEST(DevicesTest, TheCpuIsOfferedWithItsThreadsAndMemory) {
  const auto devices = DiscoverDevices(3);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].id(), "cpu");
  EXPECT_EQ(devices[0].threads(), 3);
  EXPECT_GT(devices[0].memory_bytes(), int64_t{64} << 20);
  EXPECT_EQ(devices[0].memory_bytes(), UsableMemoryBytes());
}

}  // namespace
}  // namespace vernier::agent
