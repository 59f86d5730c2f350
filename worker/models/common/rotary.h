// Rotary position embedding: of each head's first R numbers, the pairs (i, i + R/2) are turned by position x
// frequency(i); the others stay.
//
// Letters   T tokens, H heads, C numbers per head, R of them turn, h = R / 2.
// Source    arXiv:2104.09864; scalings as in transformers' modeling_rope_utils.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/models/common/config_reader.h"

namespace vernier::models {

struct RotaryOptions {
  enum class Scaling {
    kNone,
    kLinear,    // frequencies divided by `factor`
    kDynamic,   // rows longer than original_max_positions raise theta with their length (NTK)
    kYarn,      // arXiv:2309.00071: low frequencies divided, high ones kept, a ramp between
    kLongRope,  // arXiv:2402.13753: frequency i divided by short_factors[i], in rows longer than
                // original_max_positions by long_factors[i]
    kLlama3,    // low frequencies divided by `factor`, high ones kept, blended between
  };
  int64_t head_dim = 0;
  int64_t rotated = 0;  // R: even, at most head_dim; 0: all of it
  double theta = 10000.0;
  Scaling scaling = Scaling::kNone;
  double factor = 1.0;
  int64_t original_max_positions = 0;  // all but kNone and kLinear
  double attention_factor = 1.0;       // kYarn, kLongRope: cosines and sines are multiplied by it
  double low_frequency_factor = 1.0;   // kLlama3
  double high_frequency_factor = 4.0;  // kLlama3
  double beta_fast = 32.0;             // kYarn: turns within the original context that bound the ramp
  double beta_slow = 1.0;
  bool whole_bounds = true;           // kYarn: the ramp's bounds are rounded to whole numbers
  std::vector<double> short_factors;  // kLongRope, R / 2 of them
  std::vector<double> long_factors;
};

// What a family's config.json says about rotary positions beside the fields that all have.
struct RotaryFields {
  int64_t head_dim = 0;
  int64_t max_positions = 0;  // max_position_embeddings
  // Where the family keeps original_max_position_embeddings beside the object, as a config may anyway; that
  // one counts. 0: it does not.
  int64_t original_max_positions = 0;
  double default_theta = 10000.0;
  bool may_rotate_part = false;  // of a head; else a share other than 1 is refused
  double default_rotated = 1.0;  // share of a head
  absl::string_view theta_name = "rope_theta";
  absl::string_view rotated_name = "partial_rotary_factor";
  // The types that the family's code knows; "default" is always one.
  std::vector<absl::string_view> types = {"linear", "dynamic", "yarn", "llama3"};
};

// From the fields of `config` and of its object rope_scaling, or rope_parameters, where newer files keep all.
// InvalidArgument: another type (named, with those there are), a value out of range, a share of a head that
// is no even number of its numbers, parameters by kind of layer.
absl::StatusOr<RotaryOptions> ReadRotaryOptions(const ConfigReader& config, RotaryFields fields);
// The same from the object alone, for families that keep one for each kind of layer; theta is
// fields.default_theta where it names none.
absl::StatusOr<RotaryOptions> ReadRotaryObject(const ConfigReader& rope, const RotaryFields& fields);

// Cosines and sines of one forward pass, shared by its layers.
struct RotaryAngles {
  at::Tensor cos_Th;  // [T, R / 2] fp32
  at::Tensor sin_Th;
  int64_t head_dim = 0;  // C
};

class Rotary {
 public:
  explicit Rotary(RotaryOptions options);
  // Rows lie end to end as in TokenBatch. `past` tokens come before a row's first (of a cached row), so its
  // length is past + its tokens.
  RotaryAngles At(const at::Tensor& positions_T, const std::vector<int64_t>& row_offsets, int64_t past) const;
  // Whether a row of `length` tokens turns by other angles than one of `cached`, so that transformers
  // computes it anew: where long factors take over. (As there, kDynamic goes on with the keys it has.)
  bool SwitchesBetween(int64_t cached, int64_t length) const;

 private:
  bool DependsOnLength() const;
  at::Tensor FrequenciesOf(int64_t length) const;

  const RotaryOptions options_;
  at::Tensor frequencies_h_;  // [R / 2] fp32, of rows within the original context
};

// x [T, H, C] (numbers of a head adjacent, else any strides) or [T, H * C], fp32 or bf16 -> [T, H, C] in x's
// dtype, turned in fp32. Saves nothing but the angles.
at::Tensor ApplyRotary(const at::Tensor& x, const RotaryAngles& angles);

}  // namespace vernier::models
