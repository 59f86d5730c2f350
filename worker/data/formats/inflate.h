// Decompresses gzip and zstd streams piece by piece, within limits: what a file of a few bytes can make of
// itself is bounded before it is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

enum class Compression { kNone, kGzip, kZstd };
// "", "gzip", "zstd".
absl::string_view CompressionName(Compression compression);
// By the first bytes.
Compression RecogniseCompression(absl::string_view head);

// A stream that grows beyond its first kFreeInflatedBytes may be at most kMaxInflateRatio times its
// compressed size, and no stream more than kMaxInflatedBytes. JSON of real rows shrinks to a third to a
// fifteenth.
inline constexpr int64_t kFreeInflatedBytes = int64_t{64} << 20;
inline constexpr int64_t kMaxInflateRatio = 250;
inline constexpr int64_t kMaxInflatedBytes = int64_t{1} << 40;

// Thread-compatible.
class Inflater {
 public:
  static std::unique_ptr<Inflater> Create(Compression compression);  // not kNone
  virtual ~Inflater() = default;

  // Appends to `*out`, at most `max_bytes`, what `*in` decompresses to; takes what it used off the front of
  // `*in`. Nothing appended and `*in` used up: more input is needed (there may be output left when `*in` is
  // empty). Several streams one after the other count as one. InvalidArgument: damaged, followed by other
  // bytes, or beyond the limits.
  absl::Status Step(absl::string_view* in, size_t max_bytes, std::string* out);
  // InvalidArgument: the input so far ends inside a stream.
  virtual absl::Status CheckEnd() const = 0;

 protected:
  virtual absl::Status Decompress(absl::string_view* in, size_t max_bytes, std::string* out) = 0;

 private:
  int64_t num_in_ = 0, num_out_ = 0;
};

}  // namespace vernier::data
