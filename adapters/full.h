// Full fine-tuning: every parameter trains, in fp32 masters; the model computes with copies in its own dtype.
//
// Trains     Every parameter whose name contains none of tuning.full.freeze.
// Init       The base's values: a fresh instance changes nothing, exactly.
// Precision  Use() casts the master (a no-op in fp32); autograd casts the gradient back to fp32.
// Files      model.safetensors in the base's names and dtypes, to be put beside its other files.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/adapter.h"
#include "vernier/v1/tuning.pb.h"
#include "worker/models/model.h"

namespace vernier::adapters {

class Full final : public Tuning {
 public:
  // `trains[i]`: whether parameter i does. `model` outlives the result.
  Full(const models::CausalLm& model, const std::vector<bool>& trains);

  Traits traits() const override { return {}; }
  std::vector<TrainableParameter> Trainable() override;
  absl::StatusOr<Exported> Export(absl::string_view base_name) override;
  at::Tensor Merged(const models::LinearSite& site) const override;
  std::unique_ptr<Tuning> Twin() const override { return nullptr; }
  at::Tensor Use(const models::Parameter& parameter) const override;

 private:
  const models::CausalLm& model_;
  std::vector<at::Tensor> masters_;  // of each parameter; undefined where frozen
};

// The tuning that tuning.full asks for; nothing is drawn, so `seed` does not matter.
// InvalidArgument: a freeze pattern that is in no parameter's name.
absl::StatusOr<std::unique_ptr<Tuning>> CreateFull(const models::CausalLm& model, const v1::Tuning& spec,
                                                   uint64_t seed);

}  // namespace vernier::adapters
