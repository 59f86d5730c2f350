// A compressed file as a reader of what it decompresses to (formats/inflate.h has the limits).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "worker/data/formats/inflate.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// Sequential: each call starts where the one before ended. `consumed` follows the compressed bytes used.
// Errors: InvalidArgument, starting with the kind of compression, when the stream is damaged, cut off or a
// bomb.
ReadAtFn InflatingReader(ReadAtFn compressed, Compression compression,
                         std::shared_ptr<std::atomic<int64_t>> consumed);

// Copies everything `read` gives to a temporary file that no name leads to, and reads that: for formats that
// start at their end. InvalidArgument: more than 8 GiB.
absl::StatusOr<ReadAtFn> SpooledReader(const ReadAtFn& read, int64_t* size_bytes);

}  // namespace vernier::data
