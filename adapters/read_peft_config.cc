#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "adapters/module_names.h"
#include "adapters/peft_config.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::adapters {
namespace {

using nlohmann::json;

constexpr absl::string_view kConfigName = "adapter_config.json";
constexpr size_t kMaxPatterns = 10000;

// Fields that are read below.
constexpr absl::string_view kReadFields[] = {"peft_type",       "task_type",         "r",
                                             "lora_alpha",      "lora_dropout",      "target_modules",
                                             "exclude_modules", "rank_pattern",      "alpha_pattern",
                                             "use_rslora",      "init_lora_weights", "bias"};

// Fields that do not change what a trained adapter computes beside its base, whatever they hold.
constexpr absl::string_view kHarmlessFields[] = {
    "auto_mapping",   "base_model_name_or_path", "revision",   "peft_version",      "inference_mode",
    "fan_in_fan_out", "megatron_core",           "eva_config", "qalora_group_size", "runtime_config"};

bool Contains(absl::Span<const absl::string_view> names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <typename... Parts>
absl::Status ConfigError(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(kConfigName, ": ", parts...));
}

// A value inside a message.
std::string Shown(const json& value) {
  constexpr size_t kMaxBytes = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kMaxBytes) text = absl::StrCat(text.substr(0, kMaxBytes), " ...");
  return text;
}

absl::StatusOr<double> ReadNumber(const json& config, const char* field, double default_value) {
  if (!config.contains(field) || config[field].is_null()) return default_value;
  if (!config[field].is_number()) return ConfigError(field, " = ", Shown(config[field]), " is not a number");
  return config[field].get<double>();
}

absl::Status CheckRank(absl::string_view field, double rank) {
  if (rank >= 1 && rank <= static_cast<double>(Lora::kMaxRank) && rank == std::floor(rank))
    return absl::OkStatus();
  return ConfigError(field, " = ", rank, " is not a whole number in [1, ", Lora::kMaxRank, "]");
}

absl::Status CheckAlpha(absl::string_view field, double alpha) {
  if (std::isfinite(alpha)) return absl::OkStatus();
  return ConfigError(field, " = ", alpha, " is not finite");
}

bool IsNeutral(const json& value) {
  return value.is_null() || value == json(false) || value == json("") || value == json::array() ||
         value == json::object();
}

// Refuses what would be ignored: another method, or an option that changes what the adapter computes.
absl::Status CheckUnderstood(const json& config) {
  if (!config.is_object()) return ConfigError("is not a JSON object");
  const std::string type = config.contains("peft_type") ? Shown(config["peft_type"]) : "missing";
  if (type != "\"LORA\"") return ConfigError("peft_type is ", type, "; only \"LORA\" can be loaded");
  const auto refuse = [&](absl::string_view field, const json& value) {
    return ConfigError(field, " = ", Shown(value),
                       " is not supported and would be lost; merge the adapter into its base with peft "
                       "(merge_and_unload) and import the result as a model");
  };
  for (const auto& [field, value] : config.items()) {
    if (Contains(kReadFields, field) || Contains(kHarmlessFields, field) || IsNeutral(value)) continue;
    return refuse(field, value);
  }
  if (config.contains("bias") && !config["bias"].is_null() && config["bias"] != "none") {
    return refuse("bias", config["bias"]);
  }
  if (config.contains("task_type") && !config["task_type"].is_null() && config["task_type"] != "CAUSAL_LM") {
    return ConfigError("task_type = ", Shown(config["task_type"]), "; only \"CAUSAL_LM\" can be loaded");
  }
  // Of the ways to start an adapter these leave the base as it is; the others (pissa, olora, corda, loftq,
  // lora_ga) change it, and the adapter alone would compute something else.
  const json init = config.value("init_lora_weights", json(true));
  if (!init.is_null() && !init.is_boolean() && init != "gaussian" && init != "eva" && init != "orthogonal" &&
      init != "mica") {
    return ConfigError(
        "init_lora_weights = ", Shown(init),
        " changes the base model, so the adapter does not fit the original one; convert it with peft "
        "(save_pretrained with path_initial_model_for_weight_conversion)");
  }
  return absl::OkStatus();
}

// Marks the sites that `field` names: a list of names, a regular expression over whole paths, or
// "all-linear".
absl::StatusOr<std::vector<bool>> NamedSites(const models::CausalLm& model, const json& config,
                                             const char* field) {
  const auto& sites = model.linear_sites();
  std::vector<bool> named(sites.size(), false);
  if (!config.contains(field) || IsNeutral(config[field])) return named;
  const json& names = config[field];
  if (names == "all-linear") return std::vector<bool>(sites.size(), true);
  if (names.is_string()) {
    const absl::StatusOr<ModuleRegex> regex = ModuleRegex::Create(names.get_ref<const std::string&>());
    if (!regex.ok()) return ConfigError(field, ": ", regex.status().message());
    for (size_t s = 0; s < sites.size(); ++s) {
      const absl::StatusOr<bool> match = regex->MatchesWhole(sites[s].name);
      if (!match.ok()) return ConfigError(field, ": ", match.status().message());
      named[s] = *match;
    }
    return named;
  }
  if (!names.is_array() || names.size() > kMaxPatterns) {
    return ConfigError(field, " must be a list of at most ", kMaxPatterns,
                       " names, or one regular expression");
  }
  for (const json& name : names) {
    if (!name.is_string()) return ConfigError(field, " holds ", Shown(name), ", which is not a name");
    bool found = false;
    for (size_t s = 0; s < sites.size(); ++s) {
      if (!NamesModule(name.get_ref<const std::string&>(), sites[s].name)) continue;
      named[s] = true;
      found = true;
    }
    if (!found && absl::string_view(field) == "target_modules") {
      return ConfigError(field, ": \"", Excerpt(name.get<std::string>()), "\" is no linear layer of this ",
                         model.config().model_type, " model",
                         NearestAndAllLinearLayers(model, name.get<std::string>()),
                         "; only linear layers can carry an adapter");
    }
  }
  return named;
}

// The value that rank_pattern or alpha_pattern gives each marked site; none where no pattern matches. As PEFT
// reads it, a key is a regular expression that matches the path's end after a dot, or all of it.
absl::StatusOr<std::vector<std::optional<double>>> ReadPattern(const models::CausalLm& model,
                                                               const std::vector<bool>& adapted,
                                                               const json& config, const char* field) {
  const auto& sites = model.linear_sites();
  std::vector<std::optional<double>> values(sites.size());
  if (!config.contains(field) || IsNeutral(config[field])) return values;
  const json& pattern = config[field];
  if (!pattern.is_object() || pattern.size() > kMaxPatterns) {
    return ConfigError(field, " must be an object of at most ", kMaxPatterns, " entries");
  }
  std::vector<std::string> chosen_by(sites.size());
  for (const auto& [key, value] : pattern.items()) {
    const std::string where = absl::StrCat(field, "[\"", Excerpt(key), "\"]");
    if (!value.is_number()) return ConfigError(where, " = ", Shown(value), " is not a number");
    const absl::StatusOr<ModuleRegex> regex = ModuleRegex::Create(absl::StrCat("(?:.*\\.)?(?:", key, ")"));
    if (!regex.ok()) return ConfigError(where, ": ", regex.status().message());
    for (size_t s = 0; s < sites.size(); ++s) {
      if (!adapted[s]) continue;
      const absl::StatusOr<bool> match = regex->MatchesWhole(sites[s].name);
      if (!match.ok()) return ConfigError(where, ": ", match.status().message());
      if (!*match) continue;
      // The first in the file's order would win; files are sorted or not, depending on who wrote them.
      if (values[s].has_value() && *values[s] != value.get<double>()) {
        return ConfigError(field, ": \"", Excerpt(chosen_by[s]), "\" and \"", Excerpt(key), "\" both match ",
                           sites[s].name, " and differ; keep one of them");
      }
      values[s] = value.get<double>();
      chosen_by[s] = key;
    }
  }
  return values;
}

}  // namespace

absl::StatusOr<Lora::Options> ReadPeftConfig(const models::CausalLm& model, absl::string_view text) {
  VN_ASSIGN_OR_RETURN(const json config, storage::ParseJson(text, kConfigName));
  VN_RETURN_IF_ERROR(CheckUnderstood(config));
  Lora::Options options;
  VN_ASSIGN_OR_RETURN(const double rank, ReadNumber(config, "r", 8));
  VN_ASSIGN_OR_RETURN(const double alpha, ReadNumber(config, "lora_alpha", 8));
  VN_ASSIGN_OR_RETURN(options.dropout, ReadNumber(config, "lora_dropout", 0.0));
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    return ConfigError("lora_dropout = ", options.dropout, " is outside [0, 1)");
  }
  const json rslora = config.value("use_rslora", json(false));
  if (!rslora.is_boolean()) return ConfigError("use_rslora = ", Shown(rslora), " is neither true nor false");
  options.rslora = rslora.get<bool>();

  VN_ASSIGN_OR_RETURN(std::vector<bool> adapted, NamedSites(model, config, "target_modules"));
  VN_ASSIGN_OR_RETURN(const std::vector<bool> excluded, NamedSites(model, config, "exclude_modules"));
  for (size_t s = 0; s < adapted.size(); ++s) adapted[s] = adapted[s] && !excluded[s];
  if (std::find(adapted.begin(), adapted.end(), true) == adapted.end()) {
    return ConfigError("target_modules names no linear layer of this ", model.config().model_type, " model");
  }
  VN_ASSIGN_OR_RETURN(const auto ranks, ReadPattern(model, adapted, config, "rank_pattern"));
  VN_ASSIGN_OR_RETURN(const auto alphas, ReadPattern(model, adapted, config, "alpha_pattern"));
  options.shapes.resize(adapted.size());
  for (size_t s = 0; s < adapted.size(); ++s) {
    if (!adapted[s]) continue;
    const double site_rank = ranks[s].value_or(rank);
    const double site_alpha = alphas[s].value_or(alpha);
    VN_RETURN_IF_ERROR(CheckRank(ranks[s].has_value() ? "rank_pattern" : "r", site_rank));
    VN_RETURN_IF_ERROR(CheckAlpha(alphas[s].has_value() ? "alpha_pattern" : "lora_alpha", site_alpha));
    options.shapes[s] = {static_cast<int64_t>(site_rank), site_alpha};
  }
  return options;
}

}  // namespace vernier::adapters
