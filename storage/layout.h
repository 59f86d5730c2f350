// Where everything lies in the object store: keys are made here, from ids, and nowhere else.
//
//   tenants/<tenant>/datasets/<digest>/...
//   tenants/<tenant>/models/<digest>/...            model_import.h
//   tenants/<tenant>/model_sources/<sha256>.json    which model a GGUF file became
//   tenants/<tenant>/prepared/<digest>/...
//   tenants/<tenant>/jobs/<job>/stages/<stage>/checkpoints/<step>-<token>-<incarnation>/...   checkpoint.h
//   tenants/<tenant>/jobs/<job>/stages/<stage>/artifacts/<name>/...
//   tenants/<tenant>/jobs/<job>/stages/<stage>/metrics/...
//
// A job is its id, without the "jobs/" of its resource name. Folders are returned without a trailing '/'. An id may hold [A-Za-z0-9._-], 1 to 128 bytes, not starting
// with '.'; in any other, the bytes at fault appear as %XX, which every store refuses: a bad id gives
// InvalidArgument on first use and can never name another tenant's or job's objects.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vernier::storage {

// The rule for ids above. `what` starts the message: `tenant "a/b": ...`.
absl::Status CheckId(absl::string_view what, absl::string_view id);

std::string TenantFolder(absl::string_view tenant);
std::string DatasetFolder(absl::string_view tenant, absl::string_view digest);
std::string ModelsFolder(absl::string_view tenant);
std::string ModelFolder(absl::string_view tenant, absl::string_view digest);
std::string ModelSourceKey(absl::string_view tenant, absl::string_view source_sha256);
std::string PreparedFolder(absl::string_view tenant, absl::string_view digest);
std::string JobFolder(absl::string_view tenant, absl::string_view job);
std::string StageFolder(absl::string_view tenant, absl::string_view job, absl::string_view stage);

// Below a stage's folder.
std::string CheckpointsFolder(absl::string_view stage_folder);
std::string ArtifactFolder(absl::string_view stage_folder, absl::string_view name);
std::string MetricsFolder(absl::string_view stage_folder);

}  // namespace vernier::storage
