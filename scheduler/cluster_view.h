// What a scheduling decision looks at: a snapshot, no pointers into anything alive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace vernier::scheduler {

// Device work takes a whole device (train, evaluate); side work (prepare, generate) runs beside it on CPU
// threads.
enum class WorkKind { kDevice, kSide };

struct DeviceView {
  std::string id;    // cpu, cuda:0
  std::string kind;  // cpu | cuda
  int threads = 1;
  int64_t memory_bytes = 0;  // it may use; 0: not told, anything fits
  bool bf16 = false;         // computes it natively
};

// A connected agent.
struct NodeView {
  std::string agent;
  std::string host;
  std::string isa;
  std::vector<DeviceView> devices;
};

// Somebody holds this now.
struct LeaseView {
  std::string agent;
  std::string device;
  WorkKind kind = WorkKind::kDevice;
  std::string holder;  // "jobs/ID stage", for reasons
};

// Work that waits. Gangs have one member today.
struct PendingView {
  std::string key;     // the caller's name for it
  uint64_t order = 0;  // of submission
  absl::Time ready_at = absl::InfinitePast();
  WorkKind kind = WorkKind::kDevice;
  int threads = 0;          // 0 = all of the device
  std::string isa;          // of its checkpoints (numeric class); "" = any
  std::string device_kind;  // likewise
  // It needs at its worst moment, by what it would compute in there, with 1, 2, .. threads (the last for
  // more); empty: not known.
  std::vector<int64_t> memory_bytes;       // on a device without native bf16
  std::vector<int64_t> bf16_memory_bytes;  // on one that has it
};

struct ClusterView {
  std::vector<NodeView> nodes;
  std::vector<LeaseView> leases;
  std::vector<PendingView> pending;
};

struct Placement {
  std::string agent;
  std::string device;
  int threads = 1;  // granted
};

// `placement` unset: it waits, and `reason` says for what.
struct Decision {
  std::string key;
  std::optional<Placement> placement;
  std::string reason;
};

struct ScheduleOptions {
  std::string queue = "fifo";
  std::string placement = "first_fit";
  int side_slots = 2;  // side work per agent at a time, [1, 64]
};

}  // namespace vernier::scheduler
