#include "worker/models/common/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Scaling = RotaryOptions::Scaling;

// x [T, H, C] or [T, H * C] -> [T, H, C].
at::Tensor Turn(const at::Tensor& x, const RotaryAngles& angles, float direction) {
  const int64_t num_tokens = angles.cos_Th.size(0);
  const int64_t half = angles.cos_Th.size(1);
  const int64_t head_dim = angles.head_dim;
  const at::Tensor source = x.stride(-1) == 1 ? x : x.contiguous();
  const bool by_head = source.dim() == 3;
  const int64_t num_heads = by_head ? source.size(1) : source.size(1) / head_dim;
  at::Tensor y = at::empty({num_tokens, num_heads, head_dim}, source.options());
  ForElementType(source, [&](auto element) {
    using T = decltype(element);
    kernels::Rotate<T>({.token_stride = source.stride(0),
                        .head_stride = by_head ? source.stride(1) : head_dim,
                        .direction = direction,
                        .num_tokens = num_tokens,
                        .num_heads = num_heads,
                        .head_dim = head_dim,
                        .half = half},
                       source.const_data_ptr<T>(), angles.cos_Th.const_data_ptr<float>(),
                       angles.sin_Th.const_data_ptr<float>(), y.mutable_data_ptr<T>());
  });
  return y;
}

class RotaryFunction final : public torch::autograd::Function<RotaryFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos_Th,
                            const at::Tensor& sin_Th, int64_t head_dim) {
    context->save_for_backward({cos_Th, sin_Th});
    context->saved_data["head_dim"] = head_dim;
    context->saved_data["flat"] = x.dim() == 2;
    return Turn(x, {cos_Th, sin_Th, head_dim}, 1.0f);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    RefuseSecondDerivative("the rotary embedding");
    const auto saved = context->get_saved_variables();
    const at::Tensor grad =
        Turn(grads[0], {saved[0], saved[1], context->saved_data["head_dim"].toInt()}, -1.0f);
    return {context->saved_data["flat"].toBool() ? grad.flatten(1) : grad, {}, {}, {}};
  }
};

// theta^(2 i / R), fp32 operations in transformers' order: at position 8,192 one unit in the last place of a
// frequency is visible.
at::Tensor Periods(double theta, int64_t rotated) {
  const at::Tensor exponent =
      at::arange(0, rotated, 2, at::TensorOptions().dtype(at::kFloat)) / static_cast<double>(rotated);
  return at::pow(at::Scalar(theta), exponent);
}

at::Tensor YarnFrequencies(const RotaryOptions& options) {
  const double rotated = static_cast<double>(options.rotated);
  // The pair that makes `turns` turns within the original context.
  const auto pair_of = [&](double turns) {
    const double context = static_cast<double>(options.original_max_positions);
    return rotated * std::log(context / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(options.theta));
  };
  double low = pair_of(options.beta_fast);
  double high = pair_of(options.beta_slow);
  if (options.whole_bounds) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rotated - 1.0);
  if (low == high) high += 0.001;
  const at::Tensor pair = at::arange(options.rotated / 2, at::TensorOptions().dtype(at::kFloat));
  const at::Tensor keep = 1.0 - ((pair - low) / (high - low)).clamp(0.0, 1.0);
  const at::Tensor periods = Periods(options.theta, options.rotated);
  return (periods * options.factor).reciprocal() * (1.0 - keep) + periods.reciprocal() * keep;
}

at::Tensor Llama3Frequencies(const RotaryOptions& options) {
  at::Tensor frequencies = Periods(options.theta, options.rotated).reciprocal();
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
  return frequencies;
}

}  // namespace

Rotary::Rotary(RotaryOptions options)
    : options_([&options] {
        if (options.rotated == 0) options.rotated = options.head_dim;
        return std::move(options);
      }()) {
  frequencies_h_ = FrequenciesOf(options_.original_max_positions);
}

bool Rotary::DependsOnLength() const {
  return options_.scaling == Scaling::kDynamic || options_.scaling == Scaling::kLongRope;
}

bool Rotary::SwitchesBetween(int64_t cached, int64_t length) const {
  return options_.scaling == Scaling::kLongRope && cached > 0 && cached <= options_.original_max_positions &&
         length > options_.original_max_positions;
}

at::Tensor Rotary::FrequenciesOf(int64_t length) const {
  const double original = static_cast<double>(options_.original_max_positions);
  switch (options_.scaling) {
    case Scaling::kNone:
      break;
    case Scaling::kLinear:
      return Periods(options_.theta, options_.rotated).reciprocal() / options_.factor;
    case Scaling::kDynamic: {
      if (length <= options_.original_max_positions) break;
      const double rotated = static_cast<double>(options_.rotated);
      const double growth =
          options_.factor * static_cast<double>(length) / original - (options_.factor - 1.0);
      return Periods(options_.theta * std::pow(growth, rotated / (rotated - 2.0)), options_.rotated)
          .reciprocal();
    }
    case Scaling::kYarn:
      return YarnFrequencies(options_);
    case Scaling::kLongRope: {
      const bool is_long = length > options_.original_max_positions;
      const at::Tensor factors = torch::tensor(is_long ? options_.long_factors : options_.short_factors,
                                               at::TensorOptions().dtype(at::kFloat));
      return (factors * Periods(options_.theta, options_.rotated)).reciprocal();
    }
    case Scaling::kLlama3:
      return Llama3Frequencies(options_);
  }
  return Periods(options_.theta, options_.rotated).reciprocal();
}

RotaryAngles Rotary::At(const at::Tensor& positions_T, const std::vector<int64_t>& row_offsets,
                        int64_t past) const {
  at::Tensor angles_Th = positions_T.to(at::kFloat).unsqueeze(1) * frequencies_h_;
  if (DependsOnLength()) {
    for (size_t row = 0; row + 1 < row_offsets.size(); ++row) {
      const int64_t begin = row_offsets[row];
      const int64_t length = row_offsets[row + 1] - begin;
      if (past + length <= options_.original_max_positions) continue;
      angles_Th.narrow(0, begin, length)
          .copy_(positions_T.narrow(0, begin, length).to(at::kFloat).unsqueeze(1) *
                 FrequenciesOf(past + length));
    }
  }
  RotaryAngles angles = {angles_Th.cos(), angles_Th.sin(), options_.head_dim};
  if (options_.attention_factor != 1.0) {
    angles.cos_Th.mul_(options_.attention_factor);
    angles.sin_Th.mul_(options_.attention_factor);
  }
  return angles;
}

at::Tensor ApplyRotary(const at::Tensor& x, const RotaryAngles& angles) {
  if (at::GradMode::is_enabled() && x.requires_grad())
    return RotaryFunction::apply(x, angles.cos_Th, angles.sin_Th, angles.head_dim);
  return Turn(x, angles, 1.0f);
}

}  // namespace vernier::models
