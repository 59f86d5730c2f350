// Progress as events, at most a few times a second.
#pragma once

#include <string>

#include "vernier/v1/job.pb.h"
#include "worker/stages/start.h"
#include "worker/trainer/task_context.h"

namespace vernier::stages {

// Thread-compatible.
class ProgressReporter {
 public:
  // `events` outlives it.
  explicit ProgressReporter(trainer::TaskContext& events) : events_(events) {}

  // Reports `progress` when its phase is another than before, when it first completes (all steps, all rows)
  // and when a quarter of a second passed since the last report.
  void Report(const v1::Progress& progress) {
    const bool complete = (progress.total_steps() > 0 && progress.step() == progress.total_steps()) ||
                          (progress.total_rows() > 0 && progress.rows() == progress.total_rows());
    const bool news = progress.phase() != phase_ || complete != complete_;
    if (!news && since_.Seconds() < kIntervalSeconds) return;
    phase_ = progress.phase();
    complete_ = complete;
    since_ = Stopwatch();
    events_.ReportProgress(progress);
  }

 private:
  static constexpr double kIntervalSeconds = 0.25;

  trainer::TaskContext& events_;
  std::string phase_;
  bool complete_ = false;
  Stopwatch since_;
};

}  // namespace vernier::stages
