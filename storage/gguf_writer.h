// Writes GGUF files, version 3, little-endian, in one pass: metadata and the list of tensors first, then
// their bytes. Source: ggml docs/gguf.md.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/object_store.h"

namespace vernier::storage {

// One metadata value, in the width that readers expect of its key.
using GgufEntryValue = std::variant<uint32_t, int32_t, float, bool, std::string, std::vector<std::string>,
                                    std::vector<int32_t>, std::vector<float>, std::vector<uint8_t>>;
struct GgufEntry {
  std::string key;
  GgufEntryValue value;
};
using GgufMetadata = std::vector<GgufEntry>;

struct GgufTensorSpec {
  std::string name;
  uint32_t type = 0;           // a ggml type: gguf_dequant.h
  std::vector<int64_t> shape;  // row-major, the slowest dimension first (the reverse of the file's order)

  int64_t NumElements() const;
};

// Equal input gives equal bytes. `sink` must outlive it. Thread-compatible.
class GgufWriter final : public ByteSink {
 public:
  // Writes the header. InvalidArgument: a key or a name twice or empty; an unknown type; a shape that is
  // empty, overflows, has more than 4 dimensions or rows that do not fill whole blocks.
  static absl::StatusOr<GgufWriter> Create(ByteSink& sink, const GgufMetadata& metadata,
                                           std::vector<GgufTensorSpec> tensors);
  // Blocks of the tensors in the order of the specs, in pieces of any size; what lies between tensors is the
  // writer's. InvalidArgument: more bytes than the specs promise.
  absl::Status Append(absl::string_view bytes) override;
  // InvalidArgument: fewer bytes than promised; names the tensor. Does not finish `sink`.
  absl::Status Finish();

 private:
  struct Place {
    std::string name;
    int64_t size_bytes = 0;
  };
  GgufWriter(ByteSink& sink, std::vector<Place> places) : sink_(&sink), places_(std::move(places)) {}

  ByteSink* sink_;
  std::vector<Place> places_;
  size_t at_ = 0;              // the tensor being written
  int64_t written_bytes_ = 0;  // of it
};

}  // namespace vernier::storage
