#include "scheduler/queue/fifo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

PendingView Waiting(uint64_t order, absl::Time ready_at = absl::InfinitePast()) {
  return {.key = std::to_string(order), .order = order, .ready_at = ready_at};
}

TEST(FifoTest, OrdersBySubmissionWhateverTheOrderOfTheList) {
  EXPECT_THAT(OrderFifo(kNow, {Waiting(3), Waiting(1), Waiting(2)}), ElementsAre(1, 2, 0));
}

TEST(FifoTest, LeavesOutWhatIsInBackOff) {
  EXPECT_THAT(OrderFifo(kNow, {Waiting(1, kNow + absl::Seconds(1)), Waiting(2), Waiting(3, kNow)}),
              ElementsAre(1, 2));
}

TEST(FifoTest, EqualOrdersKeepTheirPlaces) {
  EXPECT_THAT(OrderFifo(kNow, {Waiting(5), Waiting(5), Waiting(0)}), ElementsAre(2, 0, 1));
}

TEST(FifoTest, NothingWaitsNothingIsOrdered) { EXPECT_THAT(OrderFifo(kNow, {}), IsEmpty()); }

}  // namespace
}  // namespace vernier::scheduler
