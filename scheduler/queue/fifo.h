// First come, first served: by order of submission, those in back-off left out.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "scheduler/cluster_view.h"

namespace vernier::scheduler {

// Indices into `pending`, next first. Pure.
std::vector<size_t> OrderFifo(absl::Time now, const std::vector<PendingView>& pending);

}  // namespace vernier::scheduler
