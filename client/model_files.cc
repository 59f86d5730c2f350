#include "client/model_files.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "storage/gguf.h"
#include "storage/model_import.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/text/sentencepiece_model.h"

namespace vernier::client {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

// "" when there is no such file.
absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) return "";
  return text;
}

absl::Status ReadFolder(const std::string& folder, data::CodecFiles& files) {
  VN_ASSIGN_OR_RETURN(files.tokenizer_json, ReadIfThere(folder + "/tokenizer.json"));
  VN_ASSIGN_OR_RETURN(files.tokenizer_config_json, ReadIfThere(folder + "/tokenizer_config.json"));
  if (files.tokenizer_json.empty()) {
    VN_ASSIGN_OR_RETURN(const std::string pieces, ReadIfThere(folder + "/tokenizer.model"));
    if (pieces.empty()) {
      return absl::NotFoundError(absl::StrCat(folder, ": has neither tokenizer.json nor tokenizer.model"));
    }
    VN_ASSIGN_OR_RETURN(files.tokenizer_json,
                        data::TokenizerJsonFromSentencePiece(pieces, files.tokenizer_config_json));
  }
  VN_ASSIGN_OR_RETURN(std::string jinja, ReadIfThere(folder + "/chat_template.jinja"));
  if (!jinja.empty()) files.chat_template_override = std::move(jinja);
  return absl::OkStatus();
}

absl::Status ReadGguf(const std::string& path, data::CodecFiles& files) {
  VN_ASSIGN_OR_RETURN(const storage::Gguf gguf, storage::Gguf::Open(path));
  VN_ASSIGN_OR_RETURN(files.tokenizer_json, data::TokenizerJsonFromGguf(gguf));
  VN_ASSIGN_OR_RETURN(files.tokenizer_config_json, storage::TokenizerConfigFromGguf(gguf));
  return absl::OkStatus();
}

absl::Status ReadService(Client& client, const std::string& model, data::CodecFiles& files) {
  VN_ASSIGN_OR_RETURN(files.tokenizer_json, client.ModelFile(model, "tokenizer.json"));
  for (const auto& [name, take] :
       {std::pair{"tokenizer_config.json", 0}, std::pair{"chat_template.jinja", 1}}) {
    absl::StatusOr<std::string> text = client.ModelFile(model, name);
    if (absl::IsNotFound(text.status())) continue;
    if (!text.ok()) return text.status();
    if (take == 0) {
      files.tokenizer_config_json = *std::move(text);
    } else {
      files.chat_template_override = *std::move(text);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<data::Codec>> OpenCodec(
    const CodecRequest& request, const std::function<absl::StatusOr<Client*>()>& connect) {
  data::CodecFiles files;
  std::error_code error;
  if (std::filesystem::is_directory(request.model, error)) {
    VN_RETURN_IF_ERROR(ReadFolder(request.model, files));
  } else if (std::filesystem::is_regular_file(request.model, error)) {
    VN_RETURN_IF_ERROR(ReadGguf(request.model, files));
  } else if (absl::StrContains(request.model, '/')) {
    return absl::NotFoundError(absl::StrCat(request.model, ": no such folder or GGUF file"));
  } else {
    VN_ASSIGN_OR_RETURN(Client* const client, connect());
    VN_RETURN_IF_ERROR(ReadService(*client, request.model, files));
  }
  if (request.chat_template) files.chat_template_override = request.chat_template;
  files.template_time = request.template_time;
  files.turns = request.turns;
  files.reasoning = request.reasoning;
  return data::CreateCodec(files, nullptr);
}

}  // namespace vernier::client
