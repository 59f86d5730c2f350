// (now, ClusterView, options) -> one Decision for everything that waits.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "scheduler/cluster_view.h"

namespace vernier::scheduler {

// Places in queue order; what is placed counts as taken for those behind. Those in back-off get a reason
// only. Decisions come in the order of `view.pending`. Pure. Unknown policy names are a bug of the caller
// (checked at start).
std::vector<Decision> Schedule(absl::Time now, const ClusterView& view, const ScheduleOptions& options);

}  // namespace vernier::scheduler
