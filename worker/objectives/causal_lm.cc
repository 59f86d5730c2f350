#include "worker/objectives/causal_lm.h"

#include "common/check.h"
#include "worker/models/torch.h"
#include "worker/objectives/linear_cross_entropy.h"

namespace vernier::objectives {

ObjectiveResult CausalLmObjective::Compute(const models::CausalLm& model, const models::Overlay& overlay,
                                           const LabelledBatch& batch, double scale) const {
  const auto& offsets = batch.tokens.row_offsets;
  VN_CHECK(static_cast<int64_t>(batch.weights.size()) == batch.tokens.ids_T.numel());
  ObjectiveResult result;
  result.rows.resize(offsets.size() - 1);
  // Positions whose next token is trained: the head runs on these alone.
  const int64_t* const ids = batch.tokens.ids_T.const_data_ptr<int64_t>();
  std::vector<int64_t> positions;
  std::vector<int64_t> targets;
  std::vector<float> weights;
  std::vector<size_t> row_of;
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    for (int64_t t = offsets[row]; t + 1 < offsets[row + 1]; ++t) {
      if (batch.weights[t + 1] <= 0.0f) continue;
      positions.push_back(t);
      targets.push_back(ids[t + 1]);
      weights.push_back(batch.weights[t + 1]);
      row_of.push_back(row);
    }
  }
  const at::Tensor hidden_TD = model.Hidden(batch.tokens, overlay);
  if (positions.empty()) {
    // Keeps the graph connected, so that backward gives zeros instead of an error.
    result.loss = hidden_TD.sum().to(at::kFloat) * 0.0;
    return result;
  }
  const auto int64_options = at::TensorOptions().dtype(at::kLong);
  const at::Tensor index = torch::tensor(positions, int64_options);
  const at::Tensor target_N = torch::tensor(targets, int64_options);
  const at::Tensor weight_N = torch::tensor(weights, at::TensorOptions().dtype(at::kFloat));
  const LinearCrossEntropy entropy =
      ComputeLinearCrossEntropy(hidden_TD.index_select(0, index), model.HeadWeight(overlay), target_N,
                                weight_N * static_cast<float>(scale), model.config().logit_cap);
  result.loss = entropy.loss;
  const float* const nll = entropy.nll_N.const_data_ptr<float>();
  const bool* const correct = entropy.correct_N.const_data_ptr<bool>();
  for (size_t n = 0; n < positions.size(); ++n) {
    RowSums& row = result.rows[row_of[n]];
    row.weighted_nll += double{weights[n]} * double{nll[n]};
    row.weight += weights[n];
    row.nll += nll[n];
    row.num_targets += 1;
    row.num_correct += correct[n] ? 1 : 0;
  }
  return result;
}

}  // namespace vernier::objectives
