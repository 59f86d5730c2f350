// Where rows come from. A source turns bytes into records (one row's bytes each) with bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// Reads at most `max_bytes` from `offset`; fewer only at the end, "" from there on. Called with rising
// offsets.
using ReadAtFn = std::function<absl::StatusOr<std::string>(int64_t offset, int64_t max_bytes)>;

// One record. `bytes` is valid until the next call of Next.
struct Record {
  int64_t line = 0;         // from 1
  absl::string_view bytes;  // without line break
  std::string problem;      // not empty: the record cannot be read (too long), `bytes` is empty
};

// Thread-compatible.
class Source {
 public:
  virtual ~Source() = default;
  // False: no more records. Errors: those of the reader; InvalidArgument: the file as a whole is not of this
  // kind.
  virtual absl::StatusOr<bool> Next(Record* record) = 0;
  // Bytes consumed so far, for progress.
  virtual int64_t offset() const = 0;
  // Remarks about the file (byte order mark, CRLF, blank lines), complete after Next said false.
  virtual std::vector<std::string> Notes() const = 0;
};

struct SourceEntry {
  absl::string_view name;  // also the file name's extension
  std::unique_ptr<Source> (*create)(ReadAtFn read);
};

// The source called `name` (registry.cc). InvalidArgument: not known.
absl::StatusOr<std::unique_ptr<Source>> CreateSource(absl::string_view name, ReadAtFn read);
std::vector<std::string> KnownSources();

// A reader of bytes in memory, which must outlive it; and of a local file (NotFound and others from the
// system).
ReadAtFn ReadFromMemory(absl::string_view bytes);
absl::StatusOr<ReadAtFn> ReadFromFile(const std::string& path);

}  // namespace vernier::data
