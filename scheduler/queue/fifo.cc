#include "scheduler/queue/fifo.h"

#include <algorithm>

namespace vernier::scheduler {

std::vector<size_t> OrderFifo(absl::Time now, const std::vector<PendingView>& pending) {
  std::vector<size_t> order;
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i].ready_at <= now) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return pending[a].order < pending[b].order; });
  return order;
}

}  // namespace vernier::scheduler
