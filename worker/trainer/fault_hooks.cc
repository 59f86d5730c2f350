#include "worker/trainer/fault_hooks.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/log.h"
#include "common/registry.h"
#include "common/status_macros.h"

namespace vernier::trainer {
namespace {

constexpr int kExitCode = 70;

struct PointEntry {
  absl::string_view name;
  FaultPoint point;
};
constexpr PointEntry kPoints[] = {
    {"before_step", FaultPoint::kBeforeStep},         {"after_backward", FaultPoint::kAfterBackward},
    {"after_update", FaultPoint::kAfterUpdate},       {"during_checkpoint", FaultPoint::kDuringCheckpoint},
    {"before_manifest", FaultPoint::kBeforeManifest}, {"after_manifest", FaultPoint::kAfterManifest},
    {"before_publish", FaultPoint::kBeforePublish},
};

absl::string_view NameOf(FaultPoint point) {
  for (const PointEntry& entry : kPoints) {
    if (entry.point == point) return entry.name;
  }
  return "";
}

// True for the one caller that creates the marker.
bool CreateMarker(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

}  // namespace

absl::StatusOr<FaultHooks::Fault> FaultHooks::ParseOne(absl::string_view text) {
  struct ActionEntry {
    absl::string_view name;
    Action action;
  };
  static constexpr ActionEntry kActions[] = {
      {"kill", Action::kKill}, {"exit", Action::kExit}, {"nan", Action::kNan}};
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(text, absl::MaxSplits('@', 1));
  Fault fault;
  VN_ASSIGN_OR_RETURN(const ActionEntry* const action,
                      FindEntry(absl::MakeConstSpan(kActions), "VERNIER_FAULT: action", halves.first));
  fault.action = action->action;
  bool has_point = false;
  for (const absl::string_view setting : absl::StrSplit(halves.second, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(setting, absl::MaxSplits('=', 1));
    if (parts.first == "step") {
      int64_t step = 0;
      if (!absl::SimpleAtoi(parts.second, &step) || step < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("VERNIER_FAULT: step \"", parts.second, "\" is no number of a step"));
      }
      fault.step = step;
    } else if (parts.first == "point") {
      VN_ASSIGN_OR_RETURN(const PointEntry* const point,
                          FindEntry(absl::MakeConstSpan(kPoints), "VERNIER_FAULT: point", parts.second));
      fault.point = point->point;
      has_point = true;
    } else if (parts.first == "once" && !parts.second.empty()) {
      fault.once = std::string(parts.second);
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "VERNIER_FAULT: \"", setting, "\" is not understood; write step=N, point=NAME or once=PATH"));
    }
  }
  if (!has_point)
    return absl::InvalidArgumentError(absl::StrCat("VERNIER_FAULT: \"", text, "\" has no point=NAME"));
  if (fault.action == Action::kNan && fault.point != FaultPoint::kAfterBackward) {
    return absl::InvalidArgumentError("VERNIER_FAULT: nan goes with point=after_backward only");
  }
  return fault;
}

absl::StatusOr<FaultHooks> FaultHooks::Parse(absl::string_view spec) {
  FaultHooks hooks;
  for (const absl::string_view one : absl::StrSplit(spec, ';', absl::SkipEmpty())) {
    VN_ASSIGN_OR_RETURN(Fault fault, ParseOne(one));
    hooks.faults_.push_back(std::move(fault));
  }
  return hooks;
}

absl::StatusOr<FaultHooks> FaultHooks::FromEnvironment() {
  const char* const spec = std::getenv("VERNIER_FAULT");
  return Parse(spec == nullptr ? "" : spec);
}

bool FaultHooks::At(FaultPoint point, int64_t step) const {
  bool poison = false;
  for (const Fault& fault : faults_) {
    if (fault.point != point || (fault.step.has_value() && *fault.step != step)) continue;
    if (!fault.once.empty() && !CreateMarker(fault.once)) continue;
    VN_LOG(WARNING) << "fault injected step=" << step << " point=" << NameOf(point);
    switch (fault.action) {
      case Action::kKill:
        ::kill(::getpid(), SIGKILL);
        break;
      case Action::kExit:
        std::_Exit(kExitCode);
      case Action::kNan:
        poison = true;
        break;
    }
  }
  return poison;
}

}  // namespace vernier::trainer
