// Prepares a dataset for training, once: validates rows, renders conversations with the model's chat
// template, tokenises, decides which tokens are trained, applies the policies, splits off validation rows,
// and writes tenants/<tenant>/prepared/<digest>/{train.safetensors, validation.safetensors, report.json,
// manifest.json}. The format is docs/formats/prepared.md; the reader is prepared_data.h.
//
// The digest is the SHA-256 of everything the result depends on: dataset bytes, tokenizer files, chat
// template, options and the version of this format. What exists is not made again.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/task.pb.h"

namespace vernier::storage {
class ObjectStore;
}

namespace vernier::data {

// Version of the meaning of prepared data: part of the digest, raised when the same input would give other
// tokens.
inline constexpr int kPreparedVersion = 1;

// (phase, share done in [0, 1], rows so far). Called from the calling thread only, at most a few times a
// second. Phases in order: "reading", "tokenising", "writing".
using ProgressFn = std::function<void(absl::string_view phase, double fraction, int64_t rows)>;

// Runs `task.prepare()` with `task.threads()` threads; the result does not depend on their number.
// `progress` may be empty. `stop`, when given, is polled: once true the call returns Cancelled and publishes
// nothing.
//
// InvalidArgument: rows are bad or overlong under the policies fail / refuse (the message lists how many, the
// first
//   20 lines with reasons, the tokens lost under each other policy and the setting to change), no row is
//   left, or the options contradict each other.
// NotFound: the dataset or a tokenizer file is missing in the store.
absl::StatusOr<v1::PreparedData> RunPrepare(const v1::Task& task, storage::ObjectStore& store,
                                            const ProgressFn& progress,
                                            const std::atomic<bool>* stop = nullptr);

}  // namespace vernier::data
