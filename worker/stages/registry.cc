// The table of stages: one line each.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/stages/evaluate/evaluate.h"
#include "worker/stages/export/export.h"
#include "worker/stages/generate.h"
#include "worker/stages/stage.h"
#include "worker/stages/train.h"

namespace vernier::stages {
namespace {

struct Entry {
  const char* name;
  v1::Task::WorkCase work;
  absl::Status (*run)(const StageContext&, trainer::TaskOutcome&);
};

constexpr Entry kStages[] = {
    {"train", v1::Task::kTrain, RunTrain},
    {"evaluate", v1::Task::kEvaluate, RunEvaluate},
    {"generate", v1::Task::kGenerate, RunGenerate},
    {"export", v1::Task::kExport, RunExport},
};

}  // namespace

absl::Status RunStage(const StageContext& context, trainer::TaskOutcome& outcome) {
  for (const Entry& entry : kStages) {
    if (entry.work == context.task.work_case()) return entry.run(context, outcome);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "task of ", context.task.job(), " stage \"", context.task.stage(),
      "\": this trainer does not run its kind of work; it runs ", absl::StrJoin(KnownStages(), ", ")));
}

std::vector<std::string> KnownStages() {
  std::vector<std::string> names;
  for (const Entry& entry : kStages) names.emplace_back(entry.name);
  return names;
}

}  // namespace vernier::stages
