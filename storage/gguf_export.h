// Writes models and adapters as GGUF files (gguf_description.h says what they hold), one tensor at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/gguf_description.h"
#include "storage/gguf_writer.h"
#include "storage/object_store.h"

namespace vernier::storage {

// Of matrices; vectors and position tables are F32, and matrices whose rows fill no whole blocks of Q8_0 are
// F16, both as llama.cpp's converter does.
enum class GgufFloat { kF32, kF16, kQ8_0 };

// Fills `values` with those of a tensor by its Hugging Face name and in its layout.
using TensorValues = std::function<absl::Status(const std::string& name, std::vector<float>& values)>;
// Called after each tensor with the bytes written so far.
using OnTensor = std::function<absl::Status(int64_t tensors, int64_t of)>;

// `extra`: general.* and tokenizer.* entries. InvalidArgument, naming the tensor: a value that is not finite
// or too large for the type.
absl::Status WriteGgufModel(const GgufDescription& description, const GgufMetadata& extra, GgufFloat type,
                            const TensorValues& values, const OnTensor& on_tensor, ByteSink& sink);

// The two factors of one linear layer's update, scale 1: the update is B A, in [out, in].
struct LoraFactors {
  std::string weight;  // Hugging Face's name of the weight
  int64_t rank = 0, in_features = 0, out_features = 0;
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank]
};

// Writes an adapter whose every layer has the rank `rank`, with adapter.lora.alpha = rank. InvalidArgument: a
// layer that files have no name for; as above.
absl::Status WriteGgufLora(const GgufDescription& base, const GgufMetadata& extra, GgufFloat type,
                           int64_t rank, absl::Span<const LoraFactors> factors, ByteSink& sink);

// Reads such a file back, for the same base: the factors with the file's scale (alpha / rank) in B.
// InvalidArgument: not such a file; a tensor that fits no layer of the base.
absl::StatusOr<std::vector<LoraFactors>> ReadGgufLora(const Gguf& gguf, const GgufDescription& base);

}  // namespace vernier::storage
