// Runs chunks through threads and hands the results on in the order of the rows, with bounded memory.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/chunk.h"

namespace vernier::data {

// A chunk that went through the threads.
struct DoneChunk {
  int64_t first_line = 1;
  int64_t raw_bytes = 0;      // of its records
  int64_t source_offset = 0;  // bytes of the source read when it was cut, for progress
  bool fresh = true;          // made now, not found finished
  std::string digest;         // "" where chunks are not kept
  EncodedChunk encoded;       // as far as `work` left it there
};

struct ChunkSteps {
  // Called by several threads at once: fills in `done.encoded` and what else the caller needs. The run waits
  // for it even when it ends early; `stop` is true from then on.
  std::function<absl::Status(const RawChunk& raw, const StopFn& stop, DoneChunk& done)> work;
  // Called by the calling thread, in order. False: enough, the rest of the source is not wanted.
  std::function<absl::StatusOr<bool>(DoneChunk done)> take;
  // Called by the calling thread, several times a second; an error ends the run with it. May be empty.
  std::function<absl::Status()> tick;
};

// Reads `source` to its end in chunks. At most 2 * threads + 2 chunks are in memory. What `take` sees does
// not depend on `threads`. Returns true when the source was read to its end, false when `take` had enough;
// the first error in the order of the rows otherwise. `source` must not be used before it returns.
absl::StatusOr<bool> RunChunks(Source& source, int threads, const ChunkSteps& steps);

}  // namespace vernier::data
