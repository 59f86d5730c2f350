#include "worker/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vernier::optim {

int64_t WarmupSteps(const v1::Schedule& schedule, int64_t total_steps) {
  if (schedule.has_warmup_steps()) return std::min<int64_t>(schedule.warmup_steps(), total_steps);
  // The small slack keeps 0.07 x 100 from becoming 8 through rounding.
  return static_cast<int64_t>(std::ceil(schedule.warmup_ratio() * static_cast<double>(total_steps) - 1e-9));
}

double ScheduleFactor(const v1::Schedule& schedule, int64_t step, int64_t total_steps) {
  const int64_t warmup = WarmupSteps(schedule, total_steps);
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double after = static_cast<double>(std::max<int64_t>(1, total_steps - warmup));
  const double progress = std::clamp(static_cast<double>(step - warmup) / after, 0.0, 1.0);
  const auto between = [](double min_ratio, double shape) { return min_ratio + (1.0 - min_ratio) * shape; };
  switch (schedule.shape_case()) {
    case v1::Schedule::kConstant:
      return 1.0;
    case v1::Schedule::kCosine:
      return between(schedule.cosine().min_ratio(), 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
    case v1::Schedule::kPolynomial: {
      const double power = schedule.polynomial().has_power() ? schedule.polynomial().power() : 1.0;
      return between(schedule.polynomial().min_ratio(), std::pow(1.0 - progress, power));
    }
    case v1::Schedule::kWsd: {
      const double decay_ratio = schedule.wsd().has_decay_ratio() ? schedule.wsd().decay_ratio() : 0.1;
      const double decay_steps = std::max(1.0, std::ceil(decay_ratio * static_cast<double>(total_steps)));
      const double left = static_cast<double>(total_steps - step);
      return left >= decay_steps ? 1.0 : between(schedule.wsd().min_ratio(), left / decay_steps);
    }
    case v1::Schedule::kLinear:
    case v1::Schedule::SHAPE_NOT_SET:
      return between(schedule.linear().min_ratio(), 1.0 - progress);
  }
  return 1.0;
}

}  // namespace vernier::optim
