// Next-token cross-entropy on weighted tokens:
//   loss = scale * sum_t weight_t * -log p(token_t | tokens before t in its row)
// Numerator: sum of weight x nll. Denominator: sum of weights over the global batch. Coupling: token.
#pragma once

#include "worker/objectives/objective.h"

namespace vernier::objectives {

class CausalLmObjective final : public Objective {
 public:
  Coupling coupling() const override { return Coupling::kToken; }
  ObjectiveResult Compute(const models::CausalLm& model, const models::Overlay& overlay, const LabelledBatch& batch,
                          double scale) const override;
};

}  // namespace vernier::objectives
