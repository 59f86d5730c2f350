// Which rows are used, and for what: everything about a dataset that one row alone does not show. Fed with
// chunks in order; pure, and the same for the same rows.
//
// A row goes through, in this order:
//   bad rows        what its chunk found; another format than the first row; an id that an earlier row has
//   duplicates      exact by content, near by MinHash; they go when `deduplicate` says so
//   side            training or validation: by its dataset, or by a keyed hash of its content
//   caps            max_rows and validation.max_rows take the first rows; a mixture's max_rows a sample
//   contamination   validation rows that occur among the training rows (contamination.h, by the caller)
//   on_overlong     counted for every policy; pieces were cut with the chunk
// A conversation that TURNS_EXPAND made several rows of is one row in all of this, and several in the counts
// of what is kept.
//
// Memory     40 bytes a row, 40 more for rows with an id, 100 for overlong and expanded rows and 4 a row made
//            of these, and NearIndex's where near duplicates are looked for.
// Threading  Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/chunk.h"
#include "worker/data/contamination.h"
#include "worker/data/near_index.h"
#include "worker/data/policies.h"
#include "worker/data/prepare_options.h"
#include "worker/data/rows.h"

namespace vernier::data {

enum class RowUse : uint8_t {
  kTrain,
  kValidation,
  kBad,
  kDuplicate,     // left out by `deduplicate`
  kCapped,        // left out by a mixture's max_rows
  kContaminated,  // left out by on_contamination: drop
  kUnused,        // behind the last row that is wanted
};

class RowSelection {
 public:
  struct Aims {
    bool find_near = false;  // near duplicates too, also when they stay; chunks then have signatures
    bool train = true;       // rows that no objective trains are refused
  };
  // `options` must outlive it.
  RowSelection(const PrepareOptions& options, Aims aims);

  // A dataset begins. `where` names it in findings: "", "validation ", "a.jsonl "; `unit` is Source::unit.
  void StartSource(std::string where, absl::string_view unit, bool held_out);
  // False: no further row of this dataset is wanted.
  // InvalidArgument: the options mean nothing for rows of this format, or there are too many rows.
  absl::StatusOr<bool> Add(const EncodedChunk& chunk, int64_t first_line);
  // It was read as far as it is wanted. InvalidArgument: it has no rows.
  absl::Status EndSource(const Source& source);

  // After the last dataset: decides what the whole alone decides (caps by sample).
  void Settle();
  // Validation rows that occur among the training rows; those go when on_contamination is drop. After Settle.
  // InvalidArgument: on_contamination is fail and there are some.
  absl::Status TakeContaminations(const std::vector<Contamination::Hit>& hits);
  // InvalidArgument: on_bad_row or on_overlong refuses; no row is left to train on or to judge by.
  // `wants_validation`: a dataset was named for it.
  absl::Status Judge(bool wants_validation) const;

  int64_t num_chunks() const { return static_cast<int64_t>(chunks_.size()); }
  // Rows of a chunk, in the order they were added.
  int64_t num_rows(int64_t chunk) const { return chunks_[chunk].num_rows; }
  uint32_t first_row(int64_t chunk) const { return chunks_[chunk].first_row; }
  int64_t first_line(int64_t chunk) const { return chunks_[chunk].first_line; }
  int64_t source(int64_t chunk) const { return chunks_[chunk].source; }
  RowUse use(uint32_t row) const { return records_[row].use; }
  const ShortDigest& content(uint32_t row) const { return records_[row].content; }
  // "line 7", with the dataset before it when there are several.
  std::string NameOf(uint32_t row) const { return PlaceOf(row).ToString(); }
  int64_t num_rows_read() const { return static_cast<int64_t>(records_.size()); }
  // Before on_overlong.
  int64_t num_validation_rows() const { return CountUses(RowUse::kValidation); }
  // Of the first good row.
  std::optional<RowFormat> format() const { return format_; }
  // Rows to train on of each training dataset, pieces counted.
  std::vector<int64_t> TrainingRowsBySource() const;

  // Counts everything. After Judge, or instead of it where policies must not fail.
  v1::DataReport Report() const;

 private:
  struct RowRecord {
    ShortDigest content;
    uint32_t line = 0;  // counted from its chunk's first
    uint32_t num_tokens = 0;
    uint32_t num_trained = 0;
    RowUse use = RowUse::kBad;
    bool in_pieces = false;  // then it is in pieced_
  };
  struct ChunkPlace {
    uint32_t first_row = 0;
    int64_t num_rows = 0;
    int64_t first_line = 0;
    int64_t source = 0;
  };
  struct SourceState {
    std::string where, unit;  // in findings
    bool held_out = false;
    uint32_t first_row = 0, end_row = 0;
    std::optional<RowForm> form;  // of its first parsed row
    uint32_t form_row = 0;
  };
  // A row that is more or less than one row in the result.
  struct Pieced {
    uint32_t row = 0;
    uint32_t lost_by_truncate = 0, lost_by_split = 0, lost_by_drop = 0;
    uint32_t num_pieces = 0, tokens_kept = 0, trained_kept = 0;
    uint32_t longest = 0;
    std::vector<uint32_t>
        turn_tokens;  // of the rows that TURNS_EXPAND made of it; empty: it was not expanded
  };
  // What is left of rows after the policies.
  struct Kept {
    int64_t rows = 0, tokens = 0, trained = 0;  // a row's pieces count as rows
    void Add(int64_t more_rows, int64_t more_tokens, int64_t more_trained) {
      rows += more_rows;
      tokens += more_tokens;
      trained += more_trained;
    }
  };
  // Rows by their content, which lies in the records.
  struct ContentHash {
    const std::deque<RowRecord>* records;
    size_t operator()(uint32_t row) const { return (*records)[row].content.low; }
  };
  struct ContentEqual {
    const std::deque<RowRecord>* records;
    bool operator()(uint32_t a, uint32_t b) const { return (*records)[a].content == (*records)[b].content; }
  };
  using ContentSet = absl::flat_hash_set<uint32_t, ContentHash, ContentEqual>;
  struct IdHash {
    size_t operator()(const ShortDigest& id) const { return id.low; }
  };

  struct Remark {
    std::string first;  // the row's name
    int64_t num_rows = 0;
  };

  // One row of a chunk on its way.
  struct Incoming {
    const EncodedChunk& chunk;
    const RowFacts& facts;
    uint32_t index = 0;  // in the chunk
    uint32_t row = 0;    // in records_
    const MinHashSignature* signature = nullptr;
    absl::Span<const uint32_t> turn_tokens;
  };
  RowPlace PlaceOf(uint32_t row) const;
  bool IsFull(bool held_out) const;
  absl::Status Take(const Incoming& in);
  void NotePieces(const Incoming& in);
  absl::Status CheckFormatOfSource(const Incoming& in);
  // "" or why the row is bad in the light of the others.
  std::string WhyBad(const Incoming& in);
  // Whether the row repeats an earlier one and goes.
  bool IsLeftOutAsDuplicate(const Incoming& in);
  void NoteDuplicate(uint32_t row, uint32_t original, double similarity);
  void NoteTexts(const EncodedChunk& chunk, int64_t first_line);
  void NoteUnused(absl::Span<const std::string> columns);
  std::string NotePrefix() const;
  void Note(std::string note);
  void SampleSource(const SourceState& source, int64_t max_rows);
  int64_t CountUses(RowUse use) const;
  int64_t CountUses(const SourceState& source, RowUse use) const;
  // "data", "data.mix[1]", "data.validation".
  std::string FieldOf(size_t source) const;
  // Calls `see(record, kept, pieced)` for the rows [begin, end), `kept` with the pieces left of each,
  // `pieced` null for rows that are one row.
  template <typename See>
  void ForEachRow(uint32_t begin, uint32_t end, const See& see) const;
  Kept KeptOf(const SourceState& source, RowUse use) const;
  Findings CountFindings() const;
  void AddNotes(v1::DataReport& report) const;
  void AddExpansion(v1::DataReport& report) const;
  void AddLengths(v1::DataReport& report) const;
  void AddSources(v1::DataReport& report) const;
  SourceState& current() { return sources_.back(); }

  const PrepareOptions& options_;
  const Aims aims_;
  std::deque<RowRecord> records_;
  std::vector<ChunkPlace> chunks_;
  std::vector<SourceState> sources_;
  std::vector<Pieced> pieced_;            // in order of rows
  std::unique_ptr<ContentSet> contents_;  // of the training datasets, or of the validation dataset
  std::unique_ptr<NearIndex> near_;
  absl::flat_hash_map<ShortDigest, uint32_t, IdHash> ids_;  // of the current dataset
  Findings bad_;
  std::optional<RowFormat> format_;
  std::set<std::string> unused_columns_;
  std::vector<std::string> system_prompts_;
  std::map<std::string, Remark> remarks_;
  std::vector<std::string> notes_;
  std::string contamination_note_;
  std::vector<v1::RowPair> duplicates_, contaminations_;
  int64_t num_bad_tokens_ = 0;
  int64_t num_train_ = 0, num_validation_ = 0;  // taken so far, for max_rows
  int64_t num_duplicates_ = 0, num_near_duplicates_ = 0;
  int64_t num_contaminated_ = 0, num_near_contaminated_ = 0;
  int64_t last_line_ = 0;  // of the current dataset
};

}  // namespace vernier::data
