// What the stages of a job refer to: each other, models, datasets and adapters. Pure.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "server/jobs/record.pb.h"
#include "server/validate/catalog.h"
#include "server/validate/field_check.h"
#include "vernier/v1/job.pb.h"

namespace vernier::server {

// `stage "sft": `, or `stages[2]: ` while it has no usable id.
std::string StageWhere(const v1::JobSpec& spec, int stage);

// Resolves every reference of `spec.stages`, whose fields are filled in, and fills in what depends on them
// (data.max_tokens, data.template_time, loss_on). Returns one record per stage.
std::vector<StageRecord> ResolveReferences(const Catalog& catalog, absl::Time now, v1::JobSpec& spec,
                                           FieldErrors& errors);

}  // namespace vernier::server
