// The evaluate task: judges a model (with an adapter, if one is named) on rows, and publishes what it found
// as the artifact "evaluation":
//   metrics.json       the metrics over all rows, their number, the decoding settings
//   predictions.jsonl  one object a row: line of the source file, the scores, and for metrics of text also
//                      prompt, reference and prediction
//
// Text metrics let the model continue ids[0, prompt_length) of each row; the reference is the rest of the
// row. Both are decoded without special tokens and stripped. Each row draws its random numbers from (seed,
// its index).
#pragma once

#include "absl/status/status.h"
#include "worker/stages/stage.h"

namespace vernier::stages {

// Rows are judged in data order. Results: every metric by name, rows, seconds, and rows_without_room where
// prompts filled the context (they count with an empty prediction; a log line says so). A stop request ends
// the task (`stopped`) with nothing kept: the next attempt judges from the first row. InvalidArgument: an
// unknown metric, a decoding setting out of range. FailedPrecondition: there is no row; an input is missing.
absl::Status RunEvaluate(const StageContext& context, trainer::TaskOutcome& outcome);

}  // namespace vernier::stages
