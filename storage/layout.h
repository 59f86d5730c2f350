// Where everything lies in the object store: keys are made here, from ids, and nowhere else.
//
//   tenants/<tenant>/datasets/<digest>/data            docs/formats/dataset.md
//   tenants/<tenant>/models/<digest>/...               model_import.h
//   tenants/<tenant>/model_sources/<sha256>.json       which model a GGUF file became
//   tenants/<tenant>/adapters/<digest>/...             imported adapters: docs/formats/artifact.md
//   tenants/<tenant>/prepared/<digest>/...             docs/formats/prepared.md
//   tenants/<tenant>/jobs/<job>/stages/<stage>/
//     checkpoints/<step>-<token>-<incarnation>/...     checkpoint.h
//     artifacts/<name>-<token>-<incarnation>/...       docs/formats/artifact.md
//     metrics/<token>-<incarnation>.jsonl              docs/formats/metrics.md
//
// A job is its id, without the "jobs/" of its resource name. Folders are returned without a trailing '/'. An
// id may hold [A-Za-z0-9._-], 1 to 128 bytes, not starting with '.'; in any other, the bytes at fault appear
// as %XX, which every store refuses: a bad id gives InvalidArgument on first use and can never name another
// tenant's or job's objects.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vernier::storage {

// The rule for ids above. `what` starts the message: `tenant "a/b": ...`.
absl::Status CheckId(absl::string_view what, absl::string_view id);

std::string TenantFolder(absl::string_view tenant);
std::string DatasetFolder(absl::string_view tenant, absl::string_view digest);
// The uploaded bytes as they are.
std::string DatasetObject(absl::string_view tenant, absl::string_view digest);
std::string ModelsFolder(absl::string_view tenant);
std::string ModelFolder(absl::string_view tenant, absl::string_view digest);
std::string ModelSourceKey(absl::string_view tenant, absl::string_view source_sha256);
std::string AdapterFolder(absl::string_view tenant, absl::string_view digest);
std::string PreparedFolder(absl::string_view tenant, absl::string_view digest);
std::string JobFolder(absl::string_view tenant, absl::string_view job);
std::string StageFolder(absl::string_view tenant, absl::string_view job, absl::string_view stage);

// Below a stage's folder. The fencing token and the incarnation of the attempt are in every key, so that a
// zombie writes beside, never over, what a live attempt writes.
std::string CheckpointsFolder(absl::string_view stage_folder);
std::string ArtifactFolder(absl::string_view stage_folder, absl::string_view name, uint64_t token,
                           absl::string_view incarnation);
std::string MetricsObject(absl::string_view stage_folder, uint64_t token, absl::string_view incarnation);

// What an object is, told from its key alone.
enum class ObjectKind {
  kDataset,
  kModel,
  kModelSource,
  kAdapter,
  kPrepared,
  kCheckpoint,
  kArtifact,
  kMetrics,
  kOther,  // a key that nothing above makes
};

struct ObjectPlace {
  ObjectKind kind = ObjectKind::kOther;
  // What the object is a part of, without a trailing '/': the dataset, the model, the checkpoint ... For
  // kOther and for kinds of one object, the key itself.
  std::string unit;
};

// `key` below a tenant's folder.
ObjectPlace PlaceOf(absl::string_view key);

}  // namespace vernier::storage
