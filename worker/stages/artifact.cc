#include "worker/stages/artifact.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "storage/layout.h"

namespace vernier::stages {
namespace {

constexpr int64_t kChunkBytes = 8 << 20;

}  // namespace

std::string TextField(const storage::Manifest& manifest, absl::string_view name) {
  const auto found = manifest.fields.find(std::string(name));
  return found != manifest.fields.end() && found->is_string() ? found->get<std::string>() : "";
}

ArtifactWriter::ArtifactWriter(storage::ObjectStore& store, const v1::Task& task,
                               absl::string_view output_key, absl::string_view kind)
    : store_(store),
      task_(task),
      folder_(storage::ArtifactFolder(output_key, kind, task.token(), task.incarnation())) {
  manifest_.format = std::string(kArtifactFormat);
  manifest_.version = kArtifactVersion;
  manifest_.fields = {{"kind", std::string(kind)}, {"job", task.job()}, {"stage", task.stage()}};
}

std::string ArtifactWriter::KeyOf(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

absl::Status ArtifactWriter::AddBytes(absl::string_view name, absl::string_view bytes) {
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::ObjectWriter> writer, OpenWriter(name));
  VN_RETURN_IF_ERROR(writer->Append(bytes));
  VN_ASSIGN_OR_RETURN(const storage::ByteDigest digest, writer->Finish());
  AddWritten(name, digest);
  return absl::OkStatus();
}

absl::Status ArtifactWriter::AddTensors(absl::string_view name, absl::Span<const storage::TensorView> tensors,
                                        const std::map<std::string, std::string>& metadata) {
  VN_ASSIGN_OR_RETURN(
      const storage::ByteDigest digest,
      storage::WriteSafetensors(store_, KeyOf(name), storage::WriteMode::kReplace, tensors, metadata));
  AddWritten(name, digest);
  return absl::OkStatus();
}

absl::Status ArtifactWriter::AddCopy(absl::string_view name, absl::string_view key) {
  VN_ASSIGN_OR_RETURN(const storage::ObjectInfo info, store_.Head(key));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::ObjectWriter> writer, OpenWriter(name));
  for (int64_t at = 0; at < info.size_bytes;) {
    VN_ASSIGN_OR_RETURN(const std::string bytes,
                        store_.GetRange(key, at, std::min(kChunkBytes, info.size_bytes - at)));
    if (bytes.empty()) return absl::UnavailableError(absl::StrCat(key, ": shrank while it was copied"));
    VN_RETURN_IF_ERROR(writer->Append(bytes));
    at += static_cast<int64_t>(bytes.size());
  }
  VN_ASSIGN_OR_RETURN(const storage::ByteDigest digest, writer->Finish());
  AddWritten(name, digest);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> ArtifactWriter::OpenWriter(absl::string_view name) {
  return store_.OpenWriter(KeyOf(name), storage::WriteMode::kReplace);
}

void ArtifactWriter::AddWritten(absl::string_view name, const storage::ByteDigest& digest) {
  manifest_.parts.push_back({std::string(name), digest.size_bytes, digest.sha256});
}

absl::StatusOr<v1::Artifact> ArtifactWriter::Commit(const nlohmann::json& fields) {
  manifest_.fields.update(fields);
  v1::Artifact artifact;
  VN_ASSIGN_OR_RETURN(*artifact.mutable_manifest_sha256(),
                      storage::WriteManifest(store_, folder_, manifest_));
  artifact.set_job(task_.job());
  artifact.set_stage(task_.stage());
  artifact.set_name(TextField(manifest_, "kind"));
  artifact.set_key(folder_);
  artifact.set_size_bytes(manifest_.TotalBytes());
  artifact.mutable_create_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  for (const storage::ManifestPart& part : manifest_.parts) {
    v1::ArtifactFile& file = *artifact.add_files();
    file.set_name(part.name);
    file.set_size_bytes(part.size_bytes);
    file.set_sha256(part.sha256);
  }
  return artifact;
}

}  // namespace vernier::stages
