// Makes chunks and keeps them in the store until a preparation is done, so that one that was killed finds
// what it finished. Thread-safe.
#pragma once

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
  // `options`' turn of them: codec, options, version. Everything must outlive it.
  ChunkKeeper(Blobs& blobs, std::string folder, std::string context, const ChunkOptions& options,
              const Codec& codec);

  // Finds or makes the chunk; `done.encoded` gets all of it but token ids and weights. An error ends the run.
  absl::Status Work(const RawChunk& raw, DoneChunk& done) const;
  std::string KeyOf(const std::string& digest) const;

 private:
  // None: it is not there, or damaged.
  absl::StatusOr<std::optional<EncodedChunk>> Find(const std::string& key) const;

  Blobs& blobs_;
  const std::string folder_;
  const std::string context_;
  const ChunkOptions& options_;
  const Codec& codec_;
};

}  // namespace vernier::data
