// What the micro-batches of a training stage will be like, from the lengths of its rows (DataReport): the
// planner of production (worker/data/batch_plan.h) run over rows with those lengths.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::plan {

struct Batches {
  int64_t rows = 0;  // of an epoch
  int64_t steps = 0;
  int64_t tokens = 0;               // of all steps
  double squared_tokens = 0;        // sum over rows of length^2, of all steps: attention's work
  double labelled_share = 1.0;      // of tokens
  int64_t largest_micro_batch = 0;  // tokens, padding included
  int64_t longest_row = 0;
  // What is in memory at once where adapters train and several threads compute shards side by side
  // (data::NumLanes): element t - 1 for t threads; the last one for more. Never empty.
  struct AtOnce {
    int64_t tokens = 0;  // padding included
    int lanes = 1;
  };
  std::vector<AtOnce> at_once = {};
  int64_t validation_tokens = 0;
  bool measured = true;  // false: there was no report
};

// `report` may be null: every row is then taken to be as long as it may be, and `num_rows` (0 = not known:
// 1,000) to be their number. `stage` is effective. The lengths within a bucket of the report are spread
// evenly around its mean; buckets were counted before data.max_tokens, which is applied here.
absl::StatusOr<Batches> BatchesOf(const v1::DataReport* report, int64_t num_rows, const v1::TrainStage& stage,
                                  uint64_t seed);

// That of a stage on `threads` CPU threads.
Batches::AtOnce AtOnceOn(const Batches& batches, const v1::TrainStage& stage, int threads);

}  // namespace vernier::plan
