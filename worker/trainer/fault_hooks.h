// Faults on demand: a trainer that kills itself, leaves or computes NaN at a chosen place, so that tests can
// demand the bits of an undisturbed run afterwards (law 3). Off unless VERNIER_FAULT is set in the trainer's
// environment:
//
//   VERNIER_FAULT="kill@step=3,point=after_backward,once=/tmp/marker"
//   VERNIER_FAULT="kill@step=3,point=before_step;nan@step=5,point=after_backward"   several, parted by ';'
//
//   action  kill: SIGKILL to itself | exit: leaves with code 70, saying nothing | nan: poisons a gradient
//   step    optimiser step, from 1; of a checkpoint: the updates in it. Left out: every step
//   point   before_step, after_backward (the only one for nan), after_update,
//           during_checkpoint (some parts written), before_manifest, after_manifest (not reported yet),
//           before_publish (the artifact's files written, its manifest not)
//   once    path of a marker: the fault happens only when the file does not exist yet, and creates it
//           first, so that the attempt that follows passes. Left out: every time
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::trainer {

enum class FaultPoint {
  kBeforeStep,
  kAfterBackward,
  kAfterUpdate,
  kDuringCheckpoint,
  kBeforeManifest,
  kAfterManifest,
  kBeforePublish,
};

// Immutable, thread-safe.
class FaultHooks {
 public:
  FaultHooks() = default;  // no faults
  // InvalidArgument: names the part of `spec` that is wrong and what would be right. "": no faults.
  static absl::StatusOr<FaultHooks> Parse(absl::string_view spec);
  // From VERNIER_FAULT.
  static absl::StatusOr<FaultHooks> FromEnvironment();

  // Does what is due at `point` of `step`. True: the caller must poison the step's gradient.
  bool At(FaultPoint point, int64_t step) const;

 private:
  enum class Action { kKill, kExit, kNan };
  struct Fault {
    Action action = Action::kKill;
    std::optional<int64_t> step;
    FaultPoint point = FaultPoint::kBeforeStep;
    std::string once;
  };
  static absl::StatusOr<Fault> ParseOne(absl::string_view text);

  std::vector<Fault> faults_;
};

}  // namespace vernier::trainer
