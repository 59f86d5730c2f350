#include "worker/plan/model_shape.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "storage/bounded_json.h"

namespace vernier::plan {
namespace {

constexpr absl::string_view kSingleFile = "model.safetensors";
constexpr absl::string_view kIndexFile = "model.safetensors.index.json";
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;
constexpr int64_t kMaxNumber = int64_t{1} << 40;
// Of a width, a vocabulary, a number of heads: above every model there is, and products stay in 64 bits.
constexpr int64_t kMaxSize = int64_t{1} << 24;

// The first of `names` that config.json has as a whole number; `fallback` when it has none.
int64_t Number(const nlohmann::json& config, std::initializer_list<const char*> names, int64_t fallback) {
  for (const char* name : names) {
    const auto found = config.find(name);
    if (found != config.end() && found->is_number_integer()) {
      return std::clamp<int64_t>(found->get<int64_t>(), 0, kMaxNumber);
    }
  }
  return fallback;
}

bool Flag(const nlohmann::json& config, const char* name, bool fallback) {
  const auto found = config.find(name);
  return found != config.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

// The share of each head's numbers that positions turn.
double TurnedShare(const nlohmann::json& config, absl::string_view type) {
  for (const nlohmann::json& object : {config, config.value("rope_parameters", nlohmann::json::object()),
                                       config.value("rope_scaling", nlohmann::json::object())}) {
    for (const char* name : {"partial_rotary_factor", "rotary_pct"}) {
      const auto found = object.find(name);
      if (found != object.end() && found->is_number()) return std::clamp(found->get<double>(), 0.0, 1.0);
    }
  }
  return type == "gpt_neox" ? 0.25 : 1.0;
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// "model.layers.0.self_attn.q_proj.weight" -> "model.layers", "0", "self_attn.q_proj", "q_proj", "weight".
struct Place {
  std::string layers, layer, path;  // "" outside of layers
  std::string module, tensor;
};
Place PlaceOf(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  Place place;
  place.tensor = parts.back();
  if (parts.size() >= 2) place.module = parts[parts.size() - 2];
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (!IsNumber(parts[i])) continue;
    place.layers = absl::StrJoin(parts.begin(), parts.begin() + i, ".");
    place.layer = parts[i];
    place.path = absl::StrJoin(parts.begin() + i + 1, parts.end() - 1, ".");
    break;
  }
  return place;
}

bool IsBuffer(const Place& place) {
  return place.tensor == "inv_freq" || place.tensor == "masked_bias" ||
         (place.tensor == "bias" && place.module == "attn");
}

void AddTensors(absl::Span<const storage::TensorSpec> tensors, bool is_conv, v1::ModelShape& shape) {
  std::set<std::string> layers;
  bool all_fp32 = true, all_bf16 = true;
  for (const storage::TensorSpec& tensor : tensors) {
    const Place place = PlaceOf(tensor.name);
    if (IsBuffer(place)) continue;
    const bool is_matrix = tensor.shape.size() > 1;
    if (!place.layer.empty()) layers.insert(place.layer);
    shape.set_stored_bytes(shape.stored_bytes() + tensor.NumBytes());
    // A tied head that is stored all the same is not loaded again.
    if (shape.tied_head() && (place.module == "lm_head" || place.module == "embed_out")) continue;
    if (is_matrix) {
      shape.set_matrix_parameters(shape.matrix_parameters() + tensor.NumElements());
      all_fp32 = all_fp32 && tensor.dtype == storage::Dtype::kF32;
      all_bf16 = all_bf16 && tensor.dtype == storage::Dtype::kBF16;
    } else {
      shape.set_vector_parameters(shape.vector_parameters() + tensor.NumElements());
    }
    if (place.layer != "0" || place.tensor != "weight") continue;
    if (is_matrix) {
      shape.set_layers_name(place.layers);
      v1::LinearShape& linear = *shape.add_linears();
      linear.set_name(place.path);
      linear.set_in_features(tensor.shape[is_conv ? 0 : 1]);
      linear.set_out_features(tensor.shape[is_conv ? 1 : 0]);
    } else {
      shape.add_norms(place.module);
    }
  }
  shape.set_num_layers(static_cast<int64_t>(layers.size()));
  shape.set_stored_fp32(all_fp32);
  shape.set_stored_bf16(all_bf16);
}

}  // namespace

absl::Status CheckModelShape(const v1::ModelShape& shape, absl::string_view name) {
  const auto check = [&](absl::string_view what, int64_t size, int64_t least) {
    if (size >= least && size <= kMaxSize) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", what, " = ", size, " is outside [", least,
                                                   ", ", kMaxSize, "]; check its config.json"));
  };
  VN_RETURN_IF_ERROR(check("hidden_size", shape.hidden_size(), 1));
  VN_RETURN_IF_ERROR(check("num_attention_heads", shape.num_heads(), 1));
  VN_RETURN_IF_ERROR(check("num_key_value_heads", shape.num_kv_heads(), 1));
  VN_RETURN_IF_ERROR(check("head_dim", shape.head_dim(), 1));
  VN_RETURN_IF_ERROR(check("num_attention_heads x head_dim", shape.num_heads() * shape.head_dim(), 1));
  VN_RETURN_IF_ERROR(check("num_key_value_heads x head_dim", shape.num_kv_heads() * shape.head_dim(), 1));
  VN_RETURN_IF_ERROR(check("intermediate_size", shape.intermediate_size(), 0));
  VN_RETURN_IF_ERROR(check("vocab_size", shape.vocab_size(), 0));
  VN_RETURN_IF_ERROR(check("angle_numbers", shape.angle_numbers(), 0));
  for (const v1::LinearShape& linear : shape.linears()) {
    VN_RETURN_IF_ERROR(check(absl::StrCat(linear.name(), " inputs"), linear.in_features(), 1));
    VN_RETURN_IF_ERROR(check(absl::StrCat(linear.name(), " outputs"), linear.out_features(), 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ModelShape> ModelShapeOf(absl::string_view config_json,
                                            absl::Span<const storage::TensorSpec> tensors,
                                            absl::string_view name) {
  VN_ASSIGN_OR_RETURN(
      const nlohmann::json config,
      storage::ParseJson(config_json, absl::StrCat(name, "/config.json"), {.max_bytes = kMaxConfigBytes}));
  if (!config.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(name, "/config.json: it is no JSON object"));
  }
  const std::string type =
      config.contains("model_type") && config["model_type"].is_string() ? config["model_type"] : "";
  v1::ModelShape shape;
  shape.set_hidden_size(Number(config, {"hidden_size", "n_embd"}, 0));
  shape.set_num_heads(Number(config, {"num_attention_heads", "n_head"}, 0));
  shape.set_num_kv_heads(Number(config, {"num_key_value_heads"}, shape.num_heads()));
  shape.set_vocab_size(Number(config, {"vocab_size"}, 0));
  shape.set_intermediate_size(Number(config, {"intermediate_size", "n_inner"}, 4 * shape.hidden_size()));
  if (shape.num_heads() < 1 || shape.hidden_size() < 1) {
    return absl::InvalidArgumentError(absl::StrCat(name, "/config.json: it has no hidden_size or no heads"));
  }
  const bool is_gemma = absl::StartsWith(type, "gemma");
  shape.set_head_dim(Number(config, {"head_dim"}, is_gemma ? 256 : shape.hidden_size() / shape.num_heads()));
  shape.set_tied_head(Flag(config, "tie_word_embeddings", is_gemma || type == "gpt2"));
  shape.set_layer_norm(type == "gpt2" || type == "gpt_neox");
  shape.set_rotary(type != "gpt2");
  if (shape.rotary()) {
    const int64_t kinds = absl::StartsWith(type, "gemma3") ? 2 : 1;  // layers with a window turn by their own
    const auto turned =
        static_cast<int64_t>(static_cast<double>(shape.head_dim()) * TurnedShare(config, type));
    shape.set_angle_numbers(kinds * turned);
  }
  shape.set_parallel_residual(type == "gpt_neox" && Flag(config, "use_parallel_residual", true));
  AddTensors(tensors, /*is_conv=*/type == "gpt2", shape);
  if (shape.linears().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": no tensor is of a layer 0"));
  }
  VN_RETURN_IF_ERROR(CheckModelShape(shape, name));
  return shape;
}

absl::StatusOr<v1::ModelShape> ReadModelShape(storage::ObjectStore& store, absl::string_view key) {
  VN_ASSIGN_OR_RETURN(const std::string config,
                      store.Get(absl::StrCat(key, "/config.json"), kMaxConfigBytes));
  std::set<std::string> files;
  const absl::StatusOr<std::string> index = store.Get(absl::StrCat(key, "/", kIndexFile), kMaxIndexBytes);
  if (index.ok()) {
    VN_ASSIGN_OR_RETURN(const nlohmann::json json,
                        storage::ParseJson(*index, absl::StrCat(key, "/", kIndexFile)));
    const auto map = json.find("weight_map");
    if (map == json.end() || !map->is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(key, "/", kIndexFile, ": weight_map is missing"));
    }
    for (const auto& [tensor, file] : map->items()) {
      if (file.is_string()) files.insert(file.get<std::string>());
    }
  } else if (absl::IsNotFound(index.status())) {
    files.insert(std::string(kSingleFile));
  } else {
    return index.status();
  }
  std::vector<storage::TensorSpec> tensors;
  for (const std::string& file : files) {
    VN_ASSIGN_OR_RETURN(const storage::SafetensorsFile opened,
                        storage::SafetensorsFile::Open(store, absl::StrCat(key, "/", file)));
    for (const storage::TensorView& tensor : opened.tensors()) tensors.push_back(tensor);
  }
  return ModelShapeOf(config, tensors, key);
}

}  // namespace vernier::plan
