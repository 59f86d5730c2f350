// Low-rank adaptation: y = x W^T + b + scale * (drop(x) A^T) B^T at chosen linear layers; the rest is frozen.
//
// Letters    I input features, O output features, R rank.
// Trains     A_RI and B_OR of every chosen layer, R * (I + O) numbers, fp32.
// Init       A uniform in +-1/sqrt(I), keyed by (seed, site), as PEFT's default; B zero: a fresh adapter
//            changes nothing, exactly.
// Scale      alpha / R, or alpha / sqrt(R) with rslora (arXiv 2312.03732).
// Files      PEFT's, see peft_config.h.
// Source     arXiv 2106.09685, section 4.1.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/adapter.h"
#include "adapters/keyed_dropout.h"
#include "vernier/v1/tuning.pb.h"
#include "worker/models/model.h"

namespace vernier::adapters {

class Lora final : public Tuning {
 public:
  static constexpr int64_t kMaxRank = 512;

  // How one linear layer is adapted.
  struct Shape {
    int64_t rank = 0;  // [1, kMaxRank]; 0 = not adapted
    double alpha = 0.0;
  };
  struct Options {
    std::vector<Shape> shapes;  // of each of the model's linear sites
    bool rslora = false;
    double dropout = 0.0;  // [0, 1), on the input of A
    uint64_t seed = 0;     // of A and of dropout
  };
  // `model` outlives the result.
  Lora(const models::CausalLm& model, Options options);

  const Options& options() const { return options_; }
  const models::CausalLm& model() const { return model_; }
  // One layer's trained matrices; undefined where it is not adapted.
  struct Factors {
    at::Tensor a_RI, b_OR;
    double scale = 0.0;
  };
  const Factors& factors(const models::LinearSite& site) const { return factors_[site.index]; }
  // "base_model.model.<site>.lora_A.weight", as PEFT names them.
  static std::string NameOfA(const models::LinearSite& site);
  static std::string NameOfB(const models::LinearSite& site);

  Traits traits() const override { return {}; }
  std::vector<TrainableParameter> Trainable() override;
  absl::StatusOr<Exported> Export(absl::string_view base_name) override;
  at::Tensor Merged(const models::LinearSite& site) const override;
  std::unique_ptr<Tuning> Twin() const override;
  at::Tensor Linear(const models::LinearSite& site, const at::Tensor& x_TI, const at::Tensor& weight,
                    const at::Tensor& bias, const models::TokenBatch& batch) const override;
  std::vector<at::Tensor> LinearGroup(const std::vector<models::LinearUse>& uses, const at::Tensor& x_TI,
                                      const models::TokenBatch& batch) const override;

 private:
  Lora(const Lora&) = default;
  // base(x) of each, where all are adapted, plus their terms; `mask` only for a single one.
  std::vector<at::Tensor> Adapted(const std::vector<models::LinearUse>& uses, const at::Tensor& x_TI,
                                  const models::TokenBatch& batch, const DropoutMask& mask) const;

  const models::CausalLm& model_;
  const Options options_;
  const KeyedDropout dropout_;
  std::vector<Factors> factors_;  // of each linear site
};

// The same adapter in the form that servers read alike: every layer at the highest rank of all (zeros fill
// up), alpha = rank, no rslora, the true scale in B. What it computes is equal up to rounding.
std::unique_ptr<Lora> AtOneRank(const Lora& lora);

// The adapter that tuning.lora asks for. InvalidArgument: an option out of range, a target or a module of
// rank_by_module / alpha_by_module that the model does not have or that is no target.
absl::StatusOr<std::unique_ptr<Tuning>> CreateLora(const models::CausalLm& model, const v1::Tuning& spec,
                                                   uint64_t seed);

}  // namespace vernier::adapters
