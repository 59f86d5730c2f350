// One use of a linear site: asks the overlay for its parameters, then for its output.
#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <vector>

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
    const LinearUse use = UseOf(site_index);
    return overlay.Linear(use.site, x_TI, use.weight, use.bias, batch);
  }
  // Several sites on the same x.
  std::vector<at::Tensor> LinearGroup(std::initializer_list<int> site_indices, const at::Tensor& x_TI) const {
    std::vector<LinearUse> uses;
    for (const int site_index : site_indices) uses.push_back(UseOf(site_index));
    return overlay.LinearGroup(uses, x_TI, batch);
  }

 private:
  LinearUse UseOf(int site_index) const {
    const LinearSite& site = model.linear_sites()[site_index];
    return {site, Use(site.weight), site.bias < 0 ? at::Tensor() : Use(site.bias)};
  }
};

}  // namespace vernier::models
