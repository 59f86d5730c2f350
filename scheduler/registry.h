// Policies by name. A new one is a file pair in queue/ or placement/ and one line in registry.cc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/cluster_view.h"

namespace vernier::scheduler {

struct QueuePolicy {
  std::string name;
  // Indices of those that may be placed now, next first.
  std::vector<size_t> (*order)(absl::Time now, const std::vector<PendingView>& pending);
};

struct PlacementPolicy {
  std::string name;
  Decision (*place)(const PendingView& pending, const ClusterView& view, const ScheduleOptions& options);
};

// InvalidArgument: not known; the message lists those that are.
absl::StatusOr<const QueuePolicy*> FindQueuePolicy(absl::string_view name);
absl::StatusOr<const PlacementPolicy*> FindPlacementPolicy(absl::string_view name);

std::vector<PlacementPolicy> AllPlacementPolicies();

}  // namespace vernier::scheduler
