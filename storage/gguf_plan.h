// How the tensors and the metadata of a GGUF file become a Hugging Face model: one function per architecture
// (gguf_llama.h, gguf_gpt2.h, ...) makes the plan, WritePlanned carries it out. The way back:
// gguf_description.h. Internal to import and export.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/gguf.h"
#include "storage/object_store.h"
#include "storage/safetensors.h"

namespace vernier::storage {

// What happens to a tensor's values on their way.
enum class GgufLayout {
  kSame,
  // Rows of a rotary projection: GGUF interleaves the two halves of each head, Hugging Face keeps them apart.
  // Row h * D + 2 i + p of the source is row h * D + p * D / 2 + i of the result (D rows a head, p in {0,
  // 1}).
  kSplitHalves,
  // [out, in] becomes [in, out], as GPT-2's Conv1D keeps it.
  kTransposed,
  // Gemma's norms: GGUF keeps 1 + w, Hugging Face w.
  kMinusOne,
};

// A tensor by its name in both forms: the import reads these from left to right, the export from right to
// left.
struct GgufRule {
  std::string gguf;            // "blk.0.attn_q.weight"
  std::string hf;              // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // in the GGUF file
  GgufLayout layout = GgufLayout::kSame;
  int64_t num_heads = 0;  // for kSplitHalves
};

// The rule of a head that is not the embedding.
inline GgufRule HeadRule(int64_t vocab_size, int64_t width) {
  return {"output.weight", "lm_head.weight", {vocab_size, width}};
}

struct PlannedTensor {
  TensorSpec spec;                     // Hugging Face's name and shape; F32
  const GgufTensor* source = nullptr;  // belongs to the file
  GgufLayout layout = GgufLayout::kSame;
  int64_t num_heads = 0;  // for kSplitHalves
};

struct GgufPlan {
  nlohmann::json config;  // config.json without token ids
  std::vector<PlannedTensor> tensors;
  int64_t context_length = 0;
  int64_t vocab_size = 0;
};

// Takes tensors and metadata out of a file and sees that nothing is missing, misshapen or left over.
// Messages start with the file's name. Lives no longer than the file.
class GgufPlanner {
 public:
  explicit GgufPlanner(const Gguf& gguf, absl::string_view architecture);

  // Metadata "<architecture>.<field>". InvalidArgument: it is not in [1, 2^31).
  absl::StatusOr<int64_t> Positive(absl::string_view field) const;
  // `fallback` when the file has no such key.
  absl::StatusOr<int64_t> PositiveOr(absl::string_view field, int64_t fallback) const;
  // InvalidArgument: it is not above 0 and finite.
  absl::StatusOr<double> PositiveNumber(absl::string_view field) const;
  absl::StatusOr<double> PositiveNumberOr(absl::string_view field, double fallback) const;
  std::string Key(absl::string_view field) const;
  bool Has(absl::string_view field) const { return gguf_.Has(Key(field)); }

  bool HasTensor(absl::string_view name) const { return gguf_.FindTensor(name) != nullptr; }
  // Plans the tensors of `rules`, in order. InvalidArgument: the file has no such tensor, it has another
  // shape or a type that cannot be read.
  absl::Status Add(const std::vector<GgufRule>& rules);
  // The layers to make rules for: all that the metadata claims, but no more than the file could have and one,
  // which is enough to find what is missing.
  int64_t LayersToPlan(int64_t claimed) const;
  // The values of a tensor of the shape `shape` that becomes none of its own: out.size() of them.
  absl::Status Read(absl::string_view source, const std::vector<int64_t>& shape, absl::Span<float> out);
  // Size of the slowest dimension. InvalidArgument: no such tensor, or a scalar.
  absl::StatusOr<int64_t> Rows(absl::string_view name) const;
  // Plans the output projection [rows, width] as lm_head.weight. False: there is none of its own, since the
  // file has no output.weight or one equal to the embedding, byte for byte.
  absl::StatusOr<bool> AddHead(int64_t rows, int64_t width);
  // The planned tensors. InvalidArgument: the file has a tensor that nobody took, which would be lost.
  absl::StatusOr<std::vector<PlannedTensor>> Finish();

  absl::Status Bad(absl::string_view what) const;

 private:
  // InvalidArgument: no such tensor, another shape, a type that cannot be read.
  absl::StatusOr<const GgufTensor*> Take(absl::string_view source, const std::vector<int64_t>& shape);

  const Gguf& gguf_;
  const std::string architecture_;
  std::vector<PlannedTensor> planned_;
  absl::flat_hash_set<std::string> taken_;
};

// Dequantises one tensor and appends its values to `sink`. `values` is room that calls may share.
absl::Status WritePlanned(const PlannedTensor& tensor, std::vector<float>& values, ByteSink& sink);

}  // namespace vernier::storage
