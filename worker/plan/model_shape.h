// What a plan needs to know of a model, read from the files of its folder: sizes from config.json, layers and
// their widths from the names and shapes of its tensors. No tensor is read.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/object_store.h"
#include "storage/safetensors.h"
#include "vernier/v1/model.pb.h"

namespace vernier::plan {

// Of the model below the prefix `key` (storage/model_import.h). NotFound: a file is missing. InvalidArgument,
// DataLoss: one is unsound, or there is nothing in it that looks like a layer.
absl::StatusOr<v1::ModelShape> ReadModelShape(storage::ObjectStore& store, absl::string_view key);

// The same from what the files say. `name` starts every message.
absl::StatusOr<v1::ModelShape> ModelShapeOf(absl::string_view config_json,
                                            absl::Span<const storage::TensorSpec> tensors,
                                            absl::string_view name);

// Whether a plan can count with the shape: older imports stored some that it cannot. InvalidArgument: a size
// is 0, negative or absurd. `name` starts the message.
absl::Status CheckModelShape(const v1::ModelShape& shape, absl::string_view name);

}  // namespace vernier::plan
