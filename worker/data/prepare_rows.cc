#include "worker/data/prepare_rows.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/policies.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

// Lines handed to the threads at once: enough to keep them busy, little to hold.
constexpr size_t kWindowRows = 1024;
constexpr int64_t kWindowBytes = int64_t{16} << 20;

// Changing it would move rows between splits of existing datasets.
constexpr absl::string_view kSplitKey = "vernier validation split v1:";

// A line on its way through the threads.
struct Item {
  int64_t line = 0;
  std::string bytes;
  absl::Status status;
  Row row;
  EncodedRow encoded;
  bool is_encoded = false;
  std::string implicit_system_prompt;
};

template <typename Body>
void ParallelFor(size_t count, int threads, const Body& body) {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) body(i);
  };
  std::vector<std::jthread> helpers;
  for (int t = 1; t < threads && static_cast<size_t>(t) < count; ++t) helpers.emplace_back(work);
  work();
}

class Preparer {
 public:
  Preparer(const PrepareOptions& options, const Codec& codec, const RowProgressFn& progress)
      : options_(options), codec_(codec), progress_(progress) {}

  absl::Status ReadAll(const PrepareInputs& inputs) {
    VN_RETURN_IF_ERROR(ReadSource(*inputs.train, "", /*held_out=*/false));
    if (num_read_ == 0)
      return absl::InvalidArgumentError("data: the dataset has no rows; the file is empty or blank");
    if (inputs.validation == nullptr) return absl::OkStatus();
    const int64_t before = num_read_;
    VN_RETURN_IF_ERROR(ReadSource(*inputs.validation, "validation ", /*held_out=*/true));
    if (num_read_ == before) return absl::InvalidArgumentError("data.validation: the dataset has no rows");
    return absl::OkStatus();
  }

  // The policies that refuse, and what only the whole shows.
  absl::Status Judge() const { return findings_.Judge(options_, num_read_); }

  absl::StatusOr<PreparedSet> Finish(bool wants_validation) {
    if (options_.validation_fraction > 0 && set_.validation.num_rows() == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("data.validation: a share of ", options_.validation_fraction * 100, "% of ",
                       set_.train.num_rows(), " rows held out none; use a larger share or name a dataset"));
    }
    if (wants_validation && set_.validation.num_rows() == 0) {
      return absl::InvalidArgumentError("data.validation: no row is left after the policies");
    }
    if (set_.train.num_rows() == 0) return absl::InvalidArgumentError("data: no row is left to train on");
    set_.report = Report();
    set_.format = FormatName();
    return std::move(set_);
  }

  std::string FormatName() const {
    return format_.has_value() ? std::string(RowFormatName(*format_)) : std::string();
  }

  v1::DataReport Report() const {
    v1::DataReport report;
    const PreparedSplit& train = set_.train;
    report.set_num_rows(train.num_rows());
    report.set_num_tokens(static_cast<int64_t>(train.ids.size()));
    report.set_num_trained_tokens(
        std::count_if(train.weights.begin(), train.weights.end(), [](float weight) { return weight > 0; }));
    report.set_num_bad_rows(findings_.num_bad());
    report.set_num_overlong_rows(findings_.num_overlong());
    report.set_num_dropped_rows(num_dropped_);
    report.set_tokens_lost(tokens_lost_);
    for (v1::RowProblem& problem : findings_.Problems()) *report.add_problems() = std::move(problem);
    report.set_max_row_tokens(static_cast<int32_t>(std::min<int64_t>(findings_.longest(), INT32_MAX)));
    for (const std::string& note : notes_) report.add_notes(note);
    report.set_num_duplicate_rows(num_duplicates_);
    report.set_num_validation_rows(set_.validation.num_rows());
    return report;
  }

 private:
  bool SplitsFull(bool held_out) const {
    const bool train_full = num_train_rows_ >= options_.max_rows;
    const bool validation_full = num_validation_rows_ >= options_.max_validation_rows;
    if (held_out) return validation_full;
    return train_full && (options_.validation_fraction == 0 || validation_full);
  }

  absl::Status ReadSource(Source& source, absl::string_view where, bool held_out) {
    RowSetChecker checker;
    bool more = true, unused_rows = false;
    while (more && !SplitsFull(held_out)) {
      std::vector<Item> window;
      int64_t bytes = 0;
      while (more && window.size() < kWindowRows && bytes < kWindowBytes) {
        Record record;
        VN_ASSIGN_OR_RETURN(more, source.Next(&record));
        if (!more) break;
        Item& item = window.emplace_back();
        item.line = record.line;
        if (!record.problem.empty()) item.status = absl::InvalidArgumentError(record.problem);
        item.bytes = std::string(record.bytes);
        bytes += static_cast<int64_t>(record.bytes.size());
      }
      ParallelFor(window.size(), options_.threads, [&](size_t i) { Encode(window[i]); });
      for (Item& item : window) {
        unused_rows = SplitsFull(held_out);
        if (unused_rows) break;
        VN_RETURN_IF_ERROR(Take(item, checker, where, held_out));
      }
      if (progress_ && !progress_(source.offset(), num_read_)) {
        return absl::CancelledError("preparing was stopped");
      }
    }
    if (more || unused_rows)
      Note(absl::StrCat(where, "rows after line ", last_line_, " are not used (max_rows)"));
    for (const std::string& note : source.Notes()) Note(absl::StrCat(where, note));
    for (const std::string& note : checker.Notes()) Note(absl::StrCat(where, note));
    num_duplicates_ += checker.num_duplicates();
    return absl::OkStatus();
  }

  // Runs on any thread: touches the item only.
  void Encode(Item& item) const {
    if (!item.status.ok()) return;
    absl::StatusOr<Row> row = ParseRow(item.bytes);
    item.bytes = std::string();
    if (!row.ok()) {
      item.status = row.status();
      return;
    }
    item.row = std::move(*row);
    // Options that mean nothing for this format end the job in Take.
    if (!CheckEncodeOptions(options_.encode, item.row.format).ok()) return;
    absl::StatusOr<EncodedRow> encoded =
        EncodeRow(item.row, options_.encode, codec_, &item.implicit_system_prompt);
    if (!encoded.ok()) {
      item.status = encoded.status();
      return;
    }
    item.encoded = std::move(*encoded);
    item.is_encoded = true;
  }

  absl::Status Take(Item& item, RowSetChecker& checker, absl::string_view where, bool held_out) {
    ++num_read_;
    last_line_ = item.line;
    // Only what is wrong with the row itself is a bad row; a missing template or our own bug ends the job.
    if (!item.status.ok() && !absl::IsInvalidArgument(item.status)) {
      return Annotate(item.status, absl::StrCat("data: ", where, "line ", item.line));
    }
    if (item.status.ok()) {
      if (!format_.has_value()) {
        VN_RETURN_IF_ERROR(CheckEncodeOptions(options_.encode, item.row.format));
        format_ = item.row.format;
        NoteFormat(*format_);
      } else if (held_out && item.row.format != *format_) {
        item.status =
            absl::InvalidArgumentError(absl::StrCat("this row is ", RowFormatName(item.row.format),
                                                    ", the training rows are ", RowFormatName(*format_)));
      }
    }
    if (item.status.ok()) item.status = checker.Add(item.line, item.row);
    const int64_t size = static_cast<int64_t>(item.encoded.ids.size());
    if (item.status.ok() && item.encoded.num_trained() == 0) {
      item.status = absl::InvalidArgumentError(
          absl::StrCat("0 trained tokens in the row's ", size, WhyNothing(item.row)));
    }
    if (!item.status.ok()) {
      findings_.AddBad(where, item.line, item.status.message(), size);
      ++num_dropped_;
      tokens_lost_ += size;
      return absl::OkStatus();
    }
    NoteSystemPrompt(item);
    const bool validation = held_out || (options_.validation_fraction > 0 &&
                                         SplitPoint(item.row.ContentDigest()) < options_.validation_fraction);
    int64_t& num_split_rows = validation ? num_validation_rows_ : num_train_rows_;
    if (num_split_rows >= (validation ? options_.max_validation_rows : options_.max_rows))
      return absl::OkStatus();

    findings_.SawTokens(size);
    if (size > options_.max_tokens)
      findings_.AddOverlong(where, item.line, item.encoded, options_.max_tokens);
    Cut cut = CutRow(item.encoded, options_.max_tokens, options_.on_overlong);
    tokens_lost_ += cut.tokens_lost;
    if (cut.pieces.empty()) {
      ++num_dropped_;
      if (options_.on_overlong == v1::ON_OVERLONG_TRUNCATE) {
        findings_.AddBad(where, item.line,
                         absl::StrCat("0 trained tokens in the first ", options_.max_tokens, " of ", size,
                                      " (on_overlong: truncate)"),
                         size);
      }
      return absl::OkStatus();
    }
    ++num_split_rows;
    for (const EncodedRow& piece : cut.pieces) {
      VN_RETURN_IF_ERROR(Append(piece, item.line, validation ? set_.validation : set_.train));
    }
    return absl::OkStatus();
  }

  absl::Status Append(const EncodedRow& row, int64_t line, PreparedSplit& split) {
    if (static_cast<int64_t>(set_.train.ids.size() + set_.validation.ids.size() + row.ids.size()) >
        kMaxPreparedTokens) {
      return absl::InvalidArgumentError(absl::StrCat("data: more than ", kMaxPreparedTokens,
                                                     " tokens up to line ", line,
                                                     "; limit the rows with data.max_rows or split the job"));
    }
    split.ids.insert(split.ids.end(), row.ids.begin(), row.ids.end());
    split.weights.insert(split.weights.end(), row.weights.begin(), row.weights.end());
    split.row_offsets.push_back(static_cast<int64_t>(split.ids.size()));
    split.lines.push_back(line);
    split.prompt_lengths.push_back(row.prompt_length);
    return absl::OkStatus();
  }

  static absl::string_view WhyNothing(const Row& row) {
    if (row.format != RowFormat::kMessages) return "";
    bool any = false, weighted = false;
    for (const Message& message : row.messages) {
      any = any || message.role == "assistant";
      weighted = weighted || (message.role == "assistant" && message.weight > 0);
    }
    if (!any) return " (no assistant message)";
    return weighted ? "" : " (every assistant message has weight 0)";
  }

  void NoteFormat(RowFormat format) {
    if (format == RowFormat::kMessages) return;
    Note(codec_.eos_id().has_value() ? absl::StrCat("the end-of-sequence token (id ", *codec_.eos_id(),
                                                    ") is appended to each row and trained")
                                     : "the tokenizer names no end-of-sequence token: none is appended");
    if (codec_.bos_id().has_value()) {
      Note(absl::StrCat("the begin-of-sequence token (id ", *codec_.bos_id(), ") is put before each row"));
    }
  }

  void NoteSystemPrompt(const Item& item) {
    if (item.implicit_system_prompt.empty() || !system_prompts_.insert(item.implicit_system_prompt).second)
      return;
    if (system_prompts_.size() > 3) return;  // a template that writes another one for each row
    Note(absl::StrCat("the chat template adds a system prompt to rows without one (first: line ", item.line,
                      "): \"", Excerpt(item.implicit_system_prompt, 200), "\""));
  }

  void Note(std::string note) {
    if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(std::move(note));
  }

  const PrepareOptions& options_;
  const Codec& codec_;
  const RowProgressFn& progress_;
  PreparedSet set_;
  Findings findings_;
  std::optional<RowFormat> format_;
  std::vector<std::string> notes_;
  std::set<std::string> system_prompts_;
  int64_t num_read_ = 0, last_line_ = 0;
  int64_t num_train_rows_ = 0, num_validation_rows_ = 0;  // rows of the source, before split into pieces
  int64_t num_dropped_ = 0, tokens_lost_ = 0, num_duplicates_ = 0;
};

}  // namespace

double SplitPoint(absl::string_view content_digest) {
  const std::string hash = Sha256Hex(absl::StrCat(kSplitKey, content_digest));
  uint64_t bits = 0;
  std::from_chars(hash.data(), hash.data() + 13, bits, 16);  // 52 bits: exact in a double
  return static_cast<double>(bits) * 0x1p-52;
}

absl::StatusOr<PreparedSet> PrepareRows(const PrepareInputs& inputs, const PrepareOptions& options,
                                        const Codec& codec, const RowProgressFn& progress) {
  Preparer preparer(options, codec, progress);
  VN_RETURN_IF_ERROR(preparer.ReadAll(inputs));
  VN_RETURN_IF_ERROR(preparer.Judge());
  return preparer.Finish(inputs.validation != nullptr);
}

absl::StatusOr<v1::DataReport> InspectRows(const PrepareInputs& inputs, const PrepareOptions& options,
                                           const Codec& codec, const RowProgressFn& progress,
                                           std::string* format) {
  Preparer preparer(options, codec, progress);
  VN_RETURN_IF_ERROR(preparer.ReadAll(inputs));
  *format = preparer.FormatName();
  return preparer.Report();
}

}  // namespace vernier::data
