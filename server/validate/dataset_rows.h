// What a job can know of a dataset's rows before they are prepared: pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/objective.pb.h"
#include "worker/data/formats/row_forms.h"

namespace vernier::server {

// The form in which a job that reads `dataset` with these columns and this format sees its rows; none: only
// preparing tells (Parquet, mapped columns). InvalidArgument: such rows cannot be trained on; the message
// starts behind the name of the field ("data.source", ...).
absl::StatusOr<std::optional<data::RowForm>> FormOfRows(const v1::Dataset& dataset,
                                                        const std::map<std::string, std::string>& columns,
                                                        absl::string_view format);

// Which tokens of such rows are trained unless the job says otherwise.
v1::LossOn DefaultLossOn(std::optional<data::RowForm> form);

}  // namespace vernier::server
