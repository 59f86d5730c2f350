#include "worker/models/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/philox.h"

namespace vernier::models {
namespace {

constexpr size_t kMaxStopIds = 1024;
constexpr double kMaxTemperature = 100.0;

// Uniform in [0, 1) with 53 random bits.
double Draw(uint64_t seed, int64_t position) {
  const uint64_t p = static_cast<uint64_t>(position);
  const PhiloxCounter bits =
      Philox4x32({static_cast<uint32_t>(p), static_cast<uint32_t>(p >> 32), 0, 0}, PhiloxKeyOf(seed));
  return static_cast<double>(((uint64_t{bits[0]} << 32) | bits[1]) >> 11) * 0x1p-53;
}

// The ids that top_k and top_p leave, the likeliest first.
std::vector<int64_t> Likeliest(absl::Span<const float> logits, const std::vector<double>& mass,
                               const GenerateOptions& options) {
  std::vector<int64_t> heap(logits.size());
  std::iota(heap.begin(), heap.end(), int64_t{0});
  const auto is_below = [&](int64_t a, int64_t b) {
    return logits[a] < logits[b] || (logits[a] == logits[b] && a > b);
  };
  // A heap rather than a sort: usually a few of many thousand ids are wanted.
  std::make_heap(heap.begin(), heap.end(), is_below);
  std::vector<int64_t> kept;
  const auto pop = [&] {
    std::pop_heap(heap.begin(), heap.end(), is_below);
    kept.push_back(heap.back());
    heap.pop_back();
  };
  double total = 0.0;
  if (options.top_k > 0) {
    while (!heap.empty() && static_cast<int64_t>(kept.size()) < options.top_k) pop();
    for (const int64_t id : kept) total += mass[id];
  } else {
    total = std::accumulate(mass.begin(), mass.end(), 0.0);
  }
  double sum = 0.0;
  for (size_t i = 0;; ++i) {
    if (i == kept.size()) {
      if (options.top_k > 0 || heap.empty()) break;
      pop();
    }
    sum += mass[kept[i]];
    if (sum >= options.top_p * total) {
      kept.resize(i + 1);
      break;
    }
  }
  return kept;
}

}  // namespace

absl::Status CheckGenerateOptions(const GenerateOptions& options) {
  const auto bad = [](auto&&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); };
  if (options.max_new_tokens < 1) {
    return bad("max_new_tokens = ", options.max_new_tokens, " is below 1");
  }
  if (!(options.temperature >= 0.0 && options.temperature <= kMaxTemperature)) {
    return bad("temperature = ", options.temperature, " is outside [0, ", kMaxTemperature, "]; 0 is greedy");
  }
  if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
    return bad("top_p = ", options.top_p, " is outside (0, 1]; 1 switches it off");
  }
  if (options.top_k < 0) return bad("top_k = ", options.top_k, " is negative; 0 switches it off");
  if (options.stop_ids.size() > kMaxStopIds) {
    return bad("stop_ids has ", options.stop_ids.size(), " ids, more than the limit of ", kMaxStopIds);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> PickToken(absl::Span<const float> logits_V, const GenerateOptions& options,
                                  int64_t position) {
  size_t best = 0;
  bool all_numbers = !logits_V.empty();
  for (size_t id = 0; id < logits_V.size(); ++id) {
    all_numbers = all_numbers && !std::isnan(logits_V[id]);
    if (logits_V[id] > logits_V[best]) best = id;
  }
  if (!all_numbers || !std::isfinite(logits_V[best])) {
    return absl::FailedPreconditionError(
        absl::StrCat("the logits of token ", position,
                     " are not finite numbers: the weights have diverged; train with a lower rate"));
  }
  if (options.temperature == 0.0) return static_cast<int64_t>(best);
  std::vector<double> mass(logits_V.size());
  for (size_t id = 0; id < mass.size(); ++id) {
    mass[id] = std::exp((double{logits_V[id]} - double{logits_V[best]}) / options.temperature);
  }
  std::vector<int64_t> kept;
  if (options.top_k > 0 || options.top_p < 1.0) {
    kept = Likeliest(logits_V, mass, options);
  } else {
    kept.resize(mass.size());
    std::iota(kept.begin(), kept.end(), int64_t{0});
  }
  double total = 0.0;
  for (const int64_t id : kept) total += mass[id];
  const double target = Draw(options.seed, position) * total;
  double sum = 0.0;
  int64_t picked = kept.front();
  for (const int64_t id : kept) {
    if (mass[id] == 0.0)
      continue;  // rounding may leave the target at the very end: never pick the impossible
    picked = id;
    sum += mass[id];
    if (target < sum) break;
  }
  return picked;
}

}  // namespace vernier::models
