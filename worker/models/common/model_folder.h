// A model's folder on disk, opened: its config and its tensors, in the layout of storage/model_import.h.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/safetensors.h"
#include "worker/models/common/config_reader.h"

namespace vernier::models {

// A tensor of the folder and the open file that holds its bytes.
struct StoredTensor {
  storage::TensorView view;
  std::shared_ptr<const storage::SafetensorsFile> file;  // shared by every tensor that lies in it
};

class ModelFolder {
 public:
  // Reads config.json and opens model.safetensors, or the shards that model.safetensors.index.json names.
  // NotFound: no folder, no config.json or a shard is missing. InvalidArgument: a file is not sound, or index
  // and shards disagree (the tensor is named).
  static absl::StatusOr<ModelFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }
  ConfigReader config() const { return ConfigReader(config_, config_path_); }
  // Ids that end a text: of generation_config.json where it has some, else of config.json.
  absl::StatusOr<std::vector<int64_t>> EosTokenIds(int64_t vocab_size) const;
  // By name; views stay valid while the StoredTensor lives.
  const absl::flat_hash_map<std::string, StoredTensor>& tensors() const { return tensors_; }

 private:
  absl::Status OpenShard(const std::string& file_name,
                         const absl::flat_hash_map<std::string, std::string>* shard_of);
  absl::Status OpenTensors();

  std::string path_;
  std::string config_path_;
  nlohmann::json config_;
  nlohmann::json generation_config_;  // {} when the folder has none
  absl::flat_hash_map<std::string, StoredTensor> tensors_;
};

}  // namespace vernier::models
