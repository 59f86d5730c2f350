// Where rows come from. A source turns a file into records, one row each as the text of a JSON object, with
// bounded memory. OpenSource recognises the file by its first bytes; everything that reads rows (preparing,
// `datasets check`, `datasets preview`) goes through it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/formats/recognise.h"
#include "worker/data/formats/row_forms.h"

namespace vernier::data {

// What sources ask for at once.
inline constexpr int64_t kSourceReadBytes = int64_t{1} << 20;

// Reads at most `max_bytes` from `offset`; fewer only at the end, "" from there on. Called with rising
// offsets, except for Parquet, which is read from its end.
using ReadAtFn = std::function<absl::StatusOr<std::string>(int64_t offset, int64_t max_bytes)>;

// One record. `bytes` is valid until the next call of Next.
struct Record {
  int64_t line = 0;  // from 1; where the row starts, or its number where rows have no lines (Source::unit)
  absl::string_view bytes;  // a JSON object, without line break
  std::string problem;      // not empty: the record cannot be read (too long, damaged), `bytes` is empty
};

// Thread-compatible.
class Source {
 public:
  virtual ~Source() = default;
  // False: no more records. Errors: those of the reader; InvalidArgument: the file as a whole is not of this
  // kind, or ends in the middle.
  virtual absl::StatusOr<bool> Next(Record* record) = 0;
  // Bytes of the file consumed so far, for progress.
  virtual int64_t offset() const = 0;
  // Remarks about the file (its format, byte order mark, CRLF, blank lines), complete after Next said false.
  virtual std::vector<std::string> Notes() const = 0;
  // What Record::line counts: "line", or "row".
  virtual absl::string_view unit() const { return "line"; }
  // How the file is written: "JSON lines", "gzip-compressed CSV".
  virtual std::string format() const { return ""; }
  // Columns of the header that rows do not come with, because nothing uses them. Rows that are JSON come
  // whole.
  virtual std::vector<std::string> unused_columns() const { return {}; }
};

// What a source of one file format is made from. `read` gives decompressed bytes.
struct SourceInput {
  ReadAtFn read;
  int64_t size_bytes = 0;  // of what `read` gives; 0 where the source reads to the end anyway
  RowOptions options;
  Recognition recognition;
};

struct SourceEntry {
  absl::string_view name;  // FileFormatName
  absl::StatusOr<std::unique_ptr<Source>> (*create)(SourceInput input);
};

// The rows of a file of `size_bytes` that `read` reads. `options.format.file` forces a format.
// InvalidArgument: not a file of rows (with what it is, where that shows), or its columns fit no form of row.
absl::StatusOr<std::unique_ptr<Source>> OpenSource(ReadAtFn read, int64_t size_bytes,
                                                   const RowOptions& options = {});

// The source of the file format `name` (registry.cc). InvalidArgument: not known, or as for OpenSource.
absl::StatusOr<std::unique_ptr<Source>> CreateSource(absl::string_view name, SourceInput input);
absl::StatusOr<std::unique_ptr<Source>> CreateSource(absl::string_view name, ReadAtFn read);
std::vector<std::string> KnownSources();

// A reader of bytes in memory, which must outlive it; and of a local file (NotFound and others from the
// system), with its size.
ReadAtFn ReadFromMemory(absl::string_view bytes);
absl::StatusOr<ReadAtFn> ReadFromFile(const std::string& path, int64_t* size_bytes = nullptr);

}  // namespace vernier::data
