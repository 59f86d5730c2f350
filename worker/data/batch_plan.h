// Which rows make up each optimiser step, and how they are divided: pure functions of (seed, step) and the
// lengths of the rows. Nothing here depends on ranks or threads, so any step can be planned at any time
// (resume is free).
//
// Order     Epoch e is a keyed permutation of all rows, keyed by (seed, e). Batches are cut from it in order
//           and never cross an epoch: the last batch of an epoch may be smaller. Every row is seen once per
//           epoch. In a mixture with weights an epoch is the rows that mixture.h draws for it, permuted
//           likewise.
// Shards    A global batch is split into `virtual_shards` by longest-first assignment to the lightest shard
// (ties:
//           fewer rows, then the lower shard). With fewer rows than shards some shards are empty.
// Packing   Within a shard, rows are put longest first into the first micro-batch with room; a row longer
// than the
//           budget is a micro-batch of its own. Only the shard and the budget matter.
// Threading Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/mixture.h"

namespace vernier::data {

enum class Layout {
  kPacked,  // a micro-batch costs the sum of its rows' lengths
  kPadded,  // a micro-batch costs number of rows x longest row
};

struct BatchPlanOptions {
  int64_t batch_rows = 16;   // [1, 65536]; ignored when batch_tokens > 0
  int64_t batch_tokens = 0;  // 0 = by rows; else rows are added until the next one would exceed it
  uint64_t seed = 0;
  int32_t virtual_shards = 4;         // power of two in [1, 64]
  int64_t micro_batch_tokens = 2048;  // [1, 2^31)
  Layout layout = Layout::kPacked;
  // Datasets with weights: together all rows. Empty: every row once an epoch.
  std::vector<MixturePart> mixture = {};
};

// A row in its place.
struct PlannedRow {
  int64_t row = 0;             // index into the prepared data
  int64_t index_in_batch = 0;  // position in the global batch: keys dropout, orders metrics
  int64_t length = 0;          // tokens
};

struct MicroBatch {
  std::vector<PlannedRow> rows;  // never empty
  int64_t num_tokens = 0;        // real tokens
  int64_t cost_tokens = 0;       // by the layout, padding included
};

struct ShardPlan {
  std::vector<MicroBatch> micro_batches;
  int64_t num_tokens = 0;
};

struct GlobalBatch {
  int64_t step = 0;           // from 0
  int64_t epoch = 0;          // from 0
  std::vector<int64_t> rows;  // in batch order
  double total_weight = 0.0;  // sum of the weights of all trained tokens, added in batch order
  int64_t num_tokens = 0;
  std::vector<ShardPlan> shards;  // [virtual_shards]
};

// Divides rows (in batch order) into shards and micro-batches by the rules above.
std::vector<ShardPlan> SplitIntoShards(const std::vector<PlannedRow>& rows, int32_t virtual_shards,
                                       int64_t micro_batch_tokens, Layout layout);

// Puts `rows` into micro-batches by the rules above; also for validation, where there are no shards.
std::vector<MicroBatch> PackRows(std::vector<PlannedRow> rows, int64_t micro_batch_tokens, Layout layout);

// How many shards are computed at once on `threads` CPU threads: as many as have rows and leave each of them
// a thread, if their largest micro-batches together keep within `micro_batch_tokens`; else one. A function of
// the batch alone, so that a step that is computed again is the same step.
int NumLanes(const GlobalBatch& batch, int threads, int64_t micro_batch_tokens);

// Tokens, padding included, of the micro-batches that are in memory at once.
int64_t TokensAtOnce(const GlobalBatch& batch, int num_lanes);

class BatchPlan {
 public:
  // `lengths` [R] tokens and `weight_sums` [R] sum of target weights of each row.
  // InvalidArgument: no rows, sizes differ, a length below 1, a weight sum that is negative or not finite, an
  // option out of range, or a mixture that does not cover the rows.
  static absl::StatusOr<BatchPlan> Create(std::vector<int64_t> lengths, std::vector<double> weight_sums,
                                          BatchPlanOptions options);
  BatchPlan(BatchPlan&&) noexcept;
  BatchPlan& operator=(BatchPlan&&) noexcept;
  ~BatchPlan();

  // The batch of optimiser step `step` >= 0. Batches of rows: O(batch). Batches of tokens: O(rows) at the
  // first touch of an epoch, remembered.
  GlobalBatch Batch(int64_t step) const;

  // Rows of step `step` in batch order, without the division into shards.
  std::vector<int64_t> Rows(int64_t step) const;

  // Steps in `epochs` > 0 epochs; a started part of an epoch counts its share of steps, rounded up. At
  // least 1.
  int64_t TotalSteps(double epochs) const;

  // Epochs passed before `step`, as a fraction: for progress and schedules in epochs.
  double EpochOf(int64_t step) const;

  int64_t num_rows() const;
  const BatchPlanOptions& options() const;

 private:
  struct State;
  explicit BatchPlan(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vernier::data
