#include "tests/testing/torch/train_step.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "storage/memory_store.h"
#include "worker/data/prepared_file.h"
#include "worker/data/prepared_manifest.h"
#include "worker/trainer/labelled_batch.h"
#include "worker/trainer/shard_tree.h"

namespace vernier::testing {

data::PreparedRows PreparedOf(const std::vector<LabelledRow>& rows) {
  data::PreparedSplit split;
  for (const LabelledRow& row : rows) {
    split.ids.insert(split.ids.end(), row.ids.begin(), row.ids.end());
    split.weights.insert(split.weights.end(), row.weights.begin(), row.weights.end());
    split.row_offsets.push_back(static_cast<int64_t>(split.ids.size()));
    split.lines.push_back(static_cast<int64_t>(split.lines.size()) + 1);
    split.prompt_lengths.push_back(1);
  }
  const std::string bytes = data::EncodePreparedFile(split);
  data::PreparedManifest manifest;
  manifest.files[data::kTrainFile] = {static_cast<int64_t>(bytes.size()), Sha256Hex(bytes)};
  storage::MemoryStore store;
  VN_CHECK_OK(store.Put(absl::StrCat("data/", data::kTrainFile), bytes));
  VN_CHECK_OK(store.Put(absl::StrCat("data/", data::kManifestFile), data::ManifestToJson(manifest)));
  absl::StatusOr<data::PreparedRows> prepared = data::PreparedRows::Open(store, "data", data::Split::kTrain);
  VN_CHECK_OK(prepared.status());
  return *std::move(prepared);
}

absl::StatusOr<double> StepGradient(trainer::Run& run, const data::PreparedRows& rows,
                                    const data::GlobalBatch& batch, data::Layout layout,
                                    trainer::FlatGradient& gradient) {
  std::vector<objectives::RowSums> sums(batch.rows.size());
  const auto leaf = [&](int shard, trainer::FlatGradient& out) -> absl::Status {
    std::vector<objectives::LabelledBatch> micro_batches;
    std::vector<int64_t> order;
    for (const data::MicroBatch& micro_batch : batch.shards[shard].micro_batches) {
      micro_batches.push_back(
          trainer::MakeLabelledBatch(rows, micro_batch, layout, batch.step, /*training=*/true));
      for (const data::PlannedRow& row : micro_batch.rows) order.push_back(row.index_in_batch);
    }
    std::vector<objectives::RowSums> computed;
    VN_RETURN_IF_ERROR(run.ForwardBackward(micro_batches, 1.0 / batch.total_weight, out, computed));
    for (size_t i = 0; i < order.size(); ++i) sums[order[i]] = computed.at(i);
    return absl::OkStatus();
  };
  VN_RETURN_IF_ERROR(trainer::SumShardTree(0, static_cast<int>(batch.shards.size()), leaf, gradient));
  double weighted_nll = 0.0;
  for (const objectives::RowSums& row : sums) weighted_nll += row.weighted_nll;
  return weighted_nll / batch.total_weight;
}

absl::StatusOr<StepOutcome> TrainStep(trainer::Run& run, const data::PreparedRows& rows,
                                      const data::GlobalBatch& batch, data::Layout layout, double clip_norm,
                                      double factor) {
  trainer::FlatGradient gradient;
  StepOutcome outcome;
  VN_ASSIGN_OR_RETURN(outcome.loss, StepGradient(run, rows, batch, layout, gradient));
  outcome.gradient_norm = run.OptimStep(gradient, clip_norm, factor);
  return outcome;
}

data::GlobalBatch GlobalBatchOf(const data::PreparedRows& rows, const std::vector<int64_t>& indices,
                                int64_t step, const data::BatchPlanOptions& options) {
  data::GlobalBatch batch;
  batch.step = step;
  batch.rows = indices;
  std::vector<data::PlannedRow> planned;
  for (size_t i = 0; i < indices.size(); ++i) {
    planned.push_back(
        {.row = indices[i], .index_in_batch = static_cast<int64_t>(i), .length = rows.length(indices[i])});
    batch.total_weight += rows.weight_sum(indices[i]);
    batch.num_tokens += rows.length(indices[i]);
  }
  batch.shards =
      data::SplitIntoShards(planned, options.virtual_shards, options.micro_batch_tokens, options.layout);
  return batch;
}

}  // namespace vernier::testing
