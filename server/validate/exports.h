// What export stages need to know of their source. Pure.
#pragma once

#include "absl/strings/string_view.h"
#include "server/jobs/record.pb.h"
#include "server/validate/catalog.h"
#include "server/validate/field_check.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::server {

// `record` is of an export of what another job published.
void FillFromPublished(const PublishedFacts& published, StageRecord& record);

// Whether the source has what the profiles hold. `stacked`: its adapter lies on top of another one.
// `architecture`: of its model.
void CheckExportProfiles(const FieldCheck& at, const v1::ExportStage& stage, const StageRecord& record,
                         bool stacked, absl::string_view architecture);

}  // namespace vernier::server
