// Writes one split's safetensors file from finished chunks, without holding it (docs/formats/prepared.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/object_store.h"
#include "worker/data/chunk_file.h"
#include "worker/data/row_selection.h"
#include "worker/data/store_io.h"

namespace vernier::data {

struct WrittenSplit {
  storage::ByteDigest digest;
  int64_t num_rows = 0;
  int64_t num_tokens = 0;
};

// The rows of `selection` whose use is `use`, in order. `chunks` are the stored chunks, in the order in which
// `selection` got them. `tick(share)` is called often, with the share done; its error ends the writing.
// Memory: one section of one chunk. InvalidArgument: more tokens than prepared data may have. NotFound: a
// chunk is gone.
absl::StatusOr<WrittenSplit> WriteSplit(Blobs& blobs, const std::string& key, const RowSelection& selection,
                                        const std::vector<ChunkSections>& chunks, RowUse use,
                                        const std::function<absl::Status(double)>& tick);

}  // namespace vernier::data
