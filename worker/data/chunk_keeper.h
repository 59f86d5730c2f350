// Makes chunks and keeps them in the store until a preparation is done, so that one that was killed finds
// what it finished. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "worker/data/chunk_file.h"
#include "worker/data/chunk_pipeline.h"
#include "worker/data/codec.h"
#include "worker/data/store_io.h"

namespace vernier::data {

class ChunkKeeper {
 public:
  // Chunks lie in `folder`. `context` stands for all that a chunk depends on besides its records and
  // `options`' turn of them: codec, options, version. Everything must outlive it. A chunk of more than
  // `max_bytes` is not kept.
  ChunkKeeper(Blobs& blobs, std::string folder, std::string context, const ChunkOptions& options,
              const Codec& codec, int64_t max_bytes = kMaxChunkFileBytes);

  // Finds or makes the chunk; `done.encoded` gets all of it but token ids and weights. An error ends the run.
  // InvalidArgument: it is too large to be kept; Cancelled: `stop`.
  absl::Status Work(const RawChunk& raw, const StopFn& stop, DoneChunk& done) const;
  std::string KeyOf(const std::string& digest) const;

 private:
  // None: it is not there, or damaged.
  absl::StatusOr<std::optional<EncodedChunk>> Find(const std::string& key) const;

  Blobs& blobs_;
  const std::string folder_;
  const std::string context_;
  const ChunkOptions& options_;
  const Codec& codec_;
  const int64_t max_bytes_;
};

}  // namespace vernier::data
