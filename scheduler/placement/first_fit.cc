#include "scheduler/placement/first_fit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace vernier::scheduler {
namespace {

int ThreadsOn(const PendingView& pending, const DeviceView& device) {
  return pending.threads > 0 ? pending.threads : std::max(1, device.threads);
}

int64_t NeededOn(const PendingView& pending, const DeviceView& device) {
  const std::vector<int64_t>& by_threads = device.bf16 ? pending.bf16_memory_bytes : pending.memory_bytes;
  if (by_threads.empty()) return 0;
  return by_threads[std::min<size_t>(ThreadsOn(pending, device), by_threads.size()) - 1];
}

const LeaseView* HolderOf(const ClusterView& view, const NodeView& node, const DeviceView& device) {
  for (const LeaseView& lease : view.leases) {
    if (lease.kind == WorkKind::kDevice && lease.agent == node.agent && lease.device == device.id)
      return &lease;
  }
  return nullptr;
}

Decision PlaceSide(const PendingView& pending, const ClusterView& view, const ScheduleOptions& options) {
  Decision decision{.key = pending.key};
  for (const NodeView& node : view.nodes) {
    if (node.devices.empty()) continue;
    const auto num_side = std::count_if(view.leases.begin(), view.leases.end(), [&](const LeaseView& lease) {
      return lease.kind == WorkKind::kSide && lease.agent == node.agent;
    });
    if (num_side >= options.side_slots) continue;
    const DeviceView& device = node.devices.front();
    // Beside a busy device, half of the threads: the trainer keeps moving.
    const int threads = HolderOf(view, node, device) ? std::max(1, device.threads / 2) : device.threads;
    decision.placement = Placement{node.agent, device.id, std::max(1, threads)};
    decision.reason = absl::StrCat("placed on agent ", node.agent);
    return decision;
  }
  decision.reason =
      absl::StrCat("every agent already does ", options.side_slots, " side tasks; waiting for one to end");
  return decision;
}

}  // namespace

Decision PlaceFirstFit(const PendingView& pending, const ClusterView& view, const ScheduleOptions& options) {
  if (view.nodes.empty()) {
    return {.key = pending.key, .reason = "no agent is connected; start vernier-agent"};
  }
  if (pending.kind == WorkKind::kSide) return PlaceSide(pending, view, options);
  Decision decision{.key = pending.key};
  int num_devices = 0;
  int num_fitting = 0;
  int most_threads = 0;
  int num_lacking_memory = 0;  // where nothing else is missing
  int64_t most_memory = 0;     // of those
  int64_t needed_memory = 0;   // there
  const LeaseView* holder = nullptr;
  for (const NodeView& node : view.nodes) {
    for (const DeviceView& device : node.devices) {
      ++num_devices;
      most_threads = std::max(most_threads, device.threads);
      if (!pending.isa.empty() && pending.isa != node.isa) continue;
      if (!pending.device_kind.empty() && pending.device_kind != device.kind) continue;
      if (pending.threads > device.threads) continue;
      const int64_t needed = NeededOn(pending, device);
      if (device.memory_bytes > 0 && needed > device.memory_bytes) {
        ++num_lacking_memory;
        if (device.memory_bytes > most_memory) {
          most_memory = device.memory_bytes;
          needed_memory = needed;
        }
        continue;
      }
      ++num_fitting;
      if (const LeaseView* lease = HolderOf(view, node, device)) {
        holder = lease;
        continue;
      }
      decision.placement = Placement{node.agent, device.id, ThreadsOn(pending, device)};
      decision.reason = absl::StrCat("placed on agent ", node.agent, " device ", device.id);
      return decision;
    }
  }
  if (num_fitting > 0) {
    decision.reason = absl::StrCat("waiting for a free device: all ", num_fitting, " that fit are in use",
                                   holder ? absl::StrCat(" (", holder->holder, ")") : "");
  } else if (pending.threads > most_threads) {
    decision.reason = absl::StrCat("asks for ", pending.threads, " threads; the largest of ", num_devices,
                                   " devices has ", most_threads);
  } else if (num_lacking_memory > 0) {
    decision.reason = absl::StrCat("needs ", HumanBytes(needed_memory), " of memory; the largest of ",
                                   Counted(num_lacking_memory, "device"), " that would do otherwise has ",
                                   HumanBytes(most_memory));
  } else {
    decision.reason =
        absl::StrCat("its checkpoints need a device of numeric class ", pending.device_kind, "/", pending.isa,
                     "; none of the ", num_devices, " connected devices is one");
  }
  return decision;
}

}  // namespace vernier::scheduler
