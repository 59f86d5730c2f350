#include "worker/stages/export/probe.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "worker/data/prepared_data.h"
#include "worker/models/torch.h"
#include "worker/stages/inputs.h"

namespace vernier::stages {
namespace {

constexpr size_t kMaxTokens = 256;

// A 16-bit computation rounds every activation to 8 bits of mantissa; errors of a few layers add up.
constexpr double kBf16Compute = 3e-2;
constexpr double kSameNumbers = 1e-5;
// W + BA rounds once where x W + (x A) B rounds at every sum.
constexpr double kMerged = 1e-4;
constexpr double kF16 = 5e-3;   // 2^-11 a weight
constexpr double kBf16 = 3e-2;  // 2^-9 a weight
constexpr double kQ8 = 5e-2;    // half a step of 1/127 of a block's largest weight

double AtLeastOf(double tolerance, at::ScalarType compute) {
  return compute == at::kBFloat16 ? std::max(tolerance, kBf16Compute) : tolerance;
}

}  // namespace

std::vector<std::string> ProbeTexts() {
  return {"The quick brown fox jumps over 13 lazy dogs, doesn't it? It's 2,048 metres away.",
          "def add(a: int, b: int) -> int:\n    return a + b  # not a - b\n\n\tprint(add(1, 23))\n",
          "Grüße aus Köln: où est la bibliothèque? ¿Qué hora es? Привет, мир! 你好，世界。こんにちは "
          "🙂",
          "<b>1.  First</b>\r\n  - second   item\n\n\n{\"key\": [1.5e-3, null, true]}"};
}

ProbeRows ChooseProbeRows(storage::ObjectStore& store, const std::string& prepared_key,
                          const data::Tokenizer& tokenizer, const models::ModelConfig& config,
                          std::string* from) {
  ProbeRows rows;
  if (!prepared_key.empty()) {
    const absl::StatusOr<data::PreparedRows> prepared =
        OpenRows(store, prepared_key, data::Split::kTrain, config);
    if (prepared.ok()) rows = FirstRows(*prepared);
  }
  *from = rows.empty() ? "built-in texts" : "training rows";
  if (rows.empty()) {
    for (const std::string& text : ProbeTexts()) {
      // A text that a small vocabulary cannot say is left out.
      const auto tokens = tokenizer.Encode(text);
      if (tokens.ok() && !tokens->ids.empty()) rows.emplace_back(tokens->ids.begin(), tokens->ids.end());
    }
  }
  if (rows.empty()) rows.push_back({0});
  for (std::vector<int64_t>& row : rows) {
    row.resize(std::min({row.size(), kMaxTokens, static_cast<size_t>(config.max_positions)}));
  }
  return rows;
}

double CarriedShare(const ServeProbe& without, const ServeProbe& trained, const ServeProbe& served) {
  const at::Tensor wanted = (trained.logits_NV - without.logits_NV).flatten();
  const at::Tensor got = (served.logits_NV - without.logits_NV).flatten();
  return wanted.dot(got).item<double>() / wanted.dot(wanted).item<double>();
}

double ToleranceOfAdapter(at::ScalarType compute) { return AtLeastOf(kSameNumbers, compute); }

double ToleranceOfWeights(storage::Dtype coarsest, at::ScalarType compute) {
  const double rounding = coarsest == storage::Dtype::kBF16  ? kBf16
                          : coarsest == storage::Dtype::kF16 ? kF16
                                                             : kMerged;
  return AtLeastOf(rounding, compute);
}

double ToleranceOfGguf(storage::GgufFloat type, at::ScalarType compute) {
  const double rounding = type == storage::GgufFloat::kQ8_0  ? kQ8
                          : type == storage::GgufFloat::kF16 ? kF16
                                                             : kMerged;
  return AtLeastOf(rounding, compute);
}

}  // namespace vernier::stages
