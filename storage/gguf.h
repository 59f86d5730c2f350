// GGUF files, versions 2 and 3, little-endian: metadata and tensors. Bounded everywhere: counts, string
// lengths, nesting of arrays, alignment, offsets inside the file, no overlap.
// Source: ggml docs/gguf.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/file.h"

namespace vernier::storage {

// One metadata value. Integers of every width are int64_t (a uint64 above its range refuses the file), both
// float widths are double. Arrays hold one kind; arrays of arrays are checked and skipped (monostate).
using GgufValue = std::variant<std::monostate, int64_t, double, bool, absl::string_view, std::vector<int64_t>,
                               std::vector<double>, std::vector<bool>, std::vector<absl::string_view>>;

struct GgufTensor {
  std::string name;
  uint32_t type = 0;           // a ggml type: gguf_dequant.h
  std::vector<int64_t> shape;  // row-major, the slowest dimension first (the reverse of the file's order)
  absl::string_view bytes;     // still quantised
  int64_t NumElements() const;
};

// An open file. Movable; views stay valid while it lives. Thread-compatible; const calls may run at once.
class Gguf {
 public:
  // `bytes` must outlive the result. `name` starts every message. InvalidArgument: not a sound file.
  static absl::StatusOr<Gguf> Parse(absl::string_view bytes, absl::string_view name);
  // Maps a local file.
  static absl::StatusOr<Gguf> Open(const std::string& path);

  uint32_t version() const { return version_; }
  const std::string& name() const { return name_; }
  absl::string_view file_bytes() const { return file_; }

  // Metadata. Get*, InvalidArgument: the key is missing or holds another kind; the message names file and
  // key.
  bool Has(absl::string_view key) const { return values_.contains(key); }
  absl::StatusOr<int64_t> GetInt(absl::string_view key) const;
  absl::StatusOr<double> GetDouble(absl::string_view key) const;  // integers too
  absl::StatusOr<bool> GetBool(absl::string_view key) const;
  absl::StatusOr<absl::string_view> GetString(absl::string_view key) const;
  absl::StatusOr<absl::Span<const absl::string_view>> GetStrings(absl::string_view key) const;
  absl::StatusOr<absl::Span<const int64_t>> GetInts(absl::string_view key) const;
  absl::StatusOr<absl::Span<const double>> GetDoubles(absl::string_view key) const;

  // In file order.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // Null: no such tensor.
  const GgufTensor* FindTensor(absl::string_view name) const;

 private:
  template <typename T>
  absl::StatusOr<const T*> Get(absl::string_view key, absl::string_view kind) const;
  absl::Status Read();

  MappedFile map_;
  absl::string_view file_;
  std::string name_;
  uint32_t version_ = 0;
  absl::flat_hash_map<std::string, GgufValue> values_;
  std::vector<GgufTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> tensor_index_;
};

}  // namespace vernier::storage
