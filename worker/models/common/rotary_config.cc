// What a config.json says about rotary positions.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/models/common/rotary.h"

namespace vernier::models {
namespace {

using Scaling = RotaryOptions::Scaling;

constexpr double kMaxFactor = 1e4;
constexpr double kMaxTheta = 1e12;
constexpr absl::string_view kOriginal = "original_max_position_embeddings";

absl::Status ReadYarn(const ConfigReader& rope, RotaryOptions& options) {
  options.scaling = Scaling::kYarn;
  VN_ASSIGN_OR_RETURN(options.beta_fast, rope.Number("beta_fast", 1e-3, kMaxFactor, options.beta_fast));
  VN_ASSIGN_OR_RETURN(options.beta_slow, rope.Number("beta_slow", 1e-3, kMaxFactor, options.beta_slow));
  if (options.beta_fast <= options.beta_slow) return rope.Refuse("beta_fast", "it must be above beta_slow");
  VN_ASSIGN_OR_RETURN(options.whole_bounds, rope.Bool("truncate", true));
  VN_ASSIGN_OR_RETURN(const double mscale, rope.Number("mscale", 0.0, kMaxFactor, 0.0));
  VN_ASSIGN_OR_RETURN(const double mscale_all, rope.Number("mscale_all_dim", 0.0, kMaxFactor, 0.0));
  const auto scale = [&options](double by) {
    return options.factor <= 1.0 ? 1.0 : 0.1 * by * std::log(options.factor) + 1.0;
  };
  const double wanted = mscale != 0 && mscale_all != 0 ? scale(mscale) / scale(mscale_all) : scale(1.0);
  VN_ASSIGN_OR_RETURN(options.attention_factor, rope.Number("attention_factor", 1e-3, kMaxFactor, wanted));
  return absl::OkStatus();
}

absl::Status ReadLongRope(const ConfigReader& rope, int64_t max_positions, RotaryOptions& options) {
  options.scaling = Scaling::kLongRope;
  const auto read_factors = [&](absl::string_view name) -> absl::StatusOr<std::vector<double>> {
    VN_ASSIGN_OR_RETURN(std::vector<double> factors, rope.Numbers(name, 1e-3, kMaxFactor, kMaxHeadDim));
    if (static_cast<int64_t>(factors.size()) == options.rotated / 2) return factors;
    return rope.Bad(name, absl::StrCat("has ", factors.size(), " numbers; the heads have ",
                                       options.rotated / 2, " frequencies"));
  };
  VN_ASSIGN_OR_RETURN(options.short_factors, read_factors("short_factor"));
  VN_ASSIGN_OR_RETURN(options.long_factors, read_factors("long_factor"));
  const double original = static_cast<double>(options.original_max_positions);
  const double grown = static_cast<double>(max_positions) / original;
  VN_ASSIGN_OR_RETURN(options.factor, rope.Number("factor", 1e-3, kMaxFactor, grown));
  const double wanted = options.factor <= 1.0 || original <= 1.0
                            ? 1.0
                            : std::sqrt(1.0 + std::log(options.factor) / std::log(original));
  VN_ASSIGN_OR_RETURN(options.attention_factor, rope.Number("attention_factor", 1e-3, kMaxFactor, wanted));
  return absl::OkStatus();
}

absl::Status ReadLlama3(const ConfigReader& rope, RotaryOptions& options) {
  options.scaling = Scaling::kLlama3;
  VN_ASSIGN_OR_RETURN(options.low_frequency_factor, rope.Number("low_freq_factor", 1e-3, kMaxFactor));
  VN_ASSIGN_OR_RETURN(options.high_frequency_factor, rope.Number("high_freq_factor", 1e-3, kMaxFactor));
  if (options.high_frequency_factor > options.low_frequency_factor) return absl::OkStatus();
  return rope.Refuse("high_freq_factor", "it must be above low_freq_factor");
}

// Fields that stand in the config or in its object: the object's count.
absl::Status ReadPlain(const ConfigReader& from, const RotaryFields& fields, absl::string_view theta_name,
                       absl::string_view rotated_name, RotaryOptions& options) {
  VN_ASSIGN_OR_RETURN(options.theta, from.Number(theta_name, 1.0, kMaxTheta, options.theta));
  if (from.Has(rotated_name)) {
    VN_ASSIGN_OR_RETURN(const double share, from.Number(rotated_name, 0.0, 1.0));
    if (share != 1.0 && !fields.may_rotate_part) {
      return from.Refuse(rotated_name, "every number of a head must turn");
    }
    options.rotated = static_cast<int64_t>(static_cast<double>(fields.head_dim) * share);
  }
  if (options.rotated >= 2 && options.rotated % 2 == 0) return absl::OkStatus();
  if (options.rotated == fields.head_dim) {
    return from.Bad("head_dim",
                    absl::StrCat("= ", fields.head_dim, " is odd; rotary positions need an even number"));
  }
  return from.Bad(rotated_name, absl::StrCat("turns ", options.rotated, " of the ", fields.head_dim,
                                             " numbers of a head; rotary positions need an even number"));
}

RotaryOptions Defaults(const RotaryFields& fields) {
  RotaryOptions options;
  options.head_dim = fields.head_dim;
  options.theta = fields.default_theta;
  options.rotated = static_cast<int64_t>(static_cast<double>(fields.head_dim) * fields.default_rotated);
  return options;
}

absl::Status ReadScaling(const ConfigReader& rope, const RotaryFields& fields, RotaryOptions& options) {
  std::vector<absl::string_view> types = {"default"};
  types.insert(types.end(), fields.types.begin(), fields.types.end());
  VN_ASSIGN_OR_RETURN(const std::string type,
                      rope.OneOf(rope.Has("rope_type") ? "rope_type" : "type", types, "default"));
  if (type == "default") return absl::OkStatus();
  // Dynamic scaling counts from max_position_embeddings, whatever else the file says.
  options.original_max_positions = fields.max_positions;
  if (type != "dynamic" && fields.original_max_positions > 0) {
    options.original_max_positions = fields.original_max_positions;
  } else if (type != "dynamic") {
    VN_ASSIGN_OR_RETURN(options.original_max_positions,
                        rope.Int(kOriginal, 1, kMaxPositions, fields.max_positions));
  }
  // Phi-3's older names of the same.
  if (type == "longrope" || type == "su") return ReadLongRope(rope, fields.max_positions, options);
  VN_ASSIGN_OR_RETURN(options.factor, rope.Number("factor", 1.0, kMaxFactor));
  if (type == "linear") options.scaling = Scaling::kLinear;
  if (type == "dynamic") {
    options.scaling = Scaling::kDynamic;
    if (options.rotated < 4) return rope.Refuse("rope_type", "it needs heads of at least 4 turned numbers");
  }
  if (type == "yarn") return ReadYarn(rope, options);
  if (type == "llama3") return ReadLlama3(rope, options);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RotaryOptions> ReadRotaryObject(const ConfigReader& rope, const RotaryFields& fields) {
  RotaryOptions options = Defaults(fields);
  VN_RETURN_IF_ERROR(ReadPlain(rope, fields, "rope_theta", "partial_rotary_factor", options));
  VN_RETURN_IF_ERROR(ReadScaling(rope, fields, options));
  return options;
}

absl::StatusOr<RotaryOptions> ReadRotaryOptions(const ConfigReader& config, RotaryFields fields) {
  RotaryOptions options = Defaults(fields);
  VN_ASSIGN_OR_RETURN(fields.original_max_positions,
                      config.Int(kOriginal, 1, kMaxPositions, fields.original_max_positions));
  VN_RETURN_IF_ERROR(ReadPlain(config, fields, fields.theta_name, fields.rotated_name, options));
  const absl::string_view field = config.Has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (!config.Has(field)) return options;
  VN_ASSIGN_OR_RETURN(const ConfigReader rope, config.Object(field));
  for (const absl::string_view kind : {"full_attention", "sliding_attention"}) {
    if (rope.Has(kind)) return rope.Refuse(kind, "all layers of this family turn alike");
  }
  VN_RETURN_IF_ERROR(ReadPlain(rope, fields, "rope_theta", "partial_rotary_factor", options));
  VN_RETURN_IF_ERROR(ReadScaling(rope, fields, options));
  return options;
}

}  // namespace vernier::models
