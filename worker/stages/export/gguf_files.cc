#include "worker/stages/export/gguf_files.h"

#include <stdlib.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/folder_store.h"
#include "storage/layout.h"
#include "storage/model_import.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/text/gguf_vocabulary.h"
#include "worker/data/text/tokenizer_spec.h"
#include "worker/stages/export/probe.h"

namespace vernier::stages {
namespace {

constexpr char kTenant[] = "check";

absl::StatusOr<std::string> TemporaryFolder() {
  std::error_code error;
  std::string pattern = absl::StrCat(std::filesystem::temp_directory_path(error).string(), "/vernier-XXXXXX");
  if (error) return absl::FailedPreconditionError(absl::StrCat("TMPDIR: ", error.message()));
  if (::mkdtemp(pattern.data()) == nullptr) return ErrnoStatus(errno, pattern);
  return pattern;
}

}  // namespace

absl::Status WriteModelGguf(ArtifactWriter& writer, const storage::GgufDescription& description,
                            storage::GgufMetadata names, storage::GgufFloat type, const HandOver& hand_over,
                            const MergedTensors& tensors, const storage::OnTensor& on_tensor) {
  int64_t embedding_rows = 0;
  for (const storage::GgufRule& rule : description.rules) {
    if (rule.gguf == "token_embd.weight") embedding_rows = rule.shape.front();
  }
  VN_ASSIGN_OR_RETURN(storage::GgufMetadata vocabulary,
                      data::GgufVocabulary({.tokenizer_json = hand_over.tokenizer_json,
                                            .tokenizer_config_json = hand_over.tokenizer_config_json,
                                            .chat_template = hand_over.chat_template,
                                            .stop_ids = hand_over.stop_ids,
                                            .embedding_rows = embedding_rows}));
  for (storage::GgufEntry& entry : vocabulary) names.push_back(std::move(entry));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::ObjectWriter> file, writer.OpenWriter(kModelGgufFile));
  VN_RETURN_IF_ERROR(storage::WriteGgufModel(
      description, names, type,
      [&](const std::string& name, std::vector<float>& values) { return tensors.Values(name, values); },
      on_tensor, *file));
  VN_ASSIGN_OR_RETURN(const storage::ByteDigest digest, file->Finish());
  writer.AddWritten(kModelGgufFile, digest);
  return absl::OkStatus();
}

ImportedGguf::~ImportedGguf() {
  if (root_ == nullptr) return;
  std::error_code error;
  std::filesystem::remove_all(*root_, error);
  if (error)
    VN_LOG(WARNING) << "temporary folder not removed path=" << *root_ << " error=" << error.message();
}

absl::StatusOr<ImportedGguf> ImportGguf(storage::ObjectStore& store, const ArtifactWriter& writer) {
  VN_ASSIGN_OR_RETURN(std::string root, TemporaryFolder());
  ImportedGguf imported(root);
  // The import reads a file, which not every store has.
  storage::Manifest gguf_alone;
  for (const storage::ManifestPart& part : writer.manifest().parts) {
    if (part.name == kModelGgufFile) gguf_alone.parts.push_back(part);
  }
  VN_ASSIGN_OR_RETURN(const LocalFolder written, LocalFolder::Open(store, writer.folder(), gguf_alone));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::FolderStore> models,
                      storage::FolderStore::Open({.root = absl::StrCat(root, "/store")}));
  storage::ImportOptions options;
  options.tokenizer_from_gguf = data::TokenizerJsonFromGguf;
  const absl::StatusOr<storage::ImportedModel> model =
      storage::ImportModel(absl::StrCat(written.path(), "/", kModelGgufFile), *models, kTenant, options);
  if (!model.ok()) return Annotate(model.status(), "reading the GGUF file back");
  const std::string key = absl::StrCat(storage::ModelFolder(kTenant, model->digest), "/config.json");
  const std::optional<std::string> path = models->LocalPath(key);
  if (!path.has_value()) return absl::InternalError(absl::StrCat(key, ": was imported and is gone"));
  imported.folder_ = std::filesystem::path(*path).parent_path().string();
  return imported;
}

absl::Status CompareTokenizers(const data::Tokenizer& wanted, const std::string& folder) {
  VN_ASSIGN_OR_RETURN(const std::string json,
                      ReadFile(absl::StrCat(folder, "/tokenizer.json"), data::kMaxTokenizerJsonBytes));
  VN_ASSIGN_OR_RETURN(const std::string config, ReadFile(absl::StrCat(folder, "/tokenizer_config.json"),
                                                         data::kMaxTokenizerConfigBytes));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<data::Tokenizer> read, data::Tokenizer::Create(json, config));
  for (const std::string& text : ProbeTexts()) {
    const auto want = wanted.Encode(text);
    const auto got = read->Encode(text);
    if (!want.ok()) continue;
    if (got.ok() && got->ids == want->ids) {
      const std::string wanted_text = wanted.Decode(want->ids, /*skip_special=*/false);
      const std::string text_read = read->Decode(want->ids, /*skip_special=*/false);
      if (text_read == wanted_text) continue;
      return absl::InternalError(absl::StrCat("profile gguf: its tokenizer makes \"", Excerpt(text_read),
                                              "\" of the tokens of \"", Excerpt(wanted_text),
                                              "\"; it is not published"));
    }
    return absl::InternalError(
        absl::StrCat("profile gguf: its tokenizer cuts \"", Excerpt(text), "\" into ",
                     got.ok() ? absl::StrJoin(got->ids, " ") : std::string(got.status().message()),
                     ", the model's into ", absl::StrJoin(want->ids, " "), "; it is not published"));
  }
  return absl::OkStatus();
}

}  // namespace vernier::stages
