#include "worker/stages/train/stepper.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/optim/schedule.h"
#include "worker/stages/forward_rows.h"
#include "worker/trainer/labelled_batch.h"

namespace vernier::stages {
namespace {

constexpr size_t kMaxNamedRows = 20;

}  // namespace

absl::Status Stepper::Compute(const data::GlobalBatch& batch) {
  sums_.assign(batch.rows.size(), {});
  const double scale = 1.0 / batch.total_weight;
  const auto leaf = [&](int lane, int shard, trainer::FlatGradient& gradient) -> absl::Status {
    std::vector<objectives::LabelledBatch> micro_batches;
    for (const data::MicroBatch& micro_batch : batch.shards[shard].micro_batches) {
      micro_batches.push_back(
          trainer::MakeLabelledBatch(rows_, micro_batch, options_.layout, batch.step, /*training=*/true));
      micro_batches.back().tokens.checkpointed_layers = options_.checkpointed_layers;
    }
    std::vector<objectives::RowSums> computed;
    VN_RETURN_IF_ERROR(run_.ForwardBackward(micro_batches, scale, gradient, computed, lane));
    size_t next = 0;
    for (const data::MicroBatch& micro_batch : batch.shards[shard].micro_batches) {
      for (const data::PlannedRow& row : micro_batch.rows) sums_[row.index_in_batch] = computed.at(next++);
    }
    VN_CHECK(next == computed.size());
    return absl::OkStatus();
  };
  const int num_lanes = data::NumLanes(batch, std::min(run_.num_lanes(), at::get_num_threads()),
                                       plan_.options().micro_batch_tokens);
  VN_RETURN_IF_ERROR(
      trainer::SumShardsInLanes(lanes_, num_lanes, static_cast<int>(batch.shards.size()), leaf, gradient_));
  if (faults_.At(trainer::FaultPoint::kAfterBackward, batch.step + 1)) {
    gradient_[0] = std::numeric_limits<float>::quiet_NaN();
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> Stepper::Step(int64_t step) {
  const data::GlobalBatch batch = plan_.Batch(step);
  const double factor = optim::ScheduleFactor(options_.schedule, step, options_.total_steps);
  StepResult result;
  result.num_tokens = batch.num_tokens;
  result.num_rows = static_cast<int64_t>(batch.rows.size());
  result.learning_rate = run_.learning_rate() * factor;
  faults_.At(trainer::FaultPoint::kBeforeStep, step + 1);
  if (batch.total_weight <= 0) return result;
  for (int attempt = 0; attempt < 2; ++attempt) {
    result.recomputed = attempt > 0;
    VN_RETURN_IF_ERROR(Compute(batch));
    result.sums = Total(sums_);
    // A loss that is not finite with a gradient that is would still be a broken step: it must not update
    // either.
    const double before = std::isfinite(result.sums.weighted_nll)
                              ? run_.OptimStep(gradient_, options_.clip_norm, factor)
                              : std::numeric_limits<double>::quiet_NaN();
    result.grad_norm = before;
    if (std::isfinite(before)) {
      result.updated = true;
      result.rows = batch.rows;
      result.row_sums = sums_;
      faults_.At(trainer::FaultPoint::kAfterUpdate, step + 1);
      return result;
    }
  }
  result.not_finite = DescribeNotFinite(batch, result.grad_norm);
  return result;
}

std::string Stepper::DescribeNotFinite(const data::GlobalBatch& batch, double norm) const {
  std::vector<int64_t> broken;  // lines of the source file
  for (size_t i = 0; i < sums_.size(); ++i) {
    if (!std::isfinite(sums_[i].weighted_nll)) broken.push_back(rows_.line(batch.rows[i]));
  }
  const bool loss = !broken.empty();
  if (!loss) {
    for (const int64_t row : batch.rows) broken.push_back(rows_.line(row));
  }
  const size_t named = std::min(broken.size(), kMaxNamedRows);
  return absl::StrCat("step ", batch.step + 1, ": the ", loss ? "loss" : "gradient",
                      " is not finite, twice in a row; ", loss ? "rows" : "rows of the batch", " at lines ",
                      absl::StrJoin(broken.begin(), broken.begin() + static_cast<int64_t>(named), ", "),
                      broken.size() > named ? absl::StrCat(" and ", broken.size() - named, " more") : "",
                      " of the data; lower the learning rate, look at these rows, or set on_nonfinite: skip");
}

}  // namespace vernier::stages
