// Publishing what a stage made: a folder of files below <stage>/artifacts/ with a manifest, written last. The
// fencing token and the incarnation are in the folder's name, so that a lapsed attempt publishes beside,
// never over, a live one; which one counts is the job store's decision. Format: docs/formats/artifact.md.
#pragma once

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
#include "vernier/v1/task.pb.h"

namespace vernier::stages {

inline constexpr absl::string_view kArtifactFormat = "vernier.artifact";
inline constexpr int kArtifactVersion = 1;

// The manifest's `kind`, which is also the artifact's name.
inline constexpr absl::string_view kAdapterKind = "adapter";        // PEFT's two files
inline constexpr absl::string_view kWeightsKind = "weights";        // a whole model as a Hugging Face folder
inline constexpr absl::string_view kEvaluationKind = "evaluation";  // metrics.json, predictions.jsonl
inline constexpr absl::string_view kLedgerKind = "ledger";          // docs/formats/ledger.md

inline constexpr absl::string_view kAdapterConfigFile = "adapter_config.json";
inline constexpr absl::string_view kAdapterTensorFile = "adapter_model.safetensors";

// A text among a manifest's fields; "" when it has none of that name.
std::string TextField(const storage::Manifest& manifest, absl::string_view name);

// Writes one artifact. Thread-compatible. Errors are the store's.
class ArtifactWriter {
 public:
  // `store` and `task` outlive it. `output_key` is the stage's folder.
  ArtifactWriter(storage::ObjectStore& store, const v1::Task& task, absl::string_view output_key,
                 absl::string_view kind);

  absl::Status AddBytes(absl::string_view name, absl::string_view bytes);
  absl::Status AddTensors(absl::string_view name, absl::Span<const storage::TensorView> tensors,
                          const std::map<std::string, std::string>& metadata = {});
  // Copies the object `key`.
  absl::Status AddCopy(absl::string_view name, absl::string_view key);
  // Streams a file of unknown size: Finish the writer, then hand its digest to AddWritten.
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view name);
  void AddWritten(absl::string_view name, const storage::ByteDigest& digest);

  // The files so far, as a manifest that does not exist yet.
  const storage::Manifest& manifest() const { return manifest_; }
  const std::string& folder() const { return folder_; }

  // Writes the manifest with `fields` beside kind, job and stage: from here on the artifact exists. Call
  // once, last.
  absl::StatusOr<v1::Artifact> Commit(const nlohmann::json& fields);

 private:
  std::string KeyOf(absl::string_view name) const;

  storage::ObjectStore& store_;
  const v1::Task& task_;
  const std::string folder_;
  storage::Manifest manifest_;
};

}  // namespace vernier::stages
