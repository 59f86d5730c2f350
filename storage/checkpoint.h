// Checkpoints of a stage: named binary parts + a JSON state + a manifest, below
// <stage>/checkpoints/<step>-<token>-<incarnation>/. Format: docs/formats/checkpoint.md.
// The fencing token and the incarnation are in the key, so an attempt that lost its lease writes beside,
// never over, a live one; which incarnation counts is the job store's decision.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/manifest.h"
#include "storage/object_store.h"
#include "storage/safetensors.h"

namespace vernier::storage {

inline constexpr absl::string_view kCheckpointFormat = "vernier.checkpoint";  // of its manifest

struct CheckpointId {
  int64_t step = 0;         // optimiser updates done, >= 0
  uint64_t token = 0;       // fencing token of the lease
  std::string incarnation;  // of the attempt: 1 to 64 of [A-Za-z0-9_]

  // "000000001200-7-9f3a": names sort by step. Parse takes exactly what Name makes (InvalidArgument else).
  std::string Name() const;
  static absl::StatusOr<CheckpointId> Parse(absl::string_view name);
  auto operator<=>(const CheckpointId&) const = default;
};

// Writes one checkpoint. Every call refuses a bad id (InvalidArgument). Parts may be added from several
// ranks' writers of the same id under different names (only one of them commits, with the others' parts
// handed to AddWritten). Thread-compatible.
class CheckpointWriter {
 public:
  struct Committed {
    Manifest manifest;
    std::string manifest_sha256;  // what Checkpoint::Open may be told to expect
  };

  // `checkpoints_folder` as layout.h's CheckpointsFolder gives it. `store` must outlive the writer.
  CheckpointWriter(ObjectStore& store, absl::string_view checkpoints_folder, CheckpointId id);

  // Part "<name>.safetensors".
  absl::Status AddTensors(absl::string_view name, absl::Span<const TensorView> tensors,
                          const std::map<std::string, std::string>& metadata = {});
  // Part `name` as it is.
  absl::Status AddBytes(absl::string_view name, absl::string_view bytes);
  // A part that another writer has stored.
  absl::Status AddWritten(ManifestPart part);
  const std::vector<ManifestPart>& parts() const { return manifest_.parts; }

  // Writes "state.json" and then the manifest: from here on the checkpoint exists. `fields` go to the
  // manifest (small facts readable without the parts). Call once. AlreadyExists: another checkpoint has this
  // id. InvalidArgument: `state` is no object.
  absl::StatusOr<Committed> Commit(const nlohmann::json& state,
                                   const nlohmann::json& fields = nlohmann::json::object());
  const std::string& folder() const { return folder_; }

 private:
  absl::Status CheckNew(absl::string_view name) const;
  ObjectStore* store_;
  const CheckpointId id_;
  const std::string folder_;
  Manifest manifest_;
};

// An existing checkpoint. Movable; `store` must outlive it. Thread-compatible.
class Checkpoint {
 public:
  // `folder` is one checkpoint's own (CheckpointWriter::folder). Reads the manifest, compares every part's
  // digest (and the manifest's own with `manifest_sha256` unless that is "") and reads the state.
  // NotFound: no such checkpoint. DataLoss: names the damaged part; try the checkpoint before.
  static absl::StatusOr<Checkpoint> Open(ObjectStore& store, absl::string_view folder,
                                         absl::string_view manifest_sha256 = "");

  const Manifest& manifest() const { return manifest_; }
  const nlohmann::json& state() const { return state_; }
  // Part "<name>.safetensors". NotFound: no such part.
  absl::StatusOr<SafetensorsFile> Tensors(absl::string_view name) const;
  absl::StatusOr<std::string> Bytes(absl::string_view name) const;

 private:
  Checkpoint(ObjectStore& store, std::string folder) : store_(&store), folder_(std::move(folder)) {}
  ObjectStore* store_;
  std::string folder_;
  Manifest manifest_;
  nlohmann::json state_;
};

// Complete checkpoints (those with a manifest), oldest step first. Folders with other names are ignored.
absl::StatusOr<std::vector<CheckpointId>> ListCheckpoints(ObjectStore& store,
                                                          absl::string_view checkpoints_folder);

// Deletes the manifest first, so that a half-deleted checkpoint does not exist. OK when there is none.
absl::Status DeleteCheckpoint(ObjectStore& store, absl::string_view checkpoints_folder, CheckpointId id);

}  // namespace vernier::storage
