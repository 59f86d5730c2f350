#include "server/api/adapter_files.h"

#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::server {
namespace {

using nlohmann::json;

constexpr int64_t kMaxRank = 512;  // of tuning.lora

absl::Status ConfigError(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(kAdapterConfigFile, ": ", field, " ", what));
}

absl::Status TensorError(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(kAdapterTensorFile, ": tensor ", Excerpt(name, 200), " ", what));
}

// The field, or null when absent.
const json& Field(const json& config, const char* name) {
  static const json* const null = new json();
  const auto found = config.find(name);
  return found == config.end() ? *null : *found;
}

bool IsOff(const json& value) {
  return value.is_null() || value == json(false) || value == json("none") ||
         (value.is_array() && value.empty()) || (value.is_object() && value.empty());
}

bool IsRank(const json& value) {
  return value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= kMaxRank;
}

}  // namespace

absl::Status CheckAdapterConfig(absl::string_view text) {
  VN_ASSIGN_OR_RETURN(const json config,
                      storage::ParseJson(text, kAdapterConfigFile, {.max_bytes = kMaxAdapterConfigBytes}));
  if (!config.is_object()) return ConfigError("the file", "is not a JSON object");
  const json& type = Field(config, "peft_type");
  if (type != json("LORA")) {
    return ConfigError("peft_type",
                       absl::StrCat("is ", Excerpt(type.dump()), "; only \"LORA\" can be imported"));
  }
  if (!IsRank(Field(config, "r"))) {
    return ConfigError("r", absl::StrCat("is not a whole number in [1, ", kMaxRank, "]"));
  }
  if (const json& alpha = Field(config, "lora_alpha"); !alpha.is_number() || alpha.get<double>() <= 0) {
    return ConfigError("lora_alpha", "is not a positive number");
  }
  const json& targets = Field(config, "target_modules");
  if (!targets.is_string() && !(targets.is_array() && !targets.empty())) {
    return ConfigError("target_modules", "is neither a text nor a list of module names");
  }
  for (const char* field : {"bias", "use_dora", "modules_to_save", "trainable_token_indices", "lora_bias",
                            "target_parameters", "layers_to_transform"}) {
    if (!IsOff(Field(config, field))) {
      return ConfigError(field, absl::StrCat("is ", Excerpt(Field(config, field).dump()),
                                             ", which is not supported; export the adapter without it"));
    }
  }
  const json& ranks = Field(config, "rank_pattern");
  if (!ranks.is_null() && !ranks.is_object()) return ConfigError("rank_pattern", "is not an object");
  if (ranks.is_object()) {
    for (const auto& [module, rank] : ranks.items()) {
      if (!IsRank(rank)) {
        return ConfigError(absl::StrCat("rank_pattern[\"", Excerpt(module), "\"]"),
                           absl::StrCat("is not a whole number in [1, ", kMaxRank, "]"));
      }
    }
  }
  if (const json& alphas = Field(config, "alpha_pattern"); !alphas.is_null() && !alphas.is_object()) {
    return ConfigError("alpha_pattern", "is not an object");
  }
  return absl::OkStatus();
}

absl::Status CheckAdapterTensors(const storage::SafetensorsFile& file) {
  absl::flat_hash_map<std::string, const storage::TensorView*> halves_a, halves_b;
  for (const storage::TensorView& tensor : file.tensors()) {
    absl::string_view module = tensor.name;
    const bool prefixed = absl::ConsumePrefix(&module, "base_model.model.");
    const bool is_a = absl::ConsumeSuffix(&module, ".lora_A.weight");
    if (!prefixed || (!is_a && !absl::ConsumeSuffix(&module, ".lora_B.weight"))) {
      return TensorError(
          tensor.name,
          "is not base_model.model.<module>.lora_A.weight or .lora_B.weight, all that can be imported");
    }
    using storage::Dtype;
    if (tensor.dtype != Dtype::kF32 && tensor.dtype != Dtype::kF16 && tensor.dtype != Dtype::kBF16) {
      return TensorError(tensor.name,
                         absl::StrCat("is ", storage::DtypeName(tensor.dtype), ", not F32, F16 or BF16"));
    }
    if (tensor.shape.size() != 2) return TensorError(tensor.name, "does not have two dimensions");
    if (const int64_t rank = tensor.shape[is_a ? 0 : 1]; rank < 1 || rank > kMaxRank) {
      return TensorError(tensor.name, absl::StrCat("has rank ", rank, ", outside [1, ", kMaxRank, "]"));
    }
    (is_a ? halves_a : halves_b)[std::string(module)] = &tensor;
  }
  if (halves_a.empty())
    return absl::InvalidArgumentError(absl::StrCat(kAdapterTensorFile, ": holds no tensors"));
  for (const auto& [module, a] : halves_a) {
    const auto b = halves_b.find(module);
    if (b == halves_b.end()) return TensorError(a->name, "has no lora_B beside it");
    if (a->shape[0] != b->second->shape[1]) {
      return TensorError(
          a->name, absl::StrCat("has rank ", a->shape[0], ", and its lora_B rank ", b->second->shape[1]));
    }
  }
  for (const auto& [module, b] : halves_b) {
    if (!halves_a.contains(module)) return TensorError(b->name, "has no lora_A beside it");
  }
  return absl::OkStatus();
}

}  // namespace vernier::server
