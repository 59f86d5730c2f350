// Reads prepared rows (docs/formats/prepared.md). Bytes come from a memory map where the store is a local
// folder, else from memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/mixture.h"

namespace vernier::storage {
class ObjectStore;
}

namespace vernier::data {

class Blobs;  // store_io.h

enum class Split { kTrain, kValidation };

// Rows of one split. Immutable, hence thread-safe; spans live as long as the object. Movable.
class PreparedRows {
 public:
  // `prefix` is PreparedData.key. Checks the manifest and every digest, offset and id range.
  // NotFound: no manifest (preparing did not finish). DataLoss: a file differs from the manifest or is
  // malformed.
  static absl::StatusOr<PreparedRows> Open(storage::ObjectStore& store, absl::string_view prefix,
                                           Split split);
  static absl::StatusOr<PreparedRows> Open(Blobs& blobs, absl::string_view prefix, Split split);

  PreparedRows(PreparedRows&&) noexcept;
  PreparedRows& operator=(PreparedRows&&) noexcept;
  ~PreparedRows();

  int64_t num_rows() const;  // may be 0 for validation
  int64_t num_tokens() const;
  absl::Span<const int32_t> ids(int64_t row) const;
  // Weight of each token as a target; the first of a row is 0.
  absl::Span<const float> weights(int64_t row) const;
  int64_t length(int64_t row) const;
  // Sum of weights(row), added in order in double.
  double weight_sum(int64_t row) const;
  // Line of the source file, from 1.
  int64_t line(int64_t row) const;
  // Tokens before the last trained span: what a generation starts from.
  int64_t prompt_length(int64_t row) const;

  // All rows, in the form that BatchPlan::Create takes.
  std::vector<int64_t> lengths() const;
  std::vector<double> weight_sums() const;

 private:
  struct State;
  explicit PreparedRows(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// What preparing found. Same errors as Open.
absl::StatusOr<v1::DataReport> ReadReport(storage::ObjectStore& store, absl::string_view prefix);

// SHA-256 of the tokenizer files and of the chat template that were used, and other facts for a checkpoint.
struct PreparedFacts {
  std::string digest;
  std::string tokenizer_digest;
  std::string template_digest;
  std::string format;   // of the rows: messages | prompt_completion | text | ...
  int32_t eos_id = -1;  // -1: none
  // The training rows of a mixture with weights, in BatchPlanOptions' form; empty: none.
  std::vector<MixturePart> mixture;
};
absl::StatusOr<PreparedFacts> ReadFacts(storage::ObjectStore& store, absl::string_view prefix);

}  // namespace vernier::data
