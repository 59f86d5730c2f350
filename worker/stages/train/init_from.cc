#include "worker/stages/train/init_from.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"

namespace vernier::stages {
namespace {

using Json = nlohmann::json;

// Fills in what `lora` leaves unset from PEFT's configuration of the adapter.
void FillFrom(const Json& config, v1::Lora& lora) {
  if (!lora.has_rank() && config.contains("r")) lora.set_rank(config["r"].get<int32_t>());
  if (!lora.has_alpha() && config.contains("lora_alpha")) lora.set_alpha(config["lora_alpha"].get<double>());
  if (!lora.has_rslora() && config.contains("use_rslora")) lora.set_rslora(config["use_rslora"].get<bool>());
  if (lora.targets().empty() && config.contains("target_modules")) {
    for (const Json& target : config["target_modules"]) lora.add_targets(target.get<std::string>());
  }
  if (lora.rank_by_module().empty() && config.contains("rank_pattern")) {
    for (const auto& [module, rank] : config["rank_pattern"].items()) {
      (*lora.mutable_rank_by_module())[module] = rank.get<int32_t>();
    }
  }
  if (lora.alpha_by_module().empty() && config.contains("alpha_pattern")) {
    for (const auto& [module, alpha] : config["alpha_pattern"].items()) {
      (*lora.mutable_alpha_by_module())[module] = alpha.get<double>();
    }
  }
}

// The part of PEFT's configuration that decides what an adapter's numbers mean, with the field of the job
// that sets it.
constexpr std::pair<const char*, const char*> kMeaning[] = {
    {"r", "rank"},
    {"lora_alpha", "alpha"},
    {"use_rslora", "rslora"},
    {"rank_pattern", "rank_by_module"},
    {"alpha_pattern", "alpha_by_module"},
};

absl::Status CheckSame(const Json& start, const Json& fresh) {
  for (const auto& [key, field] : kMeaning) {
    const Json mine = fresh.value(key, Json()), theirs = start.value(key, Json());
    if (mine != theirs) {
      return absl::InvalidArgumentError(absl::StrCat("tuning.lora.", field, " = ", mine.dump(),
                                                     ", but the adapter of init_from has ", theirs.dump(),
                                                     "; remove the field to go on with the adapter's"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<adapters::Tuning>> ContinueAdapter(const models::CausalLm& model,
                                                                  adapters::Tuning& start, v1::Tuning spec,
                                                                  uint64_t seed) {
  if (spec.method_case() != v1::Tuning::kLora && spec.method_case() != v1::Tuning::METHOD_NOT_SET) {
    return absl::InvalidArgumentError(
        "init_from: goes on with an adapter, but the stage's tuning is none; set tuning: {lora: {}}");
  }
  VN_ASSIGN_OR_RETURN(const adapters::Exported start_export, start.Export(""));
  FillFrom(start_export.config, *spec.mutable_lora());
  VN_ASSIGN_OR_RETURN(std::unique_ptr<adapters::Tuning> tuning, adapters::CreateTuning(model, spec, seed));
  VN_ASSIGN_OR_RETURN(const adapters::Exported fresh_export, tuning->Export(""));
  VN_RETURN_IF_ERROR(CheckSame(start_export.config, fresh_export.config));

  const std::vector<adapters::TrainableParameter> from = start.Trainable(), to = tuning->Trainable();
  const auto differ = [](absl::string_view which) {
    return absl::InvalidArgumentError(
        absl::StrCat("tuning.lora.targets: other modules than the adapter of init_from (", which,
                     "); remove the field to go on with the adapter's"));
  };
  for (size_t i = 0; i < std::max(from.size(), to.size()); ++i) {
    if (i >= to.size()) return differ(absl::StrCat("the adapter also has ", from[i].name));
    if (i >= from.size()) return differ(absl::StrCat("the adapter has no ", to[i].name));
    if (from[i].name != to[i].name || from[i].tensor.sizes() != to[i].tensor.sizes()) {
      return differ(absl::StrCat(to[i].name, " stands where the adapter has ", from[i].name));
    }
  }
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < from.size(); ++i) at::Tensor(to[i].tensor).copy_(from[i].tensor);
  return tuning;
}

}  // namespace vernier::stages
