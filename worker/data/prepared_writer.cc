#include "worker/data/prepared_writer.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/prepared_file.h"

namespace vernier::data {
namespace {

// Tensors of a file, each one pass over the chunks.
constexpr int kNumPasses = 5;

class SplitWriter {
 public:
  SplitWriter(const RowSelection& selection, const std::vector<ChunkSections>& chunks, RowUse use,
              const std::function<absl::Status(double)>& tick)
      : selection_(selection), chunks_(chunks), use_(use), tick_(tick) {}

  absl::StatusOr<WrittenSplit> Write(Blobs& blobs, const std::string& key) {
    WrittenSplit written;
    VN_RETURN_IF_ERROR(ForEachPiece([&](size_t, const PieceFacts& piece) {
      ++written.num_rows;
      written.num_tokens += piece.num_tokens;
    }));
    if (written.num_tokens > kMaxPreparedTokens) {
      return absl::InvalidArgumentError(absl::StrCat("data: ", written.num_tokens, " tokens are more than ",
                                                     kMaxPreparedTokens,
                                                     "; limit the rows with data.max_rows or split the job"));
    }
    VN_ASSIGN_OR_RETURN(writer_, blobs.OpenWriter(key));
    VN_RETURN_IF_ERROR(writer_->Append(PreparedHeader(written.num_rows, written.num_tokens)));
    int64_t offset = 0;
    VN_RETURN_IF_ERROR(Append<int64_t>({0}));
    VN_RETURN_IF_ERROR(
        AppendRows([&](size_t, const PieceFacts& piece) { return offset += piece.num_tokens; }));
    VN_RETURN_IF_ERROR(AppendRows([&](size_t chunk, const PieceFacts& piece) {
      return selection_.first_line(static_cast<int64_t>(chunk)) + rows_[piece.row].line;
    }));
    VN_RETURN_IF_ERROR(
        AppendRows([](size_t, const PieceFacts& piece) { return int64_t{piece.prompt_length}; }));
    VN_RETURN_IF_ERROR(AppendIds());
    VN_RETURN_IF_ERROR(AppendWeights());
    VN_ASSIGN_OR_RETURN(written.digest, writer_->Finish());
    return written;
  }

 private:
  bool Uses(size_t chunk, uint32_t row) const {
    const auto index = static_cast<int64_t>(chunk);
    // Rows behind the last wanted one are in the chunk, and were not looked at.
    return row < selection_.num_rows(index) && selection_.use(selection_.first_row(index) + row) == use_;
  }

  bool UsesAny(size_t chunk) const {
    const auto num_rows = static_cast<uint32_t>(selection_.num_rows(static_cast<int64_t>(chunk)));
    for (uint32_t row = 0; row < num_rows; ++row) {
      if (Uses(chunk, row)) return true;
    }
    return false;
  }

  // Calls `see(chunk, pieces)` for the chunks that have a row of this split.
  template <typename See>
  absl::Status ForEachChunk(const See& see) {
    for (size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
      VN_RETURN_IF_ERROR(tick_((pass_ + static_cast<double>(chunk) / static_cast<double>(chunks_.size())) /
                               (kNumPasses + 1)));
      if (!UsesAny(chunk)) continue;
      VN_ASSIGN_OR_RETURN(const std::vector<PieceFacts> pieces, chunks_[chunk].Pieces());
      VN_RETURN_IF_ERROR(see(chunk, pieces));
    }
    ++pass_;
    return absl::OkStatus();
  }

  template <typename See>
  absl::Status ForEachPiece(const See& see) {
    return ForEachChunk([&](size_t chunk, const std::vector<PieceFacts>& pieces) {
      for (const PieceFacts& piece : pieces) {
        if (Uses(chunk, piece.row)) see(chunk, piece);
      }
      return absl::OkStatus();
    });
  }

  template <typename T>
  absl::Status Append(const std::vector<T>& values) {
    return writer_->Append({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }

  // One number a row.
  template <typename Value>
  absl::Status AppendRows(const Value& value) {
    return ForEachChunk([&](size_t chunk, const std::vector<PieceFacts>& pieces) -> absl::Status {
      VN_ASSIGN_OR_RETURN(rows_, chunks_[chunk].Rows());
      std::vector<int64_t> values;
      values.reserve(pieces.size());
      for (const PieceFacts& piece : pieces) {
        if (Uses(chunk, piece.row)) values.push_back(value(chunk, piece));
      }
      return Append(values);
    });
  }

  absl::Status AppendIds() {
    return ForEachChunk([&](size_t chunk, const std::vector<PieceFacts>& pieces) -> absl::Status {
      VN_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, chunks_[chunk].Ids());
      std::vector<int32_t> kept;
      kept.reserve(ids.size());
      auto at = ids.begin();
      for (const PieceFacts& piece : pieces) {
        if (ids.end() - at < int64_t{piece.num_tokens}) return Damaged();
        if (Uses(chunk, piece.row)) kept.insert(kept.end(), at, at + piece.num_tokens);
        at += piece.num_tokens;
      }
      return Append(kept);
    });
  }

  absl::Status AppendWeights() {
    return ForEachChunk([&](size_t chunk, const std::vector<PieceFacts>& pieces) -> absl::Status {
      VN_ASSIGN_OR_RETURN(const std::vector<WeightRun> runs, chunks_[chunk].Runs());
      std::vector<float> kept;
      auto run = runs.begin();
      for (const PieceFacts& piece : pieces) {
        const bool used = Uses(chunk, piece.row);
        for (uint32_t left = piece.num_tokens; left > 0; ++run) {
          if (run == runs.end() || run->count == 0 || run->count > left) return Damaged();
          if (used) kept.insert(kept.end(), run->count, run->weight);
          left -= run->count;
        }
      }
      return Append(kept);
    });
  }

  static absl::Status Damaged() { return absl::DataLossError("a prepared chunk changed while it was read"); }

  const RowSelection& selection_;
  const std::vector<ChunkSections>& chunks_;
  const RowUse use_;
  const std::function<absl::Status(double)>& tick_;
  std::unique_ptr<storage::ObjectWriter> writer_;
  std::vector<RowFacts> rows_;  // of the chunk in hand
  double pass_ = 0;
};

}  // namespace

absl::StatusOr<WrittenSplit> WriteSplit(Blobs& blobs, const std::string& key, const RowSelection& selection,
                                        const std::vector<ChunkSections>& chunks, RowUse use,
                                        const std::function<absl::Status(double)>& tick) {
  return SplitWriter(selection, chunks, use, tick).Write(blobs, key);
}

}  // namespace vernier::data
