// Rotary position embedding: each head's pairs (i, i + C/2) are turned by position x frequency(i).
//
// Letters   T tokens, H heads, C numbers per head.
// Source    arXiv:2104.09864; scalings as in transformers' modeling_rope_utils.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"

namespace vernier::models {

struct RotaryOptions {
  enum class Scaling {
    kNone,
    kLinear,  // frequencies divided by `factor`
    kLlama3,  // low frequencies divided by `factor`, high ones kept, blended between
  };
  int64_t head_dim = 0;
  double theta = 10000.0;
  Scaling scaling = Scaling::kNone;
  double factor = 1.0;
  double low_frequency_factor = 1.0;   // kLlama3
  double high_frequency_factor = 4.0;  // kLlama3
  int64_t original_max_positions = 0;  // kLlama3
};

// From rope_theta and rope_scaling, or from rope_parameters, where newer files keep both.
// InvalidArgument: another scaling (named), a factor out of range.
absl::StatusOr<RotaryOptions> ReadRotaryOptions(const ConfigReader& config, int64_t head_dim,
                                                int64_t max_positions);

// Cosines and sines of one forward pass, shared by its layers.
struct RotaryAngles {
  at::Tensor cos_Th;  // [T, C / 2] fp32
  at::Tensor sin_Th;
};

class Rotary {
 public:
  explicit Rotary(const RotaryOptions& options);
  RotaryAngles At(const at::Tensor& positions_T) const;

 private:
  at::Tensor frequencies_h_;  // [C / 2] fp32
};

// x [T, H * C] in fp32 or bf16 -> [T, H, C] in x's dtype, turned in fp32. Saves nothing but the angles.
at::Tensor ApplyRotary(const at::Tensor& x_TF, const RotaryAngles& angles);

}  // namespace vernier::models
