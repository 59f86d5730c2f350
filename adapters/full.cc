#include "adapters/full.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/check.h"
#include "common/text.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

absl::Status FreezesNothing(const models::CausalLm& model, int index, const std::string& pattern) {
  std::vector<std::string> candidates;
  for (const models::Parameter& parameter : model.parameters()) {
    for (const absl::string_view part : absl::StrSplit(parameter.name, '.')) candidates.emplace_back(part);
    candidates.push_back(parameter.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("tuning.full.freeze[", index, "] = \"", pattern, "\" is in no parameter's name",
                   DidYouMean(pattern, candidates), "; names look like \"", model.parameters().front().name,
                   "\" and \"", model.parameters().back().name, "\""));
}

}  // namespace

Full::Full(const models::CausalLm& model, const std::vector<bool>& trains) : model_(model) {
  VN_CHECK(trains.size() == model.parameters().size());
  for (const models::Parameter& parameter : model.parameters()) {
    at::Tensor master;
    if (trains[parameter.index]) {
      master = parameter.base.detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
      master.set_requires_grad(true);
    }
    masters_.push_back(std::move(master));
  }
}

std::vector<TrainableParameter> Full::Trainable() {
  std::vector<TrainableParameter> trainable;
  for (const models::Parameter& parameter : model_.parameters()) {
    const at::Tensor& master = masters_[parameter.index];
    // Vectors are the norms and biases.
    if (master.defined()) trainable.push_back({parameter.name, master, /*decay=*/master.dim() > 1});
  }
  return trainable;
}

absl::StatusOr<Exported> Full::Export(absl::string_view base_name) {
  const at::NoGradGuard no_grad;
  Exported exported;
  exported.kind = "weights";
  exported.tensor_file = "model.safetensors";
  for (const models::Parameter& parameter : model_.parameters()) {
    const at::Tensor& master = masters_[parameter.index];
    const at::Tensor& value = master.defined() ? master : parameter.base;
    // A copy also where the dtype is the same: training may go on.
    exported.tensors.emplace_back(
        parameter.name, value.to(parameter.stored_dtype, /*non_blocking=*/false, /*copy=*/true).contiguous());
  }
  return exported;
}

at::Tensor Full::Merged(const models::LinearSite& site) const {
  const at::NoGradGuard no_grad;
  const at::Tensor& master = masters_[site.weight];
  return (master.defined() ? master : model_.parameter(site.weight).base)
      .to(at::kFloat, false, /*copy=*/true);
}

at::Tensor Full::Use(const models::Parameter& parameter) const {
  const at::Tensor& master = masters_[parameter.index];
  return master.defined() ? master.to(parameter.base.scalar_type()) : parameter.base;
}

absl::StatusOr<std::unique_ptr<Tuning>> CreateFull(const models::CausalLm& model, const v1::Tuning& spec,
                                                   uint64_t seed) {
  std::vector<bool> trains(model.parameters().size(), true);
  for (int i = 0; i < spec.full().freeze_size(); ++i) {
    const std::string& pattern = spec.full().freeze(i);
    bool found = false;
    for (const models::Parameter& parameter : model.parameters()) {
      if (pattern.empty() || !absl::StrContains(parameter.name, pattern)) continue;
      trains[parameter.index] = false;
      found = true;
    }
    if (!found) return FreezesNothing(model, i, pattern);
  }
  return std::make_unique<Full>(model, trains);
}

}  // namespace vernier::adapters
