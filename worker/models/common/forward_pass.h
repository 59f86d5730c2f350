// One use of a linear site: asks the overlay for its parameters, then for its output.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/models/model.h"

namespace vernier::models {

// What every layer of a forward pass needs. Lifetime: refers to all three.
struct ForwardPass {
  const CausalLm& model;
  const Overlay& overlay;
  const TokenBatch& batch;

  at::Tensor Use(int parameter) const { return overlay.Use(model.parameter(parameter)); }
  // x [T, I] -> [T, O].
  at::Tensor Linear(int site_index, const at::Tensor& x_TI) const {
    const LinearSite& site = model.linear_sites()[site_index];
    return overlay.Linear(site, x_TI, Use(site.weight), site.bias < 0 ? at::Tensor() : Use(site.bias), batch);
  }
};

}  // namespace vernier::models
