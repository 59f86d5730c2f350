// A finished chunk as bytes and back (docs/formats/prepared.md): what a preparation keeps, so that one that
// was killed goes on where it was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/chunk.h"
#include "worker/data/store_io.h"

namespace vernier::data {

inline constexpr int64_t kMaxChunkFileBytes = int64_t{1} << 30;

// The name of a chunk: SHA-256 (hex) of its records with the place of their lines in the chunk, and of
// `context`, which stands for all else that its preparation depends on.
std::string ChunkDigest(absl::string_view context, const RawChunk& raw);

// The same chunk gives the same bytes.
std::string EncodeChunkFile(const EncodedChunk& chunk);
// DataLoss: not such a file, damaged or cut.
absl::StatusOr<EncodedChunk> ParseChunkFile(absl::string_view bytes);

// Reads sections of stored chunk files that were found good before. Errors of the store; DataLoss.
class ChunkSections {
 public:
  static absl::StatusOr<ChunkSections> Open(Blobs& blobs, std::string key);
  absl::StatusOr<std::vector<RowFacts>> Rows() const;
  absl::StatusOr<std::vector<MinHashSignature>> Signatures() const;
  absl::StatusOr<std::vector<PieceFacts>> Pieces() const;
  absl::StatusOr<std::vector<int32_t>> Ids() const;
  absl::StatusOr<std::vector<WeightRun>> Runs() const;

 private:
  struct Place {
    int64_t begin = 0, end = 0;
  };
  template <typename T>
  absl::StatusOr<std::vector<T>> Read(const Place& place) const;

  Blobs* blobs_ = nullptr;
  std::string key_;
  Place rows_, signatures_, pieces_, ids_, runs_;
};

}  // namespace vernier::data
