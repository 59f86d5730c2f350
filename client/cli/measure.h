// What the rows of a train stage are like, where they are local files: `vernier plan` looks before the
// service has prepared them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/stage.pb.h"
#include "worker/data/codec.h"
#include "worker/data/prepare.h"

namespace vernier::cli {

struct LocalRows {
  std::string train;       // path
  std::string validation;  // path; "": none here, or a share of the others
};

// As preparing would find them. `train` is effective.
absl::StatusOr<v1::DataReport> MeasureRows(const LocalRows& rows, const v1::TrainStage& train,
                                           const data::Codec& codec, const data::ProgressFn& progress);

// What of the stage's rows such a look leaves out, as sentences.
std::vector<std::string> NotMeasured(const LocalRows& rows, const v1::Data& data);

}  // namespace vernier::cli
