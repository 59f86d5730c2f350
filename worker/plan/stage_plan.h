// The plan of a training stage: what it needs on each device, whether it fits, and what to change where it
// does not. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/model.pb.h"
#include "vernier/v1/plan.pb.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::plan {

struct Device {
  std::string agent, host, id;
  int64_t memory_bytes = 0;  // 0: not told, everything fits
  bool bf16 = false;         // computes it natively
  int threads = 1;           // of a CPU
};

struct Rate {
  double flops_per_second = 0;  // of whole training steps, by work.h's count
  std::string basis;            // "jobs/7f3a sft, 40 steps"
};
// What is known of a device. None: nothing was measured.
using RateFn = std::function<std::optional<Rate>(const Device& device, bool bf16, bool full)>;

struct StageFacts {
  v1::ModelShape shape;
  v1::TrainStage stage;                    // effective
  const v1::DataReport* report = nullptr;  // null: the rows are not prepared
  int64_t num_rows = 0;                    // then: of the dataset; 0 = not known
  uint64_t seed = 0;
};

// The share of a device's memory that the automatic choice of checkpointed layers fills at most; a stage that
// needs more than all of it is refused.
inline constexpr double kComfortable = 0.9;

// Fills in everything but `stage` and `kind`. Without devices the table is of bf16 where the stage allows it.
// InvalidArgument: the shape (CheckModelShape) or the rows have no plan.
absl::StatusOr<v1::StagePlan> PlanTrain(const StageFacts& facts, absl::Span<const Device> devices,
                                        const RateFn& rate);

// What `precision` becomes on such a device.
bool UsesBf16(v1::Precision precision, bool device_has_bf16);

}  // namespace vernier::plan
