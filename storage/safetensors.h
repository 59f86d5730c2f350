// Safetensors files: named tensors in one file, no code in it. Format: docs/formats/safetensors.md.
//
// The reader trusts nothing: header at most 100 MB and 100,000 tensors, every offset inside the file, no gap,
// no overlap, no byte after the last tensor (an appended archive is a known trick), sizes equal to shape x
// dtype.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/file.h"
#include "storage/object_store.h"

namespace vernier::storage {

enum class Dtype { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t DtypeBytes(Dtype dtype);
absl::string_view DtypeName(Dtype dtype);  // "F64", "BF16", "BOOL", ...
// InvalidArgument: lists the known ones.
absl::StatusOr<Dtype> ParseDtype(absl::string_view name);

struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;  // row-major; {} is a scalar

  int64_t NumElements() const;
  int64_t NumBytes() const { return NumElements() * DtypeBytes(dtype); }
};

// A tensor whose bytes (row-major, little-endian) belong to somebody else. Not necessarily aligned.
struct TensorView : TensorSpec {
  absl::string_view bytes;
};

// An open file. Movable; views stay valid while it lives (moving keeps them). Thread-compatible.
class SafetensorsFile {
 public:
  // `bytes` must outlive the result. `name` starts every message. InvalidArgument: not a sound file.
  static absl::StatusOr<SafetensorsFile> Parse(absl::string_view bytes, absl::string_view name);
  // Maps a local file.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);
  // Maps the object where the store has it as a file, else reads it whole.
  static absl::StatusOr<SafetensorsFile> Open(ObjectStore& store, absl::string_view key);

  // In the order of their bytes in the file.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  // NotFound: no such tensor; names the nearest one.
  absl::StatusOr<TensorView> Find(absl::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  absl::Status Read(absl::string_view bytes, absl::string_view name);

  MappedFile map_;  // one of map_ and owned_ may hold the bytes
  std::unique_ptr<std::string> owned_;
  std::string name_;
  std::vector<TensorView> tensors_;
  absl::flat_hash_map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

// Writes one file to `sink` in one pass: the specs first, then the bytes of the tensors in the order of the
// specs, in pieces of any size. Equal input gives equal bytes. `sink` must outlive it. Thread-compatible.
class SafetensorsWriter final : public ByteSink {
 public:
  // Writes the header. InvalidArgument: a name twice, empty or "__metadata__"; a negative or overflowing
  // shape.
  static absl::StatusOr<SafetensorsWriter> Create(ByteSink& sink, std::vector<TensorSpec> specs,
                                                  const std::map<std::string, std::string>& metadata = {});
  // InvalidArgument: more bytes than the specs promise.
  absl::Status Append(absl::string_view bytes) override;
  // InvalidArgument: fewer bytes than promised; names the tensor that is incomplete. Does not finish `sink`.
  absl::Status Finish();

 private:
  SafetensorsWriter(ByteSink& sink, std::vector<TensorSpec> specs, int64_t total)
      : sink_(&sink), specs_(std::move(specs)), total_bytes_(total) {}
  ByteSink* sink_;
  std::vector<TensorSpec> specs_;
  int64_t total_bytes_;
  int64_t written_bytes_ = 0;
};

// Writes `tensors` as the object `key`.
absl::StatusOr<ByteDigest> WriteSafetensors(ObjectStore& store, absl::string_view key, WriteMode mode,
                                            absl::Span<const TensorView> tensors,
                                            const std::map<std::string, std::string>& metadata = {});

}  // namespace vernier::storage
