#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "adapters/peft_config.h"

namespace vernier::adapters {
namespace {

using nlohmann::json;

// 16.0 as 16, the way PEFT's own integers look.
json Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

// A value of every adapted site -> the most frequent one and a pattern for the others. `values` is in site
// order.
struct SitedValue {
  const models::LinearSite* site;
  double value;
};
std::pair<double, json> DefaultAndPattern(const std::vector<SitedValue>& values) {
  double common = 0.0;
  size_t most = 0;
  for (const SitedValue& candidate : values) {
    const size_t count = std::count_if(values.begin(), values.end(), [&](const SitedValue& other) {
      return other.value == candidate.value;
    });
    if (count > most) {
      common = candidate.value;
      most = count;
    }
  }
  json pattern = json::object();
  for (const SitedValue& entry : values) {
    const bool leaf_agrees = std::all_of(values.begin(), values.end(), [&](const SitedValue& other) {
      return other.site->leaf != entry.site->leaf || other.value == entry.value;
    });
    if (entry.value != common)
      pattern[leaf_agrees ? entry.site->leaf : entry.site->name] = Number(entry.value);
  }
  return {common, std::move(pattern)};
}

}  // namespace

nlohmann::json PeftConfig(const Lora& lora, absl::string_view base_name) {
  const Lora::Options& options = lora.options();
  const auto& sites = lora.model().linear_sites();
  std::vector<SitedValue> ranks, alphas;
  for (const models::LinearSite& site : sites) {
    const Lora::Shape& shape = options.shapes[site.index];
    if (shape.rank == 0) continue;
    ranks.push_back({&site, static_cast<double>(shape.rank)});
    alphas.push_back({&site, shape.alpha});
  }
  std::vector<std::string> targets;
  bool has_io_weights = false;
  for (const SitedValue& entry : ranks) {
    const bool whole_leaf = std::all_of(sites.begin(), sites.end(), [&](const models::LinearSite& other) {
      return other.leaf != entry.site->leaf || options.shapes[other.index].rank > 0;
    });
    const std::string& name = whole_leaf ? entry.site->leaf : entry.site->name;
    if (std::find(targets.begin(), targets.end(), name) == targets.end()) targets.push_back(name);
    has_io_weights = has_io_weights || entry.site->weight_is_io;
  }
  auto [rank, rank_pattern] = DefaultAndPattern(ranks);
  auto [alpha, alpha_pattern] = DefaultAndPattern(alphas);
  // Every field that peft 0.21 writes, so that a strict reader misses none.
  return json{{"alora_invocation_tokens", nullptr},
              {"alpha_pattern", std::move(alpha_pattern)},
              {"arrow_config", nullptr},
              {"auto_mapping", nullptr},
              {"base_model_name_or_path", std::string(base_name)},
              {"bias", "none"},
              {"corda_config", nullptr},
              {"ensure_weight_tying", false},
              {"eva_config", nullptr},
              {"exclude_modules", nullptr},
              {"fan_in_fan_out", has_io_weights},
              {"inference_mode", true},
              {"init_lora_weights", true},
              {"kasa_config", nullptr},
              {"layer_replication", nullptr},
              {"layers_pattern", nullptr},
              {"layers_to_transform", nullptr},
              {"loftq_config", json::object()},
              {"lora_alpha", Number(alpha)},
              {"lora_bias", false},
              {"lora_dropout", options.dropout},
              {"lora_ga_config", nullptr},
              {"megatron_config", nullptr},
              {"megatron_core", "megatron.core"},
              {"modules_to_save", nullptr},
              {"monteclora_config", nullptr},
              {"peft_type", "LORA"},
              {"peft_version", "0.21.0"},
              {"qalora_group_size", 16},
              {"r", Number(rank)},
              {"rank_pattern", std::move(rank_pattern)},
              {"revision", nullptr},
              {"target_modules", targets},
              {"target_parameters", nullptr},
              {"task_type", "CAUSAL_LM"},
              {"trainable_token_indices", nullptr},
              {"use_bdlora", nullptr},
              {"use_dora", false},
              {"use_qalora", false},
              {"use_rslora", options.rslora},
              {"velora_config", nullptr}};
}

}  // namespace vernier::adapters
