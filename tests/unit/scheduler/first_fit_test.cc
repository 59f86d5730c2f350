#include "scheduler/placement/first_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::scheduler {
namespace {

using testing::HasSubstr;

NodeView Node(const std::string& agent, std::vector<DeviceView> devices, const std::string& isa = "avx2") {
  return {.agent = agent, .host = agent, .isa = isa, .devices = std::move(devices)};
}
constexpr int64_t kGiB = int64_t{1} << 30;
const DeviceView kCpu2{"cpu", "cpu", 2};
const DeviceView kCpu8{"cpu", "cpu", 8};
const DeviceView kGpu{"cuda:0", "cuda", 4};

struct PlaceCase {
  std::string name;
  PendingView pending;
  std::vector<NodeView> nodes;
  std::vector<LeaseView> leases;
  std::string want;    // "agent device threads", "" = waits
  std::string reason;  // part of it
};

class FirstFitTest : public testing::TestWithParam<PlaceCase> {};

TEST_P(FirstFitTest, PlacesOrSaysWhatItWaitsFor) {
  const PlaceCase& test = GetParam();
  const Decision got =
      PlaceFirstFit(test.pending, {.nodes = test.nodes, .leases = test.leases}, {.side_slots = 2});
  const std::string placed = got.placement ? got.placement->agent + " " + got.placement->device + " " +
                                                 std::to_string(got.placement->threads)
                                           : "";
  EXPECT_EQ(placed, test.want) << got.reason;
  EXPECT_THAT(got.reason, HasSubstr(test.reason));
  EXPECT_EQ(got.key, test.pending.key);
}

const PendingView kTrain{.key = "t"};
const PendingView kPrepare{.key = "p", .kind = WorkKind::kSide};

INSTANTIATE_TEST_SUITE_P(
    Cases, FirstFitTest,
    testing::ValuesIn<PlaceCase>({
        {"NoAgent", kTrain, {}, {}, "", "no agent is connected; start vernier-agent"},
        {"NoAgentForSideWork", kPrepare, {}, {}, "", "no agent is connected"},
        {"WholeDeviceByDefault", kTrain, {Node("a", {kCpu8})}, {}, "a cpu 8", "placed on agent a device cpu"},
        {"ThreadsAsAsked", {.key = "t", .threads = 3}, {Node("a", {kCpu8})}, {}, "a cpu 3", ""},
        {"FirstInOrderOfNodes", kTrain, {Node("a", {kCpu2}), Node("b", {kCpu8})}, {}, "a cpu 2", ""},
        {"SkipsWhatIsTooSmall",
         {.key = "t", .threads = 4},
         {Node("a", {kCpu2}), Node("b", {kCpu8})},
         {},
         "b cpu 4",
         ""},
        {"TooManyThreadsForAll",
         {.key = "t", .threads = 9},
         {Node("a", {kCpu8})},
         {},
         "",
         "asks for 9 threads; the largest of 1 devices has 8"},
        {"BusyDeviceNamesItsHolder",
         kTrain,
         {Node("a", {kCpu8})},
         {{"a", "cpu", WorkKind::kDevice, "jobs/1 sft"}},
         "",
         "all 1 that fit are in use (jobs/1 sft)"},
        {"SideWorkDoesNotTakeTheDevice",
         kTrain,
         {Node("a", {kCpu8})},
         {{"a", "cpu", WorkKind::kSide, "x"}},
         "a cpu 8",
         ""},
        {"ALeaseOfAnotherAgentsDeviceDoesNotCount",
         kTrain,
         {Node("a", {kCpu8})},
         {{"b", "cpu", WorkKind::kDevice, "x"}},
         "a cpu 8",
         ""},
        {"IsaOfItsCheckpoints",
         {.key = "t", .isa = "avx512"},
         {Node("a", {kCpu8}), Node("b", {kCpu8}, "avx512")},
         {},
         "b cpu 8",
         ""},
        {"NoIsaFits",
         {.key = "t", .isa = "avx512", .device_kind = "cpu"},
         {Node("a", {kCpu8})},
         {},
         "",
         "numeric class cpu/avx512"},
        {"DeviceKindOfItsCheckpoints",
         {.key = "t", .device_kind = "cuda"},
         {Node("a", {kCpu8, kGpu})},
         {},
         "a cuda:0 4",
         ""},
        {"EnoughMemory",
         {.key = "t", .memory_bytes = {3 * kGiB}},
         {Node("a", {{"cpu", "cpu", 2, 2 * kGiB}}), Node("b", {{"cpu", "cpu", 2, 4 * kGiB}})},
         {},
         "b cpu 2",
         ""},
        {"EnoughMemoryForWhatItComputesInThere",
         {.key = "t", .memory_bytes = {9 * kGiB}, .bf16_memory_bytes = {5 * kGiB}},
         {Node("a", {{"cpu", "cpu", 2, 7 * kGiB, /*bf16=*/false}}),
          Node("b", {{"cpu", "cpu", 2, 6 * kGiB, /*bf16=*/true}})},
         {},
         "b cpu 2",
         ""},
        {"MoreThreadsNeedMore",
         {.key = "t", .memory_bytes = {1 * kGiB, 3 * kGiB, 5 * kGiB}},
         {Node("a", {{"cpu", "cpu", 8, 4 * kGiB}}), Node("b", {{"cpu", "cpu", 2, 4 * kGiB}})},
         {},
         "b cpu 2",
         ""},
        {"ThreadsThatItAsksForNeedLess",
         {.key = "t", .threads = 1, .memory_bytes = {1 * kGiB, 3 * kGiB, 5 * kGiB}},
         {Node("a", {{"cpu", "cpu", 8, 2 * kGiB}})},
         {},
         "a cpu 1",
         ""},
        {"TheMemoryThatLacksIsThatOfTheLargestThatWouldDo",
         {.key = "t", .threads = 2, .memory_bytes = {9 * kGiB}, .bf16_memory_bytes = {7 * kGiB}},
         {Node("a", {{"cpu", "cpu", 1, 64 * kGiB}, {"cpu", "cpu", 2, 8 * kGiB}}),
          Node("b", {{"cpu", "cpu", 2, 6 * kGiB, /*bf16=*/true}})},
         {},
         "",
         "needs 9.0 GiB of memory; the largest of 2 devices that would do otherwise has 8.0 GiB"},
        {"MemoryThatIsNotToldIsEnough",
         {.key = "t", .memory_bytes = {1}},
         {Node("a", {kCpu2})},
         {},
         "a cpu 2",
         ""},
        {"TooLittleMemoryEverywhere",
         {.key = "t", .memory_bytes = {3 * kGiB}},
         {Node("a", {{"cpu", "cpu", 2, 2 * kGiB}})},
         {},
         "",
         "needs 3.0 GiB of memory; the largest of 1 device that would do otherwise has 2.0 GiB"},
        {"SideWorkOnAFreeAgentGetsAllThreads", kPrepare, {Node("a", {kCpu8})}, {}, "a cpu 8", ""},
        {"SideWorkBesideATrainerGetsHalf",
         kPrepare,
         {Node("a", {kCpu8})},
         {{"a", "cpu", WorkKind::kDevice, "x"}},
         "a cpu 4",
         ""},
        {"SideSlotsAreBounded",
         kPrepare,
         {Node("a", {kCpu8})},
         {{"a", "cpu", WorkKind::kSide, "x"}, {"a", "cpu", WorkKind::kSide, "y"}},
         "",
         "every agent already does 2 side tasks"},
        {"SideWorkGoesToTheNextAgent",
         kPrepare,
         {Node("a", {kCpu8}), Node("b", {kCpu2})},
         {{"a", "cpu", WorkKind::kSide, "x"}, {"a", "cpu", WorkKind::kSide, "y"}},
         "b cpu 2",
         ""},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::scheduler
