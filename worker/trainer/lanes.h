// Threads that compute virtual shards side by side. Rows of a few hundred tokens leave most of a second core
// idle when LibTorch shares out one operation after the other (1.4 times the rate of one core on two of
// them); two shards at once, each on a core, do not wait for each other.
//
// Law 3      What a lane computes does not depend on the other lanes; which shards go side by side is decided
//            by data::NumLanes, never by the clock.
// Threading  Thread-compatible.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "worker/trainer/shard_tree.h"

namespace vernier::trainer {

class Lanes {
 public:
  Lanes() = default;
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  // Calls body(lane) for lanes [0, count) at once, each with a `count`th of the caller's LibTorch threads,
  // and waits for all. One lane is the caller's thread. Throws what the first lane that failed threw.
  void Run(int count, const std::function<void(int lane)>& body);

 private:
  void Start(int count);
  void Work(int lane);

  Mutex mutex_;
  CondVar begun_, ended_;
  const std::function<void(int)>* body_ VN_GUARDED_BY(mutex_) = nullptr;
  int count_ VN_GUARDED_BY(mutex_) = 0;          // of this call
  int torch_threads_ VN_GUARDED_BY(mutex_) = 1;  // of each lane
  int running_ VN_GUARDED_BY(mutex_) = 0;
  int64_t call_ VN_GUARDED_BY(mutex_) = 0;
  bool stop_ VN_GUARDED_BY(mutex_) = false;
  std::vector<std::exception_ptr> errors_ VN_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

// Fills `sum` with the tree sum of `count` leaves (a power of two) as SumShardTree does, `num_lanes` leaves
// at a time: leaf(lane, i, out). The bits are those of SumShardTree on equal leaves. Holds num_lanes buffers,
// rounded up to a power of two, beside those of the tree above them.
template <typename Leaf>
absl::Status SumShardsInLanes(Lanes& lanes, int num_lanes, int count, const Leaf& leaf, FlatGradient& sum) {
  int block = 1;
  while (block < num_lanes && block < count) block *= 2;
  const auto sum_block = [&](int index, FlatGradient& out) -> absl::Status {
    std::vector<FlatGradient> leaves(block);
    std::vector<absl::Status> status(block);
    lanes.Run(num_lanes, [&](int lane) {
      for (int i = lane; i < block; i += num_lanes) status[i] = leaf(lane, index * block + i, leaves[i]);
    });
    for (const absl::Status& each : status) VN_RETURN_IF_ERROR(each);
    const auto move = [&](int i, FlatGradient& to) {
      to = std::move(leaves[i]);
      return absl::OkStatus();
    };
    return SumShardTree(0, block, move, out);
  };
  return SumShardTree(0, count / block, sum_block, sum);
}

}  // namespace vernier::trainer
