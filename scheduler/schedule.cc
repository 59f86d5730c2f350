#include "scheduler/schedule.h"

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "scheduler/registry.h"

namespace vernier::scheduler {

std::vector<Decision> Schedule(absl::Time now, const ClusterView& view, const ScheduleOptions& options) {
  const auto queue = FindQueuePolicy(options.queue);
  const auto placement = FindPlacementPolicy(options.placement);
  VN_CHECK_OK(queue.status());
  VN_CHECK_OK(placement.status());
  std::vector<Decision> decisions;
  decisions.reserve(view.pending.size());
  for (const PendingView& pending : view.pending) {
    decisions.push_back(
        {.key = pending.key,
         .reason = absl::StrCat(
             "retries in ", absl::FormatDuration(absl::Trunc(pending.ready_at - now + absl::Milliseconds(999),
                                                             absl::Seconds(1))))});
  }
  ClusterView left = view;
  for (const size_t index : (*queue)->order(now, view.pending)) {
    const PendingView& pending = view.pending[index];
    Decision decision = (*placement)->place(pending, left, options);
    if (decision.placement) {
      left.leases.push_back(
          {decision.placement->agent, decision.placement->device, pending.kind, pending.key});
    }
    decisions[index] = std::move(decision);
  }
  return decisions;
}

}  // namespace vernier::scheduler
