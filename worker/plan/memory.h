// Bytes that a trainer process needs, by part and at its worst moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vernier/v1/model.pb.h"
#include "vernier/v1/plan.pb.h"
#include "vernier/v1/stage.pb.h"
#include "worker/plan/batches.h"

namespace vernier::plan {

struct MemoryPlan {
  std::vector<v1::MemoryPart> parts;  // at the peak, in a fixed order, none empty
  int64_t peak_bytes = 0;             // their sum
  std::string phase;                  // when: loading | training | publishing
};

// `stage` is effective but for checkpointed_layers, which are those given here. `threads`: of the device.
MemoryPlan MemoryOf(const v1::ModelShape& shape, const v1::TrainStage& stage, const Batches& batches,
                    bool bf16, int threads, int64_t checkpointed_layers);

// Numbers that train.
int64_t TrainedParameters(const v1::ModelShape& shape, const v1::Tuning& tuning);

}  // namespace vernier::plan
