// The learning rate over the steps, as a factor of the optimizer's rate. Pure functions.
#pragma once

#include <cstdint>

#include "vernier/v1/optim.pb.h"

namespace vernier::optim {

// Factor for optimiser step `step` (0-based) of `total_steps` (>= 1). During warm-up it is (step + 1) / warm-up
// steps, so the first step already moves; afterwards the shape runs from 1 at the end of warm-up towards min_ratio
// at `total_steps`. `schedule` has its shape set and its defaults filled in.
double ScheduleFactor(const v1::Schedule& schedule, int64_t step, int64_t total_steps);

// Warm-up length in steps after resolving warmup_ratio; at most total_steps.
int64_t WarmupSteps(const v1::Schedule& schedule, int64_t total_steps);

}  // namespace vernier::optim
