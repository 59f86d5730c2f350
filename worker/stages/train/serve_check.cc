#include "worker/stages/train/serve_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/status_macros.h"
#include "worker/models/torch.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

constexpr int64_t kRows = 4;
// Of each row: 4 x 32 positions of a vocabulary of 150,000 are 77 MB.
constexpr int64_t kPositions = 32;

}  // namespace

ProbeRows FirstRows(const data::PreparedRows& rows) {
  ProbeRows first;
  for (int64_t row = 0; row < std::min(kRows, rows.num_rows()); ++row) {
    const auto ids = rows.ids(row);
    first.emplace_back(ids.begin(), ids.end());
  }
  return first;
}

absl::StatusOr<ServeProbe> ProbeLogits(const models::CausalLm& model, const models::Overlay& overlay,
                                       const ProbeRows& rows) {
  return trainer::TorchCall("serve check", [&]() -> absl::StatusOr<ServeProbe> {
    const at::NoGradGuard no_grad;
    ServeProbe probe;
    probe.num_rows = static_cast<int64_t>(rows.size());
    std::vector<at::Tensor> logits;
    for (const std::vector<int64_t>& ids : rows) {
      models::TokenBatch batch;
      batch.ids_T = torch::tensor(ids, at::TensorOptions().dtype(at::kLong));
      batch.row_offsets = {0, static_cast<int64_t>(ids.size())};
      const at::Tensor hidden_TD = model.Hidden(batch, overlay);
      const int64_t count = std::min(kPositions, hidden_TD.size(0));
      logits.push_back(
          model.Logits(hidden_TD.narrow(0, hidden_TD.size(0) - count, count), model.HeadWeight(overlay)));
    }
    probe.logits_NV = at::cat(logits);
    return probe;
  });
}

double RelativeDifference(const ServeProbe& a, const ServeProbe& b) {
  if (a.logits_NV.sizes() != b.logits_NV.sizes()) return std::numeric_limits<double>::infinity();
  const double difference = (a.logits_NV - b.logits_NV).norm().item<double>();
  const double size = a.logits_NV.norm().item<double>();
  const double relative = difference == 0 ? 0.0 : difference / size;
  return std::isfinite(relative) && std::isfinite(size) ? relative : std::numeric_limits<double>::infinity();
}

}  // namespace vernier::stages
