#include "worker/stages/inputs.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "storage/model_import.h"
#include "storage/safetensors.h"
#include "worker/stages/artifact.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

constexpr int64_t kMaxConfigBytes = 16 << 20;
constexpr int64_t kMaxTokenizerBytes = 256 << 20;
constexpr size_t kMaxAdaptersBelow = 16;

// Damage to and absence of an input are the world's state, and no other checkpoint helps.
absl::Status AsPrecondition(const absl::Status& status, absl::string_view remedy) {
  if (!absl::IsDataLoss(status) && !absl::IsNotFound(status)) return status;
  return absl::FailedPreconditionError(absl::StrCat(status.message(), "; ", remedy));
}

absl::StatusOr<storage::Manifest> ReadModelManifest(storage::ObjectStore& store, absl::string_view key) {
  absl::StatusOr<storage::Manifest> imported = storage::ReadManifest(store, key, storage::kModelFormat);
  if (imported.ok() || !absl::IsFailedPrecondition(imported.status())) return imported;
  absl::StatusOr<storage::Manifest> published =
      storage::ReadManifest(store, key, kArtifactFormat, kArtifactVersion);
  if (!published.ok()) return imported;  // neither: what it should have been is the better message
  if (TextField(*published, "kind") != kWeightsKind) {
    return absl::FailedPreconditionError(
        absl::StrCat(key, ": holds no weights, but \"", TextField(*published, "kind"), "\""));
  }
  return published;
}

// None when the folder has no manifest.
absl::StatusOr<std::optional<storage::Manifest>> ReadAdapterManifest(storage::ObjectStore& store,
                                                                     absl::string_view key) {
  absl::StatusOr<storage::Manifest> manifest =
      storage::ReadManifest(store, key, kArtifactFormat, kArtifactVersion);
  if (absl::IsNotFound(manifest.status())) return std::nullopt;
  if (!manifest.ok()) return AsPrecondition(manifest.status(), "choose another adapter");
  if (TextField(*manifest, "kind") != kAdapterKind) {
    return absl::FailedPreconditionError(
        absl::StrCat(key, ": holds no adapter, but \"", TextField(*manifest, "kind"), "\""));
  }
  return *std::move(manifest);
}

}  // namespace

absl::StatusOr<BaseModel> LoadBaseModel(storage::ObjectStore& store, absl::string_view key,
                                        at::ScalarType dtype) {
  constexpr absl::string_view kRemedy = "import the model again";
  absl::StatusOr<storage::Manifest> manifest = ReadModelManifest(store, key);
  if (!manifest.ok()) return Annotate(AsPrecondition(manifest.status(), kRemedy), "base model");
  VN_RETURN_IF_ERROR(AsPrecondition(storage::VerifyParts(store, key, *manifest), kRemedy));
  VN_ASSIGN_OR_RETURN(LocalFolder folder, LocalFolder::Open(store, key, *manifest));
  VN_ASSIGN_OR_RETURN(std::unique_ptr<models::CausalLm> model,
                      trainer::TorchCall("loading the base model",
                                         [&] { return models::LoadCausalLm(folder.path(), dtype); }));
  std::string digest = storage::DigestOfParts(manifest->parts);
  return BaseModel{std::string(key), *std::move(manifest), std::move(digest), std::move(folder),
                   std::move(model)};
}

absl::StatusOr<int64_t> Fp32CopyBytes(storage::ObjectStore& store, absl::string_view key) {
  const absl::StatusOr<storage::Manifest> manifest = ReadModelManifest(store, key);
  if (!manifest.ok())
    return Annotate(AsPrecondition(manifest.status(), "import the model again"), "base model");
  int64_t bytes = 0;
  for (const storage::ManifestPart& part : manifest->parts) {
    if (!absl::EndsWith(part.name, ".safetensors")) continue;
    const absl::StatusOr<storage::SafetensorsFile> file =
        storage::SafetensorsFile::Open(store, absl::StrCat(key, "/", part.name));
    if (!file.ok()) return AsPrecondition(file.status(), "import the model again");
    for (const storage::TensorView& tensor : file->tensors()) {
      if (tensor.dtype != storage::Dtype::kF32) bytes += tensor.NumElements() * int64_t{sizeof(float)};
    }
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<data::Tokenizer>> LoadTokenizer(const BaseModel& base) {
  const absl::StatusOr<std::string> tokenizer =
      ReadFile(absl::StrCat(base.folder.path(), "/tokenizer.json"), kMaxTokenizerBytes);
  if (!tokenizer.ok()) return AsPrecondition(tokenizer.status(), "import the model with its tokenizer");
  absl::StatusOr<std::string> config =
      ReadFile(absl::StrCat(base.folder.path(), "/tokenizer_config.json"), kMaxConfigBytes);
  if (absl::IsNotFound(config.status())) config = "";
  VN_RETURN_IF_ERROR(config.status());
  return data::Tokenizer::Create(*tokenizer, *config);
}

absl::StatusOr<Adapter> LoadAdapter(storage::ObjectStore& store, absl::string_view key,
                                    const models::CausalLm& model) {
  constexpr absl::string_view kRemedy = "train or import the adapter again";
  VN_ASSIGN_OR_RETURN(const std::optional<storage::Manifest> manifest, ReadAdapterManifest(store, key));
  Adapter adapter;
  if (manifest.has_value()) {
    VN_RETURN_IF_ERROR(AsPrecondition(storage::VerifyParts(store, key, *manifest), kRemedy));
    adapter.base_digest = TextField(*manifest, "base_digest");
  }
  const absl::StatusOr<std::string> config =
      store.Get(absl::StrCat(key, "/", kAdapterConfigFile), kMaxConfigBytes);
  if (!config.ok()) return AsPrecondition(config.status(), kRemedy);
  const absl::StatusOr<storage::SafetensorsFile> tensors =
      storage::SafetensorsFile::Open(store, absl::StrCat(key, "/", kAdapterTensorFile));
  if (!tensors.ok()) return AsPrecondition(tensors.status(), kRemedy);
  absl::StatusOr<std::unique_ptr<adapters::Tuning>> tuning =
      trainer::TorchCall("loading the adapter", [&] { return adapters::LoadPeft(model, *config, *tensors); });
  if (!tuning.ok()) return Annotate(tuning.status(), absl::StrCat("adapter ", key));
  adapter.tuning = *std::move(tuning);
  return adapter;
}

absl::StatusOr<std::vector<std::string>> AdaptersBelow(storage::ObjectStore& store, absl::string_view key) {
  std::vector<std::string> below;
  for (std::string at(key); !at.empty();) {
    VN_ASSIGN_OR_RETURN(const std::optional<storage::Manifest> manifest, ReadAdapterManifest(store, at));
    at = manifest.has_value() ? TextField(*manifest, "start_adapter") : "";
    if (at.empty()) break;
    if (below.size() == kMaxAdaptersBelow) {
      return absl::FailedPreconditionError(
          absl::StrCat("adapter ", key, ": more than ", kMaxAdaptersBelow,
                       " adapters lie below it; start again from merged weights"));
    }
    below.push_back(at);
  }
  std::reverse(below.begin(), below.end());
  return below;
}

absl::Status MergeAdapter(storage::ObjectStore& store, absl::string_view key, models::CausalLm& model) {
  VN_ASSIGN_OR_RETURN(const Adapter adapter, LoadAdapter(store, key, model));
  if (!adapter.tuning->traits().mergeable) {
    return absl::FailedPreconditionError(
        absl::StrCat("adapter ", key, ": its method cannot be merged into a base model"));
  }
  return trainer::TorchCall("merging the adapter", [&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    for (const models::LinearSite& site : model.linear_sites()) {
      model.ReplaceBase(site.weight, adapter.tuning->Merged(site));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<Adapter> LoadAdapterStack(storage::ObjectStore& store, absl::string_view key,
                                         models::CausalLm& model) {
  VN_ASSIGN_OR_RETURN(const std::vector<std::string> below, AdaptersBelow(store, key));
  for (const std::string& start : below) VN_RETURN_IF_ERROR(MergeAdapter(store, start, model));
  return LoadAdapter(store, key, model);
}

absl::StatusOr<data::PreparedRows> OpenRows(storage::ObjectStore& store, absl::string_view key,
                                            data::Split split, const models::ModelConfig& config) {
  absl::StatusOr<data::PreparedRows> rows = data::PreparedRows::Open(store, key, split);
  if (!rows.ok()) return AsPrecondition(rows.status(), "prepare the data again");
  for (int64_t row = 0; row < rows->num_rows(); ++row) {
    if (rows->length(row) > config.max_positions) {
      return absl::FailedPreconditionError(
          absl::StrCat("prepared data ", key, ": line ", rows->line(row), " has ", rows->length(row),
                       " tokens, the model's context ", config.max_positions, "; lower data.max_tokens"));
    }
    for (const int32_t id : rows->ids(row)) {
      if (id >= config.vocab_size) {
        return absl::FailedPreconditionError(
            absl::StrCat("prepared data ", key, ": line ", rows->line(row), " has token ", id,
                         ", the model's vocabulary ends at ", config.vocab_size - 1,
                         "; prepare the data with this model's tokenizer"));
      }
    }
  }
  return rows;
}

}  // namespace vernier::stages
