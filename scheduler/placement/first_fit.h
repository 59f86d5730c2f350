// The first device, in the order agents and devices are listed, that is free and fits.
// A gang has one member; a later one that fits elsewhere never delays an earlier one that does not fit anywhere.
#pragma once

#include "scheduler/cluster_view.h"

namespace vernier::scheduler {

// Where `pending` goes given the leases in `view`. Pure.
Decision PlaceFirstFit(const PendingView& pending, const ClusterView& view, const ScheduleOptions& options);

}  // namespace vernier::scheduler
