// Ranges and defaults of a stage's fields: the one place where the comments of proto/vernier/v1/*.proto are
// code. Pure. What a field means for another (models, rows, other stages) is in references.h.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/validate/field_check.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::server {

inline constexpr int64_t kMaxCount = int64_t{1} << 40;  // of rows

void FillTrain(const FieldCheck& at, v1::TrainStage& train);
// `seed` is the default of decoding.seed.
void FillEvaluate(const FieldCheck& at, uint64_t seed, v1::EvaluateStage& evaluate);
// All but what depends on what is exported.
void FillExport(const FieldCheck& at, v1::ExportStage& stage);
// All but what depends on the model and the rows.
void FillData(const FieldCheck& at, v1::Data& data);
void FillDecoding(const FieldCheck& at, uint64_t seed, v1::Decoding& decoding);

// Whether `profile` is among those of `stage`.
bool HasProfile(const v1::ExportStage& stage, absl::string_view profile);

// Whether a metric of `evaluate` needs generated answers.
bool Generates(const v1::EvaluateStage& evaluate);

}  // namespace vernier::server
