// Laws of every placement policy in the registry, over random clusters. A failure prints its seed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "scheduler/registry.h"
#include "scheduler/schedule.h"

namespace vernier::scheduler {
namespace {

using testing::IsEmpty;
using testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr int kClusters = 2000;

class RandomCluster {
 public:
  explicit RandomCluster(uint64_t seed) : random_(seed) {}

  ClusterView Make() {
    ClusterView view;
    const int num_nodes = Upto(5);
    for (int n = 0; n < num_nodes; ++n) {
      NodeView node{.agent = "agent" + std::to_string(n), .isa = Upto(1) ? "avx2" : "avx512"};
      const int num_devices = 1 + Upto(3);
      for (int d = 0; d < num_devices; ++d) {
        const bool gpu = Upto(3) == 0;
        node.devices.push_back({(gpu ? "cuda:" : "cpu:") + std::to_string(d), gpu ? "cuda" : "cpu",
                                1 + Upto(15), Upto(1) ? Upto(8) : 0, Upto(1) == 1});
        if (Upto(2) == 0)
          view.leases.push_back({node.agent, node.devices.back().id, WorkKind::kDevice, "held"});
      }
      for (int s = Upto(2); s > 0; --s) {
        view.leases.push_back({node.agent, node.devices.front().id, WorkKind::kSide, "side"});
      }
      view.nodes.push_back(std::move(node));
    }
    const int num_pending = Upto(12);
    for (int p = 0; p < num_pending; ++p) {
      PendingView pending{.key = std::to_string(p), .order = static_cast<uint64_t>(Upto(20))};
      if (Upto(3) == 0) pending.kind = WorkKind::kSide;
      if (Upto(3) == 0) pending.ready_at = kNow + absl::Seconds(Upto(4) - 2);
      if (Upto(1)) pending.threads = Upto(18);
      if (Upto(3) == 0) pending.isa = Upto(1) ? "avx2" : "avx512";
      if (Upto(3) == 0) pending.device_kind = Upto(1) ? "cpu" : "cuda";
      if (Upto(2) == 0) {
        for (const int64_t bytes : {Upto(10), Upto(10), Upto(10)}) {
          pending.memory_bytes.push_back(bytes);
          pending.bf16_memory_bytes.push_back(bytes / 2);
        }
      }
      view.pending.push_back(std::move(pending));
    }
    return view;
  }

 private:
  int Upto(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }
  std::mt19937_64 random_;
};

bool HasMemory(const DeviceView& device, const PendingView& pending) {
  const std::vector<int64_t>& needed = device.bf16 ? pending.bf16_memory_bytes : pending.memory_bytes;
  const size_t threads = pending.threads > 0 ? pending.threads : device.threads;
  return device.memory_bytes == 0 || needed.empty() ||
         needed[std::min(threads, needed.size()) - 1] <= device.memory_bytes;
}

class EveryPlacementTest : public testing::TestWithParam<std::string> {};

TEST_P(EveryPlacementTest, PlacesWithinWhatIsThereAndGivesEveryReason) {
  for (uint64_t seed = 0; seed < kClusters; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const ClusterView view = RandomCluster(seed).Make();
    const ScheduleOptions options{.placement = GetParam(), .side_slots = 2};
    const std::vector<Decision> decisions = Schedule(kNow, view, options);
    ASSERT_EQ(decisions.size(), view.pending.size());

    std::set<std::pair<std::string, std::string>> taken;
    std::map<std::string, int> side;
    for (const LeaseView& lease : view.leases) {
      if (lease.kind == WorkKind::kDevice) taken.insert({lease.agent, lease.device});
      if (lease.kind == WorkKind::kSide) ++side[lease.agent];
    }
    for (size_t i = 0; i < decisions.size(); ++i) {
      const PendingView& pending = view.pending[i];
      EXPECT_EQ(decisions[i].key, pending.key);
      EXPECT_THAT(decisions[i].reason, Not(IsEmpty()));
      if (!decisions[i].placement) continue;
      const Placement& placement = *decisions[i].placement;
      EXPECT_LE(pending.ready_at, kNow) << "placed in its back-off";
      const auto node = std::find_if(view.nodes.begin(), view.nodes.end(),
                                     [&](const NodeView& other) { return other.agent == placement.agent; });
      ASSERT_NE(node, view.nodes.end());
      const auto device = std::find_if(node->devices.begin(), node->devices.end(),
                                       [&](const DeviceView& other) { return other.id == placement.device; });
      ASSERT_NE(device, node->devices.end());
      EXPECT_GE(placement.threads, 1);
      EXPECT_LE(placement.threads, device->threads);
      if (pending.kind == WorkKind::kSide) {
        EXPECT_LE(++side[placement.agent], options.side_slots);
        continue;
      }
      EXPECT_TRUE(taken.insert({placement.agent, placement.device}).second) << "given twice";
      if (pending.threads > 0) {
        EXPECT_EQ(placement.threads, pending.threads);
      }
      if (!pending.isa.empty()) {
        EXPECT_EQ(node->isa, pending.isa);
      }
      if (!pending.device_kind.empty()) {
        EXPECT_EQ(device->kind, pending.device_kind);
      }
      EXPECT_TRUE(HasMemory(*device, pending));
    }
  }
}

// Nothing that fits a free device is left waiting.
TEST_P(EveryPlacementTest, LeavesNoFreeDeviceBesideWorkThatFitsIt) {
  for (uint64_t seed = 0; seed < kClusters; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const ClusterView view = RandomCluster(seed).Make();
    const std::vector<Decision> decisions = Schedule(kNow, view, {.placement = GetParam()});
    std::set<std::pair<std::string, std::string>> taken;
    for (const LeaseView& lease : view.leases) {
      if (lease.kind == WorkKind::kDevice) taken.insert({lease.agent, lease.device});
    }
    for (size_t i = 0; i < decisions.size(); ++i) {
      if (decisions[i].placement && view.pending[i].kind == WorkKind::kDevice) {
        taken.insert({decisions[i].placement->agent, decisions[i].placement->device});
      }
    }
    for (size_t i = 0; i < decisions.size(); ++i) {
      const PendingView& pending = view.pending[i];
      if (decisions[i].placement || pending.kind != WorkKind::kDevice || pending.ready_at > kNow) continue;
      for (const NodeView& node : view.nodes) {
        if (!pending.isa.empty() && pending.isa != node.isa) continue;
        for (const DeviceView& device : node.devices) {
          if (!pending.device_kind.empty() && pending.device_kind != device.kind) continue;
          if (pending.threads > device.threads || !HasMemory(device, pending)) continue;
          EXPECT_TRUE(taken.contains({node.agent, device.id}))
              << pending.key << " fits " << node.agent << device.id;
        }
      }
    }
  }
}

TEST_P(EveryPlacementTest, IsAFunctionOfItsArguments) {
  const ClusterView view = RandomCluster(7).Make();
  const std::vector<Decision> first = Schedule(kNow, view, {.placement = GetParam()});
  const std::vector<Decision> second = Schedule(kNow, view, {.placement = GetParam()});
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].reason, second[i].reason);
    EXPECT_EQ(first[i].placement.has_value(), second[i].placement.has_value());
  }
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const PlacementPolicy& policy : AllPlacementPolicies()) names.push_back(policy.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryPlacementTest, testing::ValuesIn(Names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::scheduler
