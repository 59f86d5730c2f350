#include "worker/models/common/rotary.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "common/status_macros.h"
#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr absl::string_view kKnownScalings[] = {"default", "linear", "llama3"};
constexpr double kMaxFactor = 1e4;

// x [T, H, C] or [T, H * C] -> [T, H, C].
at::Tensor Turn(const at::Tensor& x, const RotaryAngles& angles, float direction) {
  const int64_t num_tokens = angles.cos_Th.size(0);
  const int64_t half = angles.cos_Th.size(1);
  const at::Tensor source = x.contiguous();
  const int64_t num_heads = x.dim() == 3 ? x.size(1) : x.size(1) / (2 * half);
  at::Tensor y = at::empty({num_tokens, num_heads, 2 * half}, source.options());
  ForElementType(source, [&](auto element) {
    using T = decltype(element);
    kernels::Rotate<T>(source.const_data_ptr<T>(), angles.cos_Th.const_data_ptr<float>(),
                       angles.sin_Th.const_data_ptr<float>(), direction, num_tokens, num_heads, half,
                       y.mutable_data_ptr<T>());
  });
  return y;
}

class Function final : public torch::autograd::Function<Function> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TF, const at::Tensor& cos_Th,
                            const at::Tensor& sin_Th) {
    context->save_for_backward({cos_Th, sin_Th});
    return Turn(x_TF, {cos_Th, sin_Th}, 1.0f);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    return {Turn(grads[0], {saved[0], saved[1]}, -1.0f).flatten(1), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

absl::StatusOr<RotaryOptions> ReadRotaryOptions(const ConfigReader& config, int64_t head_dim,
                                                int64_t max_positions) {
  RotaryOptions options;
  options.head_dim = head_dim;
  const auto read_common = [&options](const ConfigReader& fields) -> absl::Status {
    VN_ASSIGN_OR_RETURN(options.theta, fields.Number("rope_theta", 1.0, 1e12, options.theta));
    VN_ASSIGN_OR_RETURN(const double rotated, fields.Number("partial_rotary_factor", 0.0, 1.0, 1.0));
    if (rotated == 1.0) return absl::OkStatus();
    return fields.Refuse("partial_rotary_factor", "every number of a head must turn");
  };
  VN_RETURN_IF_ERROR(read_common(config));
  const absl::string_view field = config.Has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (!config.Has(field)) return options;
  VN_ASSIGN_OR_RETURN(const ConfigReader rope, config.Object(field));
  VN_RETURN_IF_ERROR(read_common(rope));
  VN_ASSIGN_OR_RETURN(const std::string kind,
                      rope.OneOf(rope.Has("rope_type") ? "rope_type" : "type", kKnownScalings, "default"));
  if (kind == "default") return options;
  VN_ASSIGN_OR_RETURN(options.factor, rope.Number("factor", 1.0, kMaxFactor));
  if (kind == "linear") {
    options.scaling = RotaryOptions::Scaling::kLinear;
    return options;
  }
  options.scaling = RotaryOptions::Scaling::kLlama3;
  VN_ASSIGN_OR_RETURN(options.low_frequency_factor, rope.Number("low_freq_factor", 1e-3, kMaxFactor));
  VN_ASSIGN_OR_RETURN(options.high_frequency_factor, rope.Number("high_freq_factor", 1e-3, kMaxFactor));
  if (options.high_frequency_factor <= options.low_frequency_factor) {
    return rope.Refuse("high_freq_factor", "it must be above low_freq_factor");
  }
  VN_ASSIGN_OR_RETURN(options.original_max_positions,
                      rope.Int("original_max_position_embeddings", 1, kMaxPositions, max_positions));
  return options;
}

Rotary::Rotary(const RotaryOptions& options) {
  // fp32 operations in transformers' order: at position 8,192 one unit in the last place of a frequency is
  // visible.
  const at::Tensor exponent = at::arange(0, options.head_dim, 2, at::TensorOptions().dtype(at::kFloat)) /
                              static_cast<double>(options.head_dim);
  at::Tensor frequencies = at::pow(at::Scalar(options.theta), exponent).reciprocal();
  if (options.scaling == RotaryOptions::Scaling::kLinear) {
    frequencies = frequencies / options.factor;
  } else if (options.scaling == RotaryOptions::Scaling::kLlama3) {
    float* const f = frequencies.mutable_data_ptr<float>();
    const double context = static_cast<double>(options.original_max_positions);
    const double low = options.low_frequency_factor;
    const double high = options.high_frequency_factor;
    for (int64_t i = 0; i < frequencies.numel(); ++i) {
      const double wavelength = 2.0 * std::numbers::pi / f[i];
      // 0: a turn takes longer than the original context allows, divide; 1: short enough, keep.
      const double keep = std::clamp((context / wavelength - low) / (high - low), 0.0, 1.0);
      f[i] = static_cast<float>((1.0 - keep) * f[i] / options.factor + keep * f[i]);
    }
  }
  frequencies_h_ = frequencies;
}

RotaryAngles Rotary::At(const at::Tensor& positions_T) const {
  const at::Tensor angles_Th = positions_T.to(at::kFloat).unsqueeze(1) * frequencies_h_;
  return {angles_Th.cos(), angles_Th.sin()};
}

at::Tensor ApplyRotary(const at::Tensor& x_TF, const RotaryAngles& angles) {
  if (at::GradMode::is_enabled() && x_TF.requires_grad())
    return Function::apply(x_TF, angles.cos_Th, angles.sin_Th);
  return Turn(x_TF, angles, 1.0f);
}

}  // namespace vernier::models
