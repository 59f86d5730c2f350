#include "server/api/adapter_upload.h"

#include <vector>

#include "common/file.h"
#include "common/status_macros.h"
#include "server/api/adapter_files.h"
#include "server/api/keep.h"
#include "server/api/object_download.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

// docs/formats/artifact.md.
constexpr char kArtifactFormat[] = "vernier.artifact";
constexpr char kAdapterKind[] = "adapter";

}  // namespace

absl::Status AdapterUpload::Take(const v1::ImportAdapterRequest& request) {
  if (request.part_case() == v1::ImportAdapterRequest::kFile) return StartFile(request.file());
  if (request.part_case() != v1::ImportAdapterRequest::kChunk) {
    return absl::InvalidArgumentError("a message of an adapter's upload starts a file or is a chunk of it");
  }
  if (open_ == nullptr) return absl::InvalidArgumentError("name a file before its first chunk");
  if (static_cast<int64_t>(request.chunk().size()) > kChunkBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a chunk has ", HumanBytes(request.chunk().size()),
                                                   "; send at most ", HumanBytes(kChunkBytes)));
  }
  return open_->Append(request.chunk());
}

absl::Status AdapterUpload::StartFile(const std::string& name) {
  if (name != kAdapterConfigFile && name != kAdapterTensorFile) {
    return absl::InvalidArgumentError(absl::StrCat("file \"", Excerpt(name),
                                                   "\" is not part of an adapter; send ", kAdapterConfigFile,
                                                   " and ", kAdapterTensorFile));
  }
  if (files_.contains(name)) return absl::InvalidArgumentError(absl::StrCat(name, ": was sent already"));
  const int64_t max_bytes = name == kAdapterConfigFile ? kMaxAdapterConfigBytes : api_.max_upload_bytes;
  VN_ASSIGN_OR_RETURN(std::unique_ptr<SpoolFile> file, SpoolFile::Create(api_.spool_dir, name, max_bytes));
  open_ = file.get();
  files_.emplace(name, std::move(file));
  return absl::OkStatus();
}

absl::Status AdapterUpload::Check() const {
  for (const absl::string_view name : {kAdapterConfigFile, kAdapterTensorFile}) {
    if (!files_.contains(std::string(name))) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": is missing; an adapter is two files"));
    }
  }
  VN_ASSIGN_OR_RETURN(const std::string config, ReadFile(files_.at(std::string(kAdapterConfigFile))->path()));
  VN_RETURN_IF_ERROR(CheckAdapterConfig(config));
  VN_ASSIGN_OR_RETURN(const MappedFile tensors,
                      MappedFile::Open(files_.at(std::string(kAdapterTensorFile))->path()));
  VN_ASSIGN_OR_RETURN(const storage::SafetensorsFile file,
                      storage::SafetensorsFile::Parse(tensors.bytes(), kAdapterTensorFile));
  return CheckAdapterTensors(file);
}

absl::Status AdapterUpload::Store(const std::string& folder, const storage::Manifest& manifest) const {
  for (const auto& [name, file] : files_) {
    VN_RETURN_IF_ERROR(storage::PutFile(api_.store, absl::StrCat(folder, "/", name), file->path(),
                                        storage::WriteMode::kIfAbsent)
                           .status());
  }
  return storage::WriteManifest(api_.store, folder, manifest).status();
}

absl::Status AdapterUpload::Finish(v1::ImportAdapterResponse& response) {
  VN_RETURN_IF_ERROR(Check());
  storage::Manifest manifest{.format = kArtifactFormat, .version = 1};
  manifest.fields = {{"kind", kAdapterKind}};
  for (const auto& [name, file] : files_) {
    const storage::ByteDigest digest = file->Finish();
    manifest.parts.push_back({.name = name, .size_bytes = digest.size_bytes, .sha256 = digest.sha256});
  }
  AdapterRecord record;
  record.set_digest(storage::DigestOfParts(manifest.parts));
  record.set_key(storage::AdapterFolder(kDefaultTenant, record.digest()));
  record.set_size_bytes(manifest.TotalBytes());
  const auto store = [&] { return Store(record.key(), manifest); };
  const auto add = [&](Core& core, absl::Time now) {
    return core.RegisterAdapter(kDefaultTenant, record, now);
  };
  const auto key = [&] { return absl::StrCat(record.key(), "/", storage::kManifestName); };
  VN_RETURN_IF_ERROR(Keep(api_, absl::StrCat(record.key(), "/"), store, add, key).status());
  response.set_adapter(absl::StrCat("adapters/", record.digest()));
  return absl::OkStatus();
}

}  // namespace vernier::server
