// Prepares a dataset for training, once: validates rows, renders conversations with the model's chat
// template, tokenises, decides which tokens are trained, applies the policies, looks for duplicates, splits
// off validation rows, and writes tenants/<tenant>/prepared/<digest>/{train.safetensors,
// validation.safetensors, report.json, manifest.json}. The format is docs/formats/prepared.md; the reader is
// prepared_data.h.
//
// Address   The digest is the SHA-256 of everything the result depends on: dataset bytes, tokenizer files,
//           chat template, options and the version of this format. What exists is not made again.
// Chunks    Rows are prepared in chunks of about 2 MiB (chunk.h), in parallel; each is kept in the store
// under
//           the digest of its own content until all are done. A run that was killed finds them.
// Memory    A few chunks a thread, what row_selection.h says for each row, and the tokenizer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/task.pb.h"

namespace vernier::storage {
class ObjectStore;
}

namespace vernier::data {

// Version of the meaning of prepared data: part of the digest, raised when the same input would give other
// tokens.
inline constexpr int kPreparedVersion = 4;

struct PrepareProgress {
  // In order: "reading" (digests of the datasets), "tokenising", "comparing" (validation with training rows),
  // "writing".
  absl::string_view phase;
  double fraction = 0;                 // of the phase, in [0, 1]
  int64_t rows = 0;                    // seen so far
  int64_t bytes = 0, total_bytes = 0;  // of the datasets as they are stored; 0 where the phase reads none
  double eta_seconds = 0;              // to the end of the phase; 0 = not known
};

// Called from the calling thread only, at most some times a second.
using ProgressFn = std::function<void(const PrepareProgress&)>;

// Runs `task.prepare()` with `task.threads()` threads; the result does not depend on their number.
// `progress` may be empty. `stop`, when given, is polled: once true the call returns Cancelled and publishes
// nothing.
//
// InvalidArgument: rows are bad or overlong under the policies fail / refuse (the message lists how many, the
//   first 20 lines with reasons, the tokens lost under each other policy and the setting to change),
//   validation rows are training rows under on_contamination: fail, no row is left, or the options contradict
//   each other.
// NotFound: the dataset or a tokenizer file is missing in the store. DataLoss: the dataset is damaged.
absl::StatusOr<v1::PreparedData> RunPrepare(const v1::Task& task, storage::ObjectStore& store,
                                            const ProgressFn& progress,
                                            const std::atomic<bool>* stop = nullptr);

}  // namespace vernier::data
