// What a GGUF file says of a model that exists as a Hugging Face folder: the way back from gguf_plan.h, by
// the same rules. One function per architecture (gguf_llama.h, gguf_gemma.h, ...) makes the description,
// gguf_export.h writes it. Internal to the export.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/gguf_plan.h"
#include "storage/gguf_sizes.h"
#include "storage/gguf_writer.h"

namespace vernier::storage {

// A model as it was loaded, its config.json's defaults filled in.
struct GgufModelFacts {
  std::string model_type;  // Hugging Face's
  nlohmann::json config;   // config.json, for what is not below
  LlamaLikeSizes sizes;    // context_length: max_position_embeddings
  double norm_epsilon = 0.0;
  double rope_theta = 0.0;
  double local_rope_theta = 0.0;  // of layers with a window, where they have their own
  double attention_cap = 0.0;     // 0: none
  double logit_cap = 0.0;
  int64_t window = 0;  // of the layers that have one; 0: none has
  std::vector<bool> layer_slides;
  bool tied_head = false;
  // By the name that a full model gives it.
  std::function<bool(absl::string_view)> has_parameter;
};

struct GgufDescription {
  // F32 tensors that follow from the config.
  struct Derived {
    std::string name;
    std::vector<float> values;
  };

  std::string architecture;     // general.architecture
  GgufMetadata metadata;        // of the architecture
  std::vector<GgufRule> rules;  // every tensor of the model, the head included
  std::vector<Derived> derived;
};

// InvalidArgument: GGUF files are not written for such a model (names the architectures that are), or cannot
// say what is special about it (names the field).
absl::StatusOr<GgufDescription> DescribeGguf(const GgufModelFacts& facts);

// The architectures that DescribeGguf knows, by Hugging Face's names.
std::vector<std::string> KnownGgufModelTypes();

// Collects a description. Messages start with "gguf: ". `facts` outlives it.
class GgufDescriber {
 public:
  GgufDescriber(const GgufModelFacts& facts, absl::string_view architecture);

  // "<architecture>.<field>".
  void Add(absl::string_view field, GgufEntryValue value);
  // What every architecture has: sizes, number of layers and heads.
  void AddSizes();
  // rope.* and, where it is scaled, the tensors that say so. InvalidArgument: a scaling that files cannot
  // say.
  absl::Status AddRope();

  // A number of config.json. InvalidArgument: it is none.
  absl::StatusOr<double> Number(absl::string_view field, double fallback) const;
  // InvalidArgument: config.json's `field` is there and none of `texts`.
  absl::Status Only(absl::string_view field, const std::vector<absl::string_view>& texts) const;
  // InvalidArgument: it is another flag than `wanted`.
  absl::Status OnlyFlag(absl::string_view field, bool fallback, bool wanted) const;
  absl::Status Bad(absl::string_view what) const;

  // With the head where the model has its own.
  GgufDescription Finish(std::vector<GgufRule> rules);

 private:
  absl::Status AddLlama3Scaling(const nlohmann::json& scaling);
  absl::Status AddScaling(const nlohmann::json& scaling);

  const GgufModelFacts& facts_;
  GgufDescription made_;
};

}  // namespace vernier::storage
