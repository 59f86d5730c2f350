#include "worker/models/common/model_folder.h"

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::models {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{1} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;
constexpr size_t kMaxShards = 4096;
constexpr absl::string_view kSingleFile = "model.safetensors";
constexpr absl::string_view kIndexFile = "model.safetensors.index.json";

absl::StatusOr<nlohmann::json> ReadObject(const std::string& path, int64_t max_bytes) {
  VN_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, max_bytes));
  VN_ASSIGN_OR_RETURN(nlohmann::json json, storage::ParseJson(text, path, {.max_bytes = max_bytes}));
  if (!json.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": is not a JSON object"));
  return json;
}

// An index comes from a stranger: a shard is a plain file of its own folder.
bool IsPlainFileName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 && name[0] != '.' && !absl::StrContains(name, '/') &&
         !absl::StrContains(name, '\\') && !absl::StrContains(name, '\0');
}

}  // namespace

absl::StatusOr<ModelFolder> ModelFolder::Open(const std::string& path) {
  ModelFolder folder;
  folder.path_ = path;
  folder.config_path_ = absl::StrCat(path, "/config.json");
  VN_ASSIGN_OR_RETURN(folder.config_, ReadObject(folder.config_path_, kMaxConfigBytes));
  absl::StatusOr<nlohmann::json> generation =
      ReadObject(absl::StrCat(path, "/generation_config.json"), kMaxConfigBytes);
  if (generation.ok()) {
    folder.generation_config_ = *std::move(generation);
  } else if (absl::IsNotFound(generation.status())) {
    folder.generation_config_ = nlohmann::json::object();
  } else {
    return generation.status();
  }
  VN_RETURN_IF_ERROR(folder.OpenTensors());
  return folder;
}

absl::Status ModelFolder::OpenShard(const std::string& file_name,
                                    const absl::flat_hash_map<std::string, std::string>* shard_of) {
  const std::string file_path = absl::StrCat(path_, "/", file_name);
  VN_ASSIGN_OR_RETURN(storage::SafetensorsFile opened, storage::SafetensorsFile::Open(file_path));
  const auto file = std::make_shared<const storage::SafetensorsFile>(std::move(opened));
  for (const storage::TensorView& view : file->tensors()) {
    if (shard_of != nullptr) {
      const auto shard = shard_of->find(view.name);
      if (shard == shard_of->end() || shard->second != file_name) {
        return absl::InvalidArgumentError(absl::StrCat(file_path, ": tensor \"", Excerpt(view.name),
                                                       "\" is not in this file by ", kIndexFile));
      }
    }
    tensors_.emplace(view.name, StoredTensor{view, file});
  }
  return absl::OkStatus();
}

absl::Status ModelFolder::OpenTensors() {
  const absl::Status single = OpenShard(std::string(kSingleFile), nullptr);
  if (!absl::IsNotFound(single)) return single;
  const std::string index_path = absl::StrCat(path_, "/", kIndexFile);
  absl::StatusOr<nlohmann::json> index = ReadObject(index_path, kMaxIndexBytes);
  if (absl::IsNotFound(index.status())) {
    return absl::NotFoundError(absl::StrCat(path_, ": has neither ", kSingleFile, " nor ", kIndexFile,
                                            "; other weight files are not read"));
  }
  if (!index.ok()) return index.status();
  const auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object() || map->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(index_path, ": weight_map is missing, empty or not an object"));
  }
  absl::flat_hash_map<std::string, std::string> shard_of;
  std::set<std::string> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": weight_map names no plain file for tensor \"", Excerpt(name), "\""));
    }
    shard_of.emplace(name, shard.get<std::string>());
    shards.insert(shard.get<std::string>());
  }
  if (shards.size() > kMaxShards) {
    return absl::InvalidArgumentError(
        absl::StrCat(index_path, ": names ", shards.size(), " files, more than the limit of ", kMaxShards));
  }
  for (const std::string& shard : shards) VN_RETURN_IF_ERROR(OpenShard(shard, &shard_of));
  for (const auto& [name, shard] : shard_of) {
    if (!tensors_.contains(name)) {
      return absl::InvalidArgumentError(absl::StrCat(path_, "/", shard, ": has no tensor \"", Excerpt(name),
                                                     "\", which ", kIndexFile, " puts there"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> ModelFolder::EosTokenIds(int64_t vocab_size) const {
  constexpr absl::string_view kField = "eos_token_id";
  const ConfigReader generation(generation_config_, absl::StrCat(path_, "/generation_config.json"));
  if (generation.Has(kField)) return generation.TokenIds(kField, vocab_size);
  return config().TokenIds(kField, vocab_size);
}

}  // namespace vernier::models
