#include "storage/model_import.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/model_draft.h"
#include "storage/model_from_folder.h"
#include "storage/model_from_gguf.h"
#include "storage/source_path.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

// Of model_sources records. Raised when a GGUF file would become another model than before; older records are
// then ignored and the file is converted again.
constexpr int kConversionVersion = 1;
// An array: nlohmann takes absl::string_view for a list of characters.
constexpr char kSourceFormat[] = "vernier.model_source";
constexpr int64_t kMaxSourceBytes = 4096;

// Maps the progress of one phase into its share of the whole.
class Progress {
 public:
  Progress(const ImportProgress& tell, absl::string_view phase, double begin, double end, int64_t total_bytes)
      : tell_(tell),
        phase_(phase),
        begin_(begin),
        end_(end),
        total_bytes_(std::max<int64_t>(total_bytes, 1)) {
    if (tell_) tell_(begin_, phase_);
  }
  void Add(int64_t bytes) {
    done_bytes_ += bytes;
    // At most a thousand calls a phase.
    if (!tell_ || done_bytes_ - told_bytes_ < total_bytes_ / 1000) return;
    told_bytes_ = done_bytes_;
    const double share = std::min(1.0, static_cast<double>(done_bytes_) / static_cast<double>(total_bytes_));
    tell_(begin_ + (end_ - begin_) * share, phase_);
  }

 private:
  const ImportProgress& tell_;
  const absl::string_view phase_;
  const double begin_, end_;
  const int64_t total_bytes_;
  int64_t done_bytes_ = 0, told_bytes_ = 0;
};

// Passes on what is appended and counts it.
class CountingSink final : public ByteSink {
 public:
  CountingSink(ByteSink& next, Progress& progress) : next_(next), progress_(progress) {}
  absl::Status Append(absl::string_view bytes) override {
    VN_RETURN_IF_ERROR(next_.Append(bytes));
    progress_.Add(static_cast<int64_t>(bytes.size()));
    return absl::OkStatus();
  }

 private:
  ByteSink& next_;
  Progress& progress_;
};

class HashSink final : public ByteSink {
 public:
  absl::Status Append(absl::string_view bytes) override {
    hash_.Update(bytes);
    size_bytes_ += static_cast<int64_t>(bytes.size());
    return absl::OkStatus();
  }
  ByteDigest Finish() { return {size_bytes_, hash_.FinishHex()}; }

 private:
  Sha256 hash_;
  int64_t size_bytes_ = 0;
};

Json FieldsOf(const ImportedModel& model) {
  return {{"architecture", model.architecture},
          {"num_parameters", model.num_parameters},
          {"context_length", model.context_length},
          {"vocab_size", model.vocab_size},
          {"has_chat_template", model.has_chat_template}};
}

absl::StatusOr<ImportedModel> ModelOf(absl::string_view folder, absl::string_view digest,
                                      const Manifest& manifest) {
  const Json& fields = manifest.fields;
  const auto count = [&](const char* name) {
    const auto found = fields.find(name);
    return found != fields.end() && found->is_number_integer() ? found->get<int64_t>() : int64_t{-1};
  };
  ImportedModel model;
  model.digest = std::string(digest);
  model.size_bytes = manifest.TotalBytes();
  model.num_parameters = count("num_parameters");
  model.context_length = count("context_length");
  model.vocab_size = count("vocab_size");
  const auto architecture = fields.find("architecture");
  const auto has_template = fields.find("has_chat_template");
  if (architecture == fields.end() || !architecture->is_string() || has_template == fields.end() ||
      !has_template->is_boolean() || model.num_parameters < 0 || model.context_length < 0 ||
      model.vocab_size < 0) {
    return absl::DataLossError(absl::StrCat(
        folder, "/", kManifestName, ": fields: not those of a model; delete the model and import it again"));
  }
  model.architecture = architecture->get<std::string>();
  model.has_chat_template = has_template->get<bool>();
  return model;
}

// The model `digest` if it is in the store as a whole, undamaged: else importing it mends it.
absl::StatusOr<std::optional<ImportedModel>> FindModel(ObjectStore& store, absl::string_view tenant,
                                                       absl::string_view digest) {
  const std::string folder = ModelFolder(tenant, digest);
  const absl::StatusOr<Manifest> manifest = ReadManifest(store, folder, kModelFormat);
  if (absl::IsNotFound(manifest.status())) return std::optional<ImportedModel>();
  VN_RETURN_IF_ERROR(manifest.status());
  const absl::Status whole = VerifyParts(store, folder, *manifest);
  if (absl::IsDataLoss(whole)) return std::optional<ImportedModel>();
  VN_RETURN_IF_ERROR(whole);
  VN_ASSIGN_OR_RETURN(ImportedModel model, ModelOf(folder, digest, *manifest));
  return std::optional<ImportedModel>(std::move(model));
}

class Importer {
 public:
  Importer(ObjectStore& store, absl::string_view tenant, const ImportOptions& options)
      : store_(store), tenant_(tenant), options_(options) {}

  absl::StatusOr<ImportedModel> Import(const std::string& source) {
    VN_RETURN_IF_ERROR(CheckId("tenant", tenant_));
    VN_ASSIGN_OR_RETURN(const std::string path, ResolvePath(source, options_.root));
    std::error_code error;
    const bool is_folder = std::filesystem::is_directory(path, error);
    if (error) return ErrnoStatus(error.value(), source);
    absl::StatusOr<ImportedModel> model = is_folder ? ImportFolder(source) : ImportGguf(source);
    if (model.ok() && options_.progress) options_.progress(1.0, "done");
    return model;
  }

 private:
  absl::StatusOr<ImportedModel> ImportFolder(const std::string& source) {
    const Progress reading(options_.progress, "reading", 0.0, 0.0, 0);
    VN_ASSIGN_OR_RETURN(ModelDraft draft,
                        DraftFromFolder(source, options_.root, options_.tokenizer_from_folder));
    return Store(std::move(draft), source, 0.0);
  }

  absl::StatusOr<ImportedModel> ImportGguf(const std::string& source) {
    VN_ASSIGN_OR_RETURN(const std::string path, ResolveFile(source, options_.root));
    if (absl::EndsWith(source, ".safetensors")) {
      return absl::InvalidArgumentError(
          absl::StrCat(source, ": is a file of weights; name the folder that also holds config.json"));
    }
    VN_ASSIGN_OR_RETURN(Gguf opened, Gguf::Open(path));
    const auto gguf = std::make_shared<const Gguf>(std::move(opened));
    constexpr double kReadShare = 0.1;
    Progress reading(options_.progress, "reading", 0.0, kReadShare,
                     static_cast<int64_t>(gguf->file_bytes().size()));
    HashSink hash;
    CountingSink counting(hash, reading);
    VN_RETURN_IF_ERROR(StreamFile(path, counting));
    const std::string key = ModelSourceKey(tenant_, hash.Finish().sha256);
    VN_ASSIGN_OR_RETURN(std::optional<ImportedModel> known, FindSource(key));
    if (known.has_value()) return *std::move(known);
    VN_ASSIGN_OR_RETURN(ModelDraft draft, DraftFromGguf(gguf, options_.tokenizer_from_gguf));
    VN_ASSIGN_OR_RETURN(const ImportedModel model, Store(std::move(draft), source, kReadShare));
    const Json record = {{"format", kSourceFormat}, {"version", kConversionVersion}, {"model", model.digest}};
    VN_RETURN_IF_ERROR(store_.Put(key, record.dump() + "\n"));
    return model;
  }

  // The model that the GGUF file became before.
  absl::StatusOr<std::optional<ImportedModel>> FindSource(const std::string& key) {
    const absl::StatusOr<ModelSource> record = ReadModelSource(store_, key);
    if (absl::IsNotFound(record.status())) return std::optional<ImportedModel>();
    VN_RETURN_IF_ERROR(record.status());
    if (record->version != kConversionVersion) return std::optional<ImportedModel>();
    return FindModel(store_, tenant_, record->model_digest);
  }

  // Hashes all files, since their address depends on it, and then writes what is not there yet.
  absl::StatusOr<ImportedModel> Store(ModelDraft draft, const std::string& source, double begin) {
    int64_t total_bytes = 0;
    for (const ModelFile& file : draft.files) total_bytes += file.size_bytes;
    const double middle = (begin + 1) / 2;
    Progress hashing(options_.progress, "hashing", begin, middle, total_bytes);
    Manifest manifest;
    manifest.format = std::string(kModelFormat);
    manifest.fields = FieldsOf(draft.model);
    for (const ModelFile& file : draft.files) {
      HashSink hash;
      CountingSink counting(hash, hashing);
      VN_RETURN_IF_ERROR(file.write(counting));
      const ByteDigest digest = hash.Finish();
      manifest.parts.push_back({file.name, digest.size_bytes, digest.sha256});
    }
    ImportedModel model = draft.model;
    model.digest = DigestOfParts(manifest.parts);
    model.size_bytes = manifest.TotalBytes();
    VN_ASSIGN_OR_RETURN(const std::optional<ImportedModel> known, FindModel(store_, tenant_, model.digest));
    if (known.has_value()) return *known;

    Progress writing(options_.progress, "writing", middle, 1.0, total_bytes);
    const std::string folder = ModelFolder(tenant_, model.digest);
    for (size_t i = 0; i < draft.files.size(); ++i) {
      VN_RETURN_IF_ERROR(Write(draft.files[i], manifest.parts[i], source, folder, writing));
    }
    VN_RETURN_IF_ERROR(WriteManifest(store_, folder, manifest).status());
    return model;
  }

  absl::Status Write(const ModelFile& file, const ManifestPart& part, const std::string& source,
                     const std::string& folder, Progress& progress) {
    const std::string key = absl::StrCat(folder, "/", file.name);
    // Replacing heals a part that was damaged; all writers of this key have equal bytes.
    VN_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectWriter> writer,
                        store_.OpenWriter(key, WriteMode::kReplace));
    CountingSink counting(*writer, progress);
    VN_RETURN_IF_ERROR(file.write(counting));
    VN_ASSIGN_OR_RETURN(const ByteDigest digest, writer->Finish());
    if (digest.size_bytes == part.size_bytes && digest.sha256 == part.sha256) return absl::OkStatus();
    VN_RETURN_IF_ERROR(store_.Delete(key));
    return absl::UnavailableError(absl::StrCat(
        source, ": ", file.name, " changed while it was imported; import it again when it is complete"));
  }

  ObjectStore& store_;
  const absl::string_view tenant_;
  const ImportOptions& options_;
};

}  // namespace

absl::StatusOr<ImportedModel> ImportModel(const std::string& source, ObjectStore& store,
                                          absl::string_view tenant, const ImportOptions& options) {
  return Importer(store, tenant, options).Import(source);
}

absl::StatusOr<ImportedModel> ReadModel(ObjectStore& store, absl::string_view tenant,
                                        absl::string_view digest) {
  const std::string folder = ModelFolder(tenant, digest);
  const absl::StatusOr<Manifest> manifest = ReadManifest(store, folder, kModelFormat);
  if (absl::IsNotFound(manifest.status())) {
    return absl::NotFoundError(
        absl::StrCat("model ", Excerpt(digest), " is not imported; ", manifest.status().message()));
  }
  VN_RETURN_IF_ERROR(manifest.status());
  return ModelOf(folder, digest, *manifest);
}

absl::StatusOr<ModelSource> ReadModelSource(ObjectStore& store, absl::string_view key) {
  VN_ASSIGN_OR_RETURN(const std::string text, store.Get(key, kMaxSourceBytes));
  const absl::StatusOr<Json> record = ParseJson(text, key);
  ModelSource source;
  if (record.ok() && record->is_object() && record->value("format", Json()) == Json(kSourceFormat) &&
      record->contains("version") && record->at("version").is_number_integer() && record->contains("model") &&
      record->at("model").is_string()) {
    source.version = record->at("version").get<int64_t>();
    source.model_digest = record->at("model").get<std::string>();
  }
  return source;
}

}  // namespace vernier::storage
