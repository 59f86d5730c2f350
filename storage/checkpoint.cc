#include "storage/checkpoint.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kStateName = "state.json";
constexpr absl::string_view kTensorsSuffix = ".safetensors";
constexpr int64_t kMaxStateBytes = int64_t{64} << 20;
constexpr int64_t kMaxStep = 999'999'999'999;  // 12 digits, so that names sort by step
constexpr size_t kMaxIncarnationBytes = 64;
constexpr int kPageObjects = 1000;

std::string FolderOf(absl::string_view checkpoints_folder, const CheckpointId& id) {
  return absl::StrCat(checkpoints_folder, "/", id.Name());
}

}  // namespace

std::string CheckpointId::Name() const { return absl::StrFormat("%012d-%d-%s", step, token, incarnation); }

absl::StatusOr<CheckpointId> CheckpointId::Parse(absl::string_view name) {
  CheckpointId id;
  const std::vector<absl::string_view> fields = absl::StrSplit(name, '-');
  bool ok =
      fields.size() == 3 && absl::SimpleAtoi(fields[0], &id.step) && absl::SimpleAtoi(fields[1], &id.token) &&
      id.step >= 0 && id.step <= kMaxStep && !fields[2].empty() && fields[2].size() <= kMaxIncarnationBytes &&
      std::all_of(fields[2].begin(), fields[2].end(),
                  [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; });
  if (ok) {
    id.incarnation = std::string(fields[2]);
    ok = id.Name() == name;  // other spellings of the numbers
  }
  if (ok) return id;
  return absl::InvalidArgumentError(
      absl::StrCat("checkpoint \"", Excerpt(name, 120),
                   "\": is not <step, 12 digits>-<fencing token>-<incarnation, 1 to 64 of A-Z a-z 0-9 _>"));
}

CheckpointWriter::CheckpointWriter(ObjectStore& store, absl::string_view checkpoints_folder, CheckpointId id)
    : store_(&store), id_(std::move(id)), folder_(FolderOf(checkpoints_folder, id_)) {
  manifest_.format = std::string(kCheckpointFormat);
}

absl::Status CheckpointWriter::CheckNew(absl::string_view name) const {
  VN_RETURN_IF_ERROR(CheckpointId::Parse(id_.Name()).status());
  if (manifest_.Find(name) == nullptr && name != kManifestName) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(folder_, ": the part \"", Excerpt(name), "\" is taken; give each part another name"));
}

absl::Status CheckpointWriter::AddTensors(absl::string_view name, absl::Span<const TensorView> tensors,
                                          const std::map<std::string, std::string>& metadata) {
  const std::string part = absl::StrCat(name, kTensorsSuffix);
  VN_RETURN_IF_ERROR(CheckNew(part));
  VN_ASSIGN_OR_RETURN(const ByteDigest digest, WriteSafetensors(*store_, absl::StrCat(folder_, "/", part),
                                                                WriteMode::kIfAbsent, tensors, metadata));
  manifest_.parts.push_back({part, digest.size_bytes, digest.sha256});
  return absl::OkStatus();
}

absl::Status CheckpointWriter::AddBytes(absl::string_view name, absl::string_view bytes) {
  VN_RETURN_IF_ERROR(CheckNew(name));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectWriter> writer,
                      store_->OpenWriter(absl::StrCat(folder_, "/", name), WriteMode::kIfAbsent));
  VN_RETURN_IF_ERROR(writer->Append(bytes));
  VN_ASSIGN_OR_RETURN(const ByteDigest digest, writer->Finish());
  manifest_.parts.push_back({std::string(name), digest.size_bytes, digest.sha256});
  return absl::OkStatus();
}

absl::Status CheckpointWriter::AddWritten(ManifestPart part) {
  VN_RETURN_IF_ERROR(CheckNew(part.name));
  manifest_.parts.push_back(std::move(part));
  return absl::OkStatus();
}

absl::StatusOr<CheckpointWriter::Committed> CheckpointWriter::Commit(const Json& state, const Json& fields) {
  if (!state.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(folder_, ": the state is not a JSON object"));
  }
  // Texts that are not UTF-8 would make the state unreadable; the reader could only call it damaged.
  VN_RETURN_IF_ERROR(AddBytes(kStateName, state.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"));
  manifest_.fields = fields;
  VN_ASSIGN_OR_RETURN(std::string sha256, WriteManifest(*store_, folder_, manifest_));
  return Committed{manifest_, std::move(sha256)};
}

absl::StatusOr<Checkpoint> Checkpoint::Open(ObjectStore& store, absl::string_view folder,
                                            absl::string_view manifest_sha256) {
  Checkpoint checkpoint(store, std::string(folder));
  VN_ASSIGN_OR_RETURN(checkpoint.manifest_, ReadManifest(store, folder, kCheckpointFormat, 1, manifest_sha256));
  VN_RETURN_IF_ERROR(VerifyParts(store, folder, checkpoint.manifest_));
  const std::string state_key = absl::StrCat(folder, "/", kStateName);
  if (checkpoint.manifest_.Find(kStateName) == nullptr) {
    return absl::DataLossError(absl::StrCat(state_key, ": is not among the manifest's parts"));
  }
  VN_ASSIGN_OR_RETURN(const std::string text, store.Get(state_key, kMaxStateBytes));
  absl::StatusOr<Json> state = ParseJson(text, state_key, {.max_bytes = kMaxStateBytes});
  if (!state.ok()) return absl::DataLossError(state.status().message());
  if (!state->is_object()) return absl::DataLossError(absl::StrCat(state_key, ": is not a JSON object"));
  checkpoint.state_ = *std::move(state);
  return checkpoint;
}

absl::StatusOr<SafetensorsFile> Checkpoint::Tensors(absl::string_view name) const {
  const std::string part = absl::StrCat(name, kTensorsSuffix);
  if (manifest_.Find(part) == nullptr) {
    return absl::NotFoundError(absl::StrCat(folder_, ": has no part \"", Excerpt(part), "\""));
  }
  return SafetensorsFile::Open(*store_, absl::StrCat(folder_, "/", part));
}

absl::StatusOr<std::string> Checkpoint::Bytes(absl::string_view name) const {
  const ManifestPart* part = manifest_.Find(name);
  if (part == nullptr) {
    return absl::NotFoundError(absl::StrCat(folder_, ": has no part \"", Excerpt(name), "\""));
  }
  return store_->Get(absl::StrCat(folder_, "/", name), part->size_bytes);
}

absl::StatusOr<std::vector<CheckpointId>> ListCheckpoints(ObjectStore& store,
                                                          absl::string_view checkpoints_folder) {
  const std::string prefix = absl::StrCat(checkpoints_folder, "/");
  std::vector<CheckpointId> ids;
  std::string start_after;
  while (true) {
    VN_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> page, store.List(prefix, start_after, kPageObjects));
    for (const ObjectInfo& info : page) {
      absl::string_view name = absl::StripPrefix(info.key, prefix);
      if (!absl::ConsumeSuffix(&name, absl::StrCat("/", kManifestName))) continue;
      if (absl::StatusOr<CheckpointId> id = CheckpointId::Parse(name); id.ok()) ids.push_back(*std::move(id));
    }
    if (page.size() < kPageObjects) break;
    start_after = page.back().key;
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::Status DeleteCheckpoint(ObjectStore& store, absl::string_view checkpoints_folder, CheckpointId id) {
  VN_RETURN_IF_ERROR(CheckpointId::Parse(id.Name()).status());
  const std::string folder = FolderOf(checkpoints_folder, id);
  VN_RETURN_IF_ERROR(store.Delete(absl::StrCat(folder, "/", kManifestName)));
  return DeletePrefix(store, absl::StrCat(folder, "/")).status();
}

}  // namespace vernier::storage
