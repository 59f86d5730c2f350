#include "worker/data/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/data/chunk_pipeline.h"
#include "worker/data/contamination.h"
#include "worker/data/preview.h"
#include "worker/data/report_notes.h"
#include "worker/data/row_selection.h"

namespace vernier::data {
namespace {

// A file of bad rows has no sample; looking through all of it would not find one.
constexpr int kMaxSampleRecords = 1000;

// Reads, and does not map: pages of a map would count as our memory, file by file.
class OpenFile {
 public:
  OpenFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~OpenFile() { ::close(fd_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  absl::StatusOr<std::string> ReadAt(int64_t offset, int64_t max_bytes) const {
    std::string bytes(static_cast<size_t>(max_bytes), '\0');
    size_t size = 0;
    while (size < bytes.size()) {
      const ssize_t got =
          ::pread(fd_, bytes.data() + size, bytes.size() - size, offset + static_cast<off_t>(size));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, path_);
      if (got == 0) break;
      size += static_cast<size_t>(got);
    }
    bytes.resize(size);
    return bytes;
  }

 private:
  const int fd_;
  const std::string path_;
};

class Check {
 public:
  Check(const CheckRequest& request, const ProgressFn& progress)
      : request_(request),
        progress_(progress),
        chunk_options_{.rows = request.options.rows,
                       .encode = request.options.encode,
                       .max_tokens = request.options.max_tokens,
                       .on_overlong = request.options.on_overlong,
                       .sign = true,
                       .ngram_words = request.options.near.ngram_words},
        total_bytes_(request.rows.size_bytes + (has_validation() ? request.validation.size_bytes : 0)),
        selection_(request.options, {.find_near = true, .train = false}),
        contamination_(request.options.near.threshold) {}

  absl::StatusOr<v1::DataReport> Run() {
    // Validation rows first: then each training row is compared as it passes, and need not be kept.
    if (has_validation()) VN_RETURN_IF_ERROR(Read(request_.validation, "validation ", /*held_out=*/true));
    VN_RETURN_IF_ERROR(Read(request_.rows, "", /*held_out=*/false));
    selection_.Settle();
    VN_RETURN_IF_ERROR(selection_.TakeContaminations(contamination_.Hits()));
    v1::DataReport report = selection_.Report();
    report.set_num_bytes_read(total_bytes_);
    report.set_file_format(file_format_);
    if (request_.codec != nullptr) {
      for (std::string& note : FormatNotes(selection_.format(), request_.options.encode, *request_.codec))
        report.add_notes(std::move(note));
      VN_RETURN_IF_ERROR(AddSamples(report));
    }
    return report;
  }

 private:
  bool has_validation() const { return request_.validation.read != nullptr; }

  absl::Status Tick() const {
    if (!progress_) return absl::OkStatus();
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    const double left = static_cast<double>(total_bytes_ - bytes_);
    progress_({.phase = "checking",
               .fraction = total_bytes_ > 0 ? std::min(1.0, static_cast<double>(bytes_) /
                                                                static_cast<double>(total_bytes_))
                                            : 1.0,
               .rows = selection_.num_rows_read(),
               .bytes = bytes_,
               .total_bytes = total_bytes_,
               .eta_seconds = bytes_ > 0 ? seconds * left / static_cast<double>(bytes_) : 0});
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Source>> Open(const CheckInput& input) const {
    return OpenSource(input.read, input.size_bytes, request_.options.rows);
  }

  absl::Status Read(const CheckInput& input, const std::string& where, bool held_out) {
    absl::StatusOr<std::unique_ptr<Source>> opened = Open(input);
    if (!opened.ok()) return where.empty() ? opened.status() : Annotate(opened.status(), where);
    const std::unique_ptr<Source> source = *std::move(opened);
    if (!held_out) file_format_ = source->format();
    selection_.StartSource(where, source->unit(), held_out);
    const int64_t bytes_before = bytes_;
    const ChunkSteps steps = {
        .work = [&](const RawChunk& raw, const StopFn& stop, DoneChunk& done) -> absl::Status {
          VN_ASSIGN_OR_RETURN(done.encoded, EncodeChunk(raw, chunk_options_, request_.codec, stop));
          done.encoded.ids = {};
          done.encoded.runs = {};
          return absl::OkStatus();
        },
        .take = [&](DoneChunk done) -> absl::StatusOr<bool> {
          bytes_ = bytes_before + done.source_offset;
          VN_ASSIGN_OR_RETURN(const bool more, selection_.Add(done.encoded, done.first_line));
          CompareChunk(done.encoded, held_out);
          return more;
        },
        .tick = [&] { return Tick(); }};
    const absl::StatusOr<bool> whole = RunChunks(*source, request_.options.threads, steps);
    if (!whole.ok()) return Annotated(whole.status(), where);
    bytes_ = bytes_before + input.size_bytes;
    return selection_.EndSource(*source);
  }

  static absl::Status Annotated(const absl::Status& status, const std::string& where) {
    if (!absl::StartsWith(status.message(), "line ")) return status;
    return absl::Status(status.code(), absl::StrCat(where, status.message()));
  }

  void CompareChunk(const EncodedChunk& chunk, bool held_out) {
    if (!has_validation()) return;
    const int64_t index = selection_.num_chunks() - 1;
    const MinHashSignature* next = chunk.signatures.data();
    for (int64_t i = 0; i < selection_.num_rows(index); ++i) {
      const MinHashSignature* const signature = chunk.rows[i].Has(RowFacts::kSigned) ? next++ : nullptr;
      const uint32_t row = selection_.first_row(index) + static_cast<uint32_t>(i);
      if (selection_.use(row) == RowUse::kValidation && held_out) {
        contamination_.AddValidationRow(row, selection_.content(row), signature);
      } else if (selection_.use(row) == RowUse::kTrain) {
        contamination_.SeeTrainingRow(row, selection_.content(row), signature);
      }
    }
  }

  absl::Status AddSamples(v1::DataReport& report) const {
    VN_ASSIGN_OR_RETURN(const std::unique_ptr<Source> source, Open(request_.rows));
    Record record;
    for (int i = 0; i < kMaxSampleRecords && report.samples_size() < request_.num_samples; ++i) {
      VN_ASSIGN_OR_RETURN(const bool more, source->Next(&record));
      if (!more) return absl::OkStatus();
      if (!record.problem.empty()) continue;
      // One of a record, so that samples show as many records; the last turn has all the others before it.
      const absl::StatusOr<Preview> preview =
          RenderLastPreview(record.bytes, request_.options.rows, *request_.codec, request_.options.encode);
      if (!preview.ok() || preview->num_trained_tokens == 0) continue;  // counted as bad already
      v1::RowSample& sample = *report.add_samples();
      sample.set_line(record.line);
      sample.set_num_tokens(preview->num_tokens);
      sample.set_num_trained_tokens(preview->num_trained_tokens);
      for (const PreviewSegment& segment : preview->segments) {
        v1::RowSample::Segment& out = *sample.add_segments();
        out.set_text(segment.text);
        out.set_weight(segment.weight);
      }
    }
    return absl::OkStatus();
  }

  const CheckRequest& request_;
  const ProgressFn& progress_;
  const ChunkOptions chunk_options_;
  const int64_t total_bytes_;
  const absl::Time start_ = absl::Now();
  int64_t bytes_ = 0;
  RowSelection selection_;
  Contamination contamination_;
  std::string file_format_;
};

}  // namespace

absl::StatusOr<v1::DataReport> CheckData(const CheckRequest& request, const ProgressFn& progress) {
  return Check(request, progress).Run();
}

absl::StatusOr<CheckInput> CheckInputOf(const std::string& path) {
  // A pipe that nobody writes to must not hold us up; files are not read differently.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, path);
  // Shared with the copies that std::function makes of the reader.
  const auto file = std::make_shared<OpenFile>(fd, path);
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is not a regular file; rows are read from files"));
  return CheckInput{
      .read = [file](int64_t offset, int64_t max_bytes) { return file->ReadAt(offset, max_bytes); },
      .size_bytes = static_cast<int64_t>(info.st_size)};
}

}  // namespace vernier::data
