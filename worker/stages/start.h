// How every stage begins: the precision is chosen and said, with the numeric class that follows from it.
#pragma once

#include <chrono>

#include "vernier/v1/stage.pb.h"
#include "worker/stages/stage.h"
#include "worker/trainer/numeric_class.h"

namespace vernier::stages {

// The class of this process computing in `dtype` with the threads that LibTorch was given.
trainer::NumericClass NumericClassOf(at::ScalarType dtype);

// Chooses the precision and reports TaskStarted with the choice as its note.
trainer::PrecisionChoice ReportStart(const StageContext& context, v1::Precision precision);

// Seconds since it was made. Readings never fall.
class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace vernier::stages
