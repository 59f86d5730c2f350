#include "server/api/dataset_upload.h"

#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "server/api/keep.h"
#include "server/api/object_download.h"
#include "storage/layout.h"

namespace vernier::server {

std::string DatasetUpload::What() const {
  if (!header_) return "upload";
  if (!header_->filename().empty()) return Excerpt(header_->filename());
  return header_->name().empty() ? "upload" : header_->name();
}

absl::Status DatasetUpload::Take(const v1::UploadDatasetRequest& request) {
  switch (request.part_case()) {
    case v1::UploadDatasetRequest::kHeader:
      return TakeHeader(request.header());
    case v1::UploadDatasetRequest::kChunk:
      return TakeChunk(request.chunk());
    case v1::UploadDatasetRequest::PART_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(What(), ": a message of an upload is its header or a chunk"));
}

absl::Status DatasetUpload::TakeHeader(const v1::UploadHeader& header) {
  if (header_)
    return absl::InvalidArgumentError(absl::StrCat(What(), ": an upload has one header, first of all"));
  VN_RETURN_IF_ERROR(CheckSize(header, kMaxNamingBytes));
  if (!header.name().empty()) VN_RETURN_IF_ERROR(storage::CheckId("dataset name", header.name()));
  header_ = header;
  if (!header.sha256().empty()) {
    absl::StatusOr<v1::Dataset> known = api_.strand.Call(
        [&](Core& core, absl::Time) { return core.GetDataset(kDefaultTenant, header.sha256()); });
    if (!known.ok() && !absl::IsNotFound(known.status())) return known.status();
    if (known.ok() && known->digest() == header.sha256()) {
      VN_ASSIGN_OR_RETURN(const bool whole, IsStored(*known));
      if (whole) {
        known_ = *std::move(known);
        return absl::OkStatus();
      }
    }
  }
  VN_ASSIGN_OR_RETURN(file_, SpoolFile::Create(api_.spool_dir, What(), api_.max_upload_bytes));
  return absl::OkStatus();
}

absl::Status DatasetUpload::TakeChunk(absl::string_view chunk) {
  if (!header_)
    return absl::InvalidArgumentError("upload: the first message is the header, before any chunk");
  if (static_cast<int64_t>(chunk.size()) > kChunkBytes) {
    return absl::InvalidArgumentError(absl::StrCat(What(), ": a chunk has ", HumanBytes(chunk.size()),
                                                   "; send at most ", HumanBytes(kChunkBytes)));
  }
  rows_.Update(chunk);
  return file_->Append(chunk);
}

absl::Status DatasetUpload::Finish(v1::UploadDatasetResponse& response) {
  if (known_) return RegisterKnown(response);
  if (!header_) return absl::InvalidArgumentError("upload: ended before its header");
  const storage::ByteDigest bytes = file_->Finish();
  if (!header_->sha256().empty() && header_->sha256() != bytes.sha256) {
    return absl::DataLossError(absl::StrCat(What(), ": ", bytes.size_bytes, " bytes arrived with SHA-256 ",
                                            bytes.sha256, ", and the header promises ",
                                            Excerpt(header_->sha256()), "; upload it again"));
  }
  const absl::StatusOr<RowScan::Result> rows = rows_.Finish();
  if (!rows.ok()) return Annotate(rows.status(), What());
  v1::Dataset dataset;
  dataset.set_name(header_->name());
  dataset.set_digest(bytes.sha256);
  dataset.set_size_bytes(bytes.size_bytes);
  dataset.set_num_rows(rows->num_rows);
  dataset.set_format(rows->format);
  const auto store = [&] { return Store(dataset); };
  VN_ASSIGN_OR_RETURN(
      const Core::Registered registered,
      Keep(
          api_, absl::StrCat(storage::DatasetFolder(kDefaultTenant, dataset.digest()), "/"), store,
          [&](Core& core, absl::Time now) { return core.RegisterDataset(kDefaultTenant, dataset, now); },
          [&] { return storage::DatasetObject(kDefaultTenant, dataset.digest()); }));
  *response.mutable_dataset() = registered.dataset;
  response.set_existed(registered.existed);
  return absl::OkStatus();
}

absl::Status DatasetUpload::RegisterKnown(v1::UploadDatasetResponse& response) {
  VN_ASSIGN_OR_RETURN(
      *response.mutable_dataset(),
      api_.strand.Call([&](Core& core, absl::Time now) -> absl::StatusOr<v1::Dataset> {
        // While it is known, its bytes are not being deleted.
        VN_ASSIGN_OR_RETURN(v1::Dataset known, core.GetDataset(kDefaultTenant, known_->digest()));
        known.set_name(header_->name());
        VN_ASSIGN_OR_RETURN(Core::Registered registered, core.RegisterDataset(kDefaultTenant, known, now));
        return std::move(registered.dataset);
      }));
  response.set_existed(true);
  return absl::OkStatus();
}

absl::StatusOr<bool> DatasetUpload::IsStored(const v1::Dataset& known) {
  const std::string key = storage::DatasetObject(kDefaultTenant, known.digest());
  const absl::StatusOr<storage::ObjectInfo> info = api_.store.Head(key);
  if (absl::IsNotFound(info.status())) return false;
  if (!info.ok()) return info.status();
  if (info->size_bytes != known.size_bytes()) return false;
  // Every job's data comes by here: reading all of it takes tens of seconds for 10 GB, and where bytes
  // changed in their place a job that reads them finds it out.
  if (known.size_bytes() > api_.always_read_bytes) {
    const absl::StatusOr<bool> suspect =
        api_.strand.Call([&](Core& core, absl::Time) -> absl::StatusOr<bool> {
          return core.MayBeDamaged(kDefaultTenant, known.digest());
        });
    if (!suspect.ok()) return suspect.status();
    if (!*suspect) return true;
  }
  const absl::StatusOr<storage::ByteDigest> stored = storage::DigestOf(api_.store, key);
  if (stored.ok()) return stored->sha256 == known.digest();
  if (absl::IsNotFound(stored.status()) || absl::IsDataLoss(stored.status())) return false;
  return stored.status();
}

absl::Status DatasetUpload::Store(const v1::Dataset& dataset) {
  const std::string key = storage::DatasetObject(kDefaultTenant, dataset.digest());
  absl::StatusOr<storage::ByteDigest> stored =
      storage::PutFile(api_.store, key, file_->path(), storage::WriteMode::kIfAbsent);
  if (absl::IsAlreadyExists(stored.status())) {
    // The key says what the bytes must be: these are right, those are not.
    VN_LOG(WARNING) << "damaged dataset replaced by the same one, uploaded again key=" << key;
    stored = storage::PutFile(api_.store, key, file_->path(), storage::WriteMode::kReplace);
  }
  if (!stored.ok()) return stored.status();
  if (stored->sha256 == dataset.digest()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(What(), ": changed between the upload and the store; upload it again"));
}

}  // namespace vernier::server
