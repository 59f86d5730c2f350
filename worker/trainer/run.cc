#include "worker/trainer/run.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"
#include "worker/trainer/torch_call.h"

namespace vernier::trainer {

Run::Run(const models::CausalLm& model, std::unique_ptr<adapters::Tuning> tuning)
    : model_(model), tuning_(std::move(tuning)) {}

absl::StatusOr<std::unique_ptr<Run>> Run::Create(const models::CausalLm& model,
                                                 std::unique_ptr<adapters::Tuning> tuning,
                                                 const v1::TrainStage& stage, int max_lanes) {
  std::unique_ptr<Run> run(new Run(model, std::move(tuning)));
  VN_ASSIGN_OR_RETURN(run->objective_, objectives::CreateObjective(stage.objective()));
  run->trainable_ = run->tuning_->Trainable();
  std::vector<optim::ParameterView> views;
  for (const adapters::TrainableParameter& parameter : run->trainable_) {
    VN_CHECK(parameter.tensor.is_contiguous() && parameter.tensor.scalar_type() == at::kFloat);
    run->offsets_.push_back(run->num_parameters_);
    run->num_parameters_ += parameter.tensor.numel();
    views.push_back(
        {parameter.name,
         absl::MakeSpan(static_cast<float*>(parameter.tensor.data_ptr()), parameter.tensor.numel()),
         parameter.decay});
  }
  if (run->num_parameters_ == 0) {
    return absl::InvalidArgumentError(
        "tuning: no parameter trains; check tuning.full.freeze and tuning.lora.targets");
  }
  run->lanes_.push_back({run->tuning_.get(), run->trainable_});
  while (run->num_lanes() < max_lanes) {
    std::unique_ptr<adapters::Tuning> twin = run->tuning_->Twin();
    if (twin == nullptr) break;
    run->lanes_.push_back({twin.get(), twin->Trainable()});
    VN_CHECK(run->lanes_.back().trainable.size() == run->trainable_.size());
    run->twins_.push_back(std::move(twin));
  }
  VN_ASSIGN_OR_RETURN(run->optimizer_, optim::CreateOptimizer(stage.optimizer(), std::move(views)));
  return run;
}

absl::Status Run::ForwardBackward(absl::Span<const objectives::LabelledBatch> micro_batches, double scale,
                                  FlatGradient& gradient, std::vector<objectives::RowSums>& rows, int lane) {
  const Lane& own = lanes_.at(lane);
  gradient.assign(num_parameters_, 0.0f);
  const size_t rows_before = rows.size();
  const auto step = [&]() -> absl::Status {
    // Autograd adds straight into the flat gradient: each .grad is a view of its slice.
    for (size_t i = 0; i < own.trainable.size(); ++i) {
      at::Tensor parameter = own.trainable[i].tensor;
      parameter.mutable_grad() = torch::from_blob(gradient.data() + offsets_[i], parameter.sizes(),
                                                  at::TensorOptions().dtype(at::kFloat));
    }
    for (const objectives::LabelledBatch& batch : micro_batches) {
      const objectives::ObjectiveResult result = objective_->Compute(model_, *own.tuning, batch, scale);
      result.loss.backward();
      rows.insert(rows.end(), result.rows.begin(), result.rows.end());
    }
    return absl::OkStatus();
  };
  const absl::Status status = TorchCall("forward_backward", step, kLowerMicroBatches);
  // Also after an error: the views must not outlive the caller's buffer.
  for (size_t i = 0; i < own.trainable.size(); ++i) {
    at::Tensor parameter = own.trainable[i].tensor;
    // A replaced .grad would mean that the flat gradient missed it.
    VN_CHECK(!status.ok() || parameter.grad().const_data_ptr<float>() == gradient.data() + offsets_[i]);
    parameter.mutable_grad() = at::Tensor();
  }
  if (!status.ok()) rows.resize(rows_before);
  return status;
}

absl::StatusOr<std::vector<objectives::RowSums>> Run::Forward(const objectives::LabelledBatch& batch) {
  const auto forward = [&]() -> absl::StatusOr<std::vector<objectives::RowSums>> {
    const at::NoGradGuard no_grad;
    return objective_->Compute(model_, *tuning_, batch, 1.0).rows;
  };
  return TorchCall("forward", forward, kLowerMicroBatches);
}

double Run::OptimStep(FlatGradient& gradient, double clip_norm, double factor) {
  const absl::Span<const float> whole(gradient);
  const double norm = optim::FixedOrderNorm({whole});
  if (!std::isfinite(norm)) return norm;
  if (clip_norm > 0 && norm > clip_norm) {
    const float scale = static_cast<float>(clip_norm / (norm + 1e-6));
    for (float& g : gradient) g *= scale;
  }
  std::vector<absl::Span<const float>> slices;
  for (size_t i = 0; i < trainable_.size(); ++i) {
    slices.push_back(whole.subspan(offsets_[i], trainable_[i].tensor.numel()));
  }
  optimizer_->Step(slices, factor);
  return norm;
}

std::vector<StateBuffer> Run::State() {
  std::vector<StateBuffer> state;
  for (const adapters::TrainableParameter& parameter : trainable_) {
    state.push_back(
        {absl::StrCat("parameter/", parameter.name), parameter.tensor.sizes().vec(),
         absl::MakeSpan(static_cast<float*>(parameter.tensor.data_ptr()), parameter.tensor.numel())});
  }
  for (const optim::StateView& view : optimizer_->State()) {
    state.push_back(
        {absl::StrCat("optimizer/", view.name), {static_cast<int64_t>(view.values.size())}, view.values});
  }
  return state;
}

}  // namespace vernier::trainer
