#include "adapters/lora.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "adapters/low_rank.h"
#include "adapters/module_names.h"
#include "adapters/peft_config.h"
#include "common/check.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

// Keeps the start of A apart from every other use of the seed.
constexpr uint64_t kInitTag = 0x6c6f7241;  // "lorA"

constexpr absl::string_view kAllLinear = "all_linear";

// Uniform in [-bound, bound), element i from word i of the site's stream.
at::Tensor UniformMatrix(int64_t rows, int64_t columns, float bound, uint64_t seed) {
  at::Tensor matrix = at::empty({rows, columns}, at::TensorOptions().dtype(at::kFloat));
  float* const out = matrix.mutable_data_ptr<float>();
  const PhiloxKey key = PhiloxKeyOf(seed);
  const int64_t size = matrix.numel();
  for (int64_t begin = 0; begin < size; begin += 4) {
    const uint64_t block = static_cast<uint64_t>(begin / 4);
    const PhiloxCounter draw =
        Philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}, key);
    for (int64_t i = begin; i < std::min(begin + 4, size); ++i) {
      out[i] = (2.0f * UnitFloat(draw[i - begin]) - 1.0f) * bound;
    }
  }
  return matrix;
}

absl::Status CheckRank(absl::string_view field, int64_t rank) {
  if (rank >= 1 && rank <= Lora::kMaxRank) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " = ", rank, " is outside [1, ", Lora::kMaxRank,
                                                 "]; use 8 or remove the field for the default"));
}

absl::Status CheckAlpha(absl::string_view field, double alpha) {
  if (std::isfinite(alpha) && alpha > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " = ", alpha, " must be above 0; use 16 or remove the field for the default"));
}

// Marks the sites that `targets` names; every site for none at all or "all_linear".
absl::StatusOr<std::vector<bool>> ChooseSites(const models::CausalLm& model, const v1::Lora& spec) {
  const auto& sites = model.linear_sites();
  std::vector<bool> chosen(sites.size(), spec.targets().empty());
  for (int i = 0; i < spec.targets_size(); ++i) {
    bool found = spec.targets(i) == kAllLinear;
    for (size_t s = 0; s < sites.size(); ++s) {
      if (spec.targets(i) != kAllLinear && !NamesModule(spec.targets(i), sites[s].name)) continue;
      chosen[s] = true;
      found = true;
    }
    if (!found) {
      return absl::InvalidArgumentError(
          absl::StrCat("tuning.lora.targets[", i, "] = \"", spec.targets(i), "\" is no linear layer of this ",
                       model.config().model_type, " model", NearestAndAllLinearLayers(model, spec.targets(i)),
                       "; or all_linear for all of them"));
    }
  }
  return chosen;
}

// What a map by module says about each site: of several names that mean a site the longest, which is the most
// exact. InvalidArgument: a name that means no chosen site.
template <typename Map>
absl::StatusOr<std::vector<std::optional<typename Map::mapped_type>>> SpreadOverSites(
    const models::CausalLm& model, const std::vector<bool>& chosen, absl::string_view field,
    const Map& by_module) {
  const auto& sites = model.linear_sites();
  std::vector<std::optional<typename Map::mapped_type>> values(sites.size());
  std::vector<size_t> length(sites.size(), 0);
  for (const auto& [name, value] : by_module) {
    bool found = false;
    bool exists = false;
    for (size_t s = 0; s < sites.size(); ++s) {
      if (!NamesModule(name, sites[s].name)) continue;
      exists = true;
      if (!chosen[s]) continue;
      found = true;
      if (name.size() <= length[s]) continue;
      length[s] = name.size();
      values[s] = value;
    }
    if (found) continue;
    return absl::InvalidArgumentError(
        exists ? absl::StrCat("tuning.lora.", field, "[\"", name,
                              "\"]: that module is not among tuning.lora.targets")
               : absl::StrCat("tuning.lora.", field, "[\"", name, "\"] is no linear layer of this ",
                              model.config().model_type, " model", NearestAndAllLinearLayers(model, name)));
  }
  return values;
}

}  // namespace

Lora::Lora(const models::CausalLm& model, Options options)
    : model_(model), options_(std::move(options)), dropout_(options_.dropout, options_.seed) {
  const auto& sites = model_.linear_sites();
  VN_CHECK(options_.shapes.size() == sites.size());
  factors_.resize(sites.size());
  for (size_t s = 0; s < sites.size(); ++s) {
    const Shape& shape = options_.shapes[s];
    if (shape.rank == 0) continue;
    VN_CHECK(shape.rank >= 1 && shape.rank <= kMaxRank);
    const double rank = static_cast<double>(shape.rank);
    factors_[s].scale = shape.alpha / (options_.rslora ? std::sqrt(rank) : rank);
    factors_[s].a_RI = UniformMatrix(shape.rank, sites[s].in_features,
                                     1.0f / std::sqrt(static_cast<float>(sites[s].in_features)),
                                     DeriveSeed(options_.seed, kInitTag, s));
    factors_[s].b_OR = at::zeros({sites[s].out_features, shape.rank}, at::TensorOptions().dtype(at::kFloat));
    factors_[s].a_RI.set_requires_grad(true);
    factors_[s].b_OR.set_requires_grad(true);
  }
}

std::unique_ptr<Tuning> Lora::Twin() const {
  std::unique_ptr<Lora> twin(new Lora(*this));
  for (Factors& factors : twin->factors_) {
    for (at::Tensor* matrix : {&factors.a_RI, &factors.b_OR}) {
      if (matrix->defined()) *matrix = matrix->detach().set_requires_grad(true);
    }
  }
  return twin;
}

std::string Lora::NameOfA(const models::LinearSite& site) {
  return absl::StrCat("base_model.model.", site.name, ".lora_A.weight");
}

std::string Lora::NameOfB(const models::LinearSite& site) {
  return absl::StrCat("base_model.model.", site.name, ".lora_B.weight");
}

std::vector<TrainableParameter> Lora::Trainable() {
  std::vector<TrainableParameter> trainable;
  for (const models::LinearSite& site : model_.linear_sites()) {
    const Factors& factors = factors_[site.index];
    if (!factors.a_RI.defined()) continue;
    trainable.push_back({NameOfA(site), factors.a_RI});
    trainable.push_back({NameOfB(site), factors.b_OR});
  }
  return trainable;
}

absl::StatusOr<Exported> Lora::Export(absl::string_view base_name) {
  Exported exported;
  exported.kind = "adapter";
  exported.tensor_file = "adapter_model.safetensors";
  for (const TrainableParameter& parameter : Trainable()) {
    exported.tensors.emplace_back(parameter.name, parameter.tensor.detach().clone());
  }
  exported.config_file = "adapter_config.json";
  exported.config = PeftConfig(*this, base_name);
  return exported;
}

at::Tensor Lora::Merged(const models::LinearSite& site) const {
  const at::NoGradGuard no_grad;
  const at::Tensor weight = model_.parameter(site.weight).base.to(at::kFloat);
  const Factors& factors = factors_[site.index];
  if (!factors.a_RI.defined()) return weight.clone();
  const at::Tensor update = at::matmul(factors.b_OR, factors.a_RI).mul_(factors.scale);
  return weight + (site.weight_is_io ? update.t() : update);
}

at::Tensor Lora::Linear(const models::LinearSite& site, const at::Tensor& x_TI, const at::Tensor& weight,
                        const at::Tensor& bias, const models::TokenBatch& batch) const {
  if (!factors(site).a_RI.defined()) return Overlay::Linear(site, x_TI, weight, bias, batch);
  return Adapted({{site, weight, bias}}, x_TI, batch, dropout_.Draw(site, batch)).front();
}

std::vector<at::Tensor> Lora::LinearGroup(const std::vector<models::LinearUse>& uses, const at::Tensor& x_TI,
                                          const models::TokenBatch& batch) const {
  const bool together = options_.dropout == 0.0 &&
                        std::all_of(uses.begin(), uses.end(),
                                    [&](const auto& use) { return factors(use.site).a_RI.defined(); });
  return together ? Adapted(uses, x_TI, batch, {}) : Overlay::LinearGroup(uses, x_TI, batch);
}

std::vector<at::Tensor> Lora::Adapted(const std::vector<models::LinearUse>& uses, const at::Tensor& x_TI,
                                      const models::TokenBatch& batch, const DropoutMask& mask) const {
  std::vector<at::Tensor> bases_TO;
  std::vector<LowRankTerm> terms;
  for (const models::LinearUse& use : uses) {
    {
      // The gradient to x is AddLowRank's.
      const at::NoGradGuard no_grad;
      bases_TO.push_back(Overlay::Linear(use.site, x_TI, use.weight, use.bias, batch));
    }
    const Factors& mine = factors(use.site);
    terms.push_back({use.weight, use.site.weight_is_io, mine.a_RI, mine.b_OR, mine.scale});
  }
  return AddLowRank(std::move(bases_TO), x_TI, terms, mask);
}

absl::StatusOr<std::unique_ptr<Tuning>> CreateLora(const models::CausalLm& model, const v1::Tuning& tuning,
                                                   uint64_t seed) {
  const v1::Lora& spec = tuning.lora();
  const int64_t rank = spec.has_rank() ? spec.rank() : 8;
  VN_RETURN_IF_ERROR(CheckRank("tuning.lora.rank", rank));
  const double alpha = spec.has_alpha() ? spec.alpha() : 2.0 * static_cast<double>(rank);
  VN_RETURN_IF_ERROR(CheckAlpha("tuning.lora.alpha", alpha));
  if (!(spec.dropout() >= 0.0 && spec.dropout() < 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tuning.lora.dropout = ", spec.dropout(),
                     " is outside [0, 1); use 0.05 or remove the field for none"));
  }
  for (const auto& [name, value] : spec.rank_by_module()) {
    VN_RETURN_IF_ERROR(CheckRank(absl::StrCat("tuning.lora.rank_by_module[\"", name, "\"]"), value));
  }
  for (const auto& [name, value] : spec.alpha_by_module()) {
    VN_RETURN_IF_ERROR(CheckAlpha(absl::StrCat("tuning.lora.alpha_by_module[\"", name, "\"]"), value));
  }
  VN_ASSIGN_OR_RETURN(const std::vector<bool> chosen, ChooseSites(model, spec));
  VN_ASSIGN_OR_RETURN(const auto ranks,
                      SpreadOverSites(model, chosen, "rank_by_module", spec.rank_by_module()));
  VN_ASSIGN_OR_RETURN(const auto alphas,
                      SpreadOverSites(model, chosen, "alpha_by_module", spec.alpha_by_module()));

  Lora::Options options;
  options.rslora = spec.rslora();
  options.dropout = spec.dropout();
  options.seed = seed;
  for (size_t s = 0; s < chosen.size(); ++s) {
    options.shapes.push_back(chosen[s] ? Lora::Shape{ranks[s].value_or(rank), alphas[s].value_or(alpha)}
                                       : Lora::Shape{});
  }
  return std::make_unique<Lora>(model, std::move(options));
}

}  // namespace vernier::adapters
