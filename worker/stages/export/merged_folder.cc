#include "worker/stages/export/merged_folder.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "storage/safetensors.h"

namespace vernier::stages {
namespace {

absl::Status WriteFile(ArtifactWriter& writer, const MergedTensors& tensors, const MergedTensors::File& file,
                       int64_t& bytes, const OnBytes& on_bytes) {
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::ObjectWriter> object, writer.OpenWriter(file.name));
  std::vector<storage::TensorSpec> specs(file.tensors.tensors().begin(), file.tensors.tensors().end());
  std::map<std::string, std::string> metadata = file.tensors.metadata();
  metadata.emplace("format", "pt");  // readers look for it
  VN_ASSIGN_OR_RETURN(storage::SafetensorsWriter out,
                      storage::SafetensorsWriter::Create(*object, std::move(specs), metadata));
  for (const storage::TensorView& tensor : file.tensors.tensors()) {
    VN_RETURN_IF_ERROR(tensors.Append(tensor, out));
    bytes += static_cast<int64_t>(tensor.bytes.size());
    VN_RETURN_IF_ERROR(on_bytes(bytes));
  }
  VN_RETURN_IF_ERROR(out.Finish());
  VN_ASSIGN_OR_RETURN(const storage::ByteDigest digest, object->Finish());
  writer.AddWritten(file.name, digest);
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteMergedFolder(ArtifactWriter& writer, const MergedTensors& tensors,
                               const HandOver& hand_over, const OnBytes& on_bytes) {
  int64_t bytes = 0;
  for (const MergedTensors::File& file : tensors.files()) {
    VN_RETURN_IF_ERROR(WriteFile(writer, tensors, file, bytes, on_bytes));
  }
  for (const auto& [name, text] : hand_over.files) VN_RETURN_IF_ERROR(writer.AddBytes(name, text));
  return absl::OkStatus();
}

}  // namespace vernier::stages
