// What to change so that a stage fits into a device's memory. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "worker/plan/batches.h"
#include "worker/plan/stage_plan.h"

namespace vernier::plan {

// Layers to checkpoint on `device`: those the stage asks for; else none while it fits comfortably, then as
// few as needed; all when even that is not enough.
int64_t ChooseCheckpointedLayers(const StageFacts& facts, const Batches& batches, const Device& device,
                                 bool bf16);

struct NearestFit {
  std::vector<std::string> changes;  // "micro_batch_tokens: 512", in the order to be tried
  int64_t peak_bytes = 0;
};

// The fewest changes, those that cost least first: more checkpointed layers, smaller micro-batches (neither
// changes a result), bf16, fewer virtual shards, shorter rows, LoRA instead of full tuning. None: nothing
// helps.
std::optional<NearestFit> FindNearestFit(const StageFacts& facts, const Batches& batches,
                                         const Device& device);

}  // namespace vernier::plan
