#include "common/clock.h"

#include "absl/time/clock.h"

namespace vernier {
namespace {
class SystemClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
};
}  // namespace

Clock& RealClock() {
  static SystemClock* const clock = new SystemClock;
  return *clock;
}

}  // namespace vernier
