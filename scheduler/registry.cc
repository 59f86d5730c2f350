#include "scheduler/registry.h"

#include "common/registry.h"
#include "scheduler/placement/first_fit.h"
#include "scheduler/queue/fifo.h"

namespace vernier::scheduler {
namespace {

const QueuePolicy kQueuePolicies[] = {
    {"fifo", OrderFifo},
};

const PlacementPolicy kPlacementPolicies[] = {
    {"first_fit", PlaceFirstFit},
};

}  // namespace

absl::StatusOr<const QueuePolicy*> FindQueuePolicy(absl::string_view name) {
  return FindEntry<QueuePolicy>(kQueuePolicies, "queue policy", name);
}

absl::StatusOr<const PlacementPolicy*> FindPlacementPolicy(absl::string_view name) {
  return FindEntry<PlacementPolicy>(kPlacementPolicies, "placement policy", name);
}

std::vector<PlacementPolicy> AllPlacementPolicies() {
  return {std::begin(kPlacementPolicies), std::end(kPlacementPolicies)};
}

}  // namespace vernier::scheduler
