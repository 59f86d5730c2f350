// A model in one GGUF file: written, and read back by the import.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/gguf_export.h"
#include "worker/data/text/tokenizer.h"
#include "worker/stages/artifact.h"
#include "worker/stages/export/hand_over.h"
#include "worker/stages/export/source.h"

namespace vernier::stages {

inline constexpr char kModelGgufFile[] = "model.gguf";

// The weights in `type`, with tokenizer, chat template and stop tokens in the metadata. InvalidArgument: a
// tokenizer that GGUF has no name for, values that the type cannot hold.
absl::Status WriteModelGguf(ArtifactWriter& writer, const storage::GgufDescription& description,
                            storage::GgufMetadata names, storage::GgufFloat type, const HandOver& hand_over,
                            const MergedTensors& tensors, const storage::OnTensor& on_tensor);

// The written file, imported as a model of its own into a temporary folder, which goes with the object.
class ImportedGguf {
 public:
  ImportedGguf(ImportedGguf&& other) noexcept = default;
  ~ImportedGguf();
  // A Hugging Face folder.
  const std::string& folder() const { return folder_; }

 private:
  friend absl::StatusOr<ImportedGguf> ImportGguf(storage::ObjectStore& store, const ArtifactWriter& writer);
  explicit ImportedGguf(std::string root) : root_(std::make_unique<std::string>(std::move(root))) {}
  std::unique_ptr<std::string> root_;  // null: moved from
  std::string folder_;
};
// Below $TMPDIR; takes 4 bytes a parameter there. ResourceExhausted: no space.
absl::StatusOr<ImportedGguf> ImportGguf(storage::ObjectStore& store, const ArtifactWriter& writer);

// Whether the tokenizer in `folder` cuts and puts together the probe texts as `wanted` does. Internal: it
// does not; shows the text.
absl::Status CompareTokenizers(const data::Tokenizer& wanted, const std::string& folder);

}  // namespace vernier::stages
