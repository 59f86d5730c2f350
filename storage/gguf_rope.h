// Llama 3's scaling of rotary positions, which GGUF keeps as a divisor of each frequency. Internal to import
// and export.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "absl/strings/string_view.h"

namespace vernier::storage {

inline constexpr absl::string_view kRopeFactors = "rope_freqs.weight";

// The published settings.
inline constexpr double kLlama3Factors[] = {8.0, 32.0};  // 3.1 and 3.2
inline constexpr double kLlama3Low = 1.0;                // low_freq_factor
inline constexpr double kLlama3High = 4.0;               // high_freq_factor
inline constexpr double kLlama3Context = 8192.0;         // original_max_position_embeddings

// Of frequency `i`, where `rotated` numbers of a head turn.
inline double Llama3Divisor(double factor, double theta, int64_t i, int64_t rotated) {
  const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(rotated);
  const double wavelength = 2.0 * std::numbers::pi * std::pow(theta, exponent);
  const double keep =
      std::min(1.0, std::max(0.0, (kLlama3Context / wavelength - kLlama3Low) / (kLlama3High - kLlama3Low)));
  return 1.0 / ((1.0 - keep) / factor + keep);
}

}  // namespace vernier::storage
