// What trains. A tuning method is an overlay on a frozen base model: it says which numbers train, what the
// model sees instead of its own parameters, and how the result is saved (PEFT's files where PEFT has the
// method).
//
// Letters   I / O features of a linear layer, R rank.
// Laws      Identity at birth as declared by traits(). Only its own parameters receive gradients. Save then
//           load is exact.
// Threading Thread-compatible: its trainer's one thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/safetensors.h"
#include "vernier/v1/tuning.pb.h"
#include "worker/models/model.h"

namespace vernier::adapters {

// A leaf tensor that trains: fp32, contiguous, requires grad, at a fixed address for the life of its Tuning.
struct TrainableParameter {
  std::string name;  // as in the saved file
  at::Tensor tensor;
  bool decay = true;  // false for biases and norms: weight decay leaves them alone
};

// What a method publishes. `kind` names the artifact: "adapter" (PEFT's two files) or "weights" (a whole
// model, to be put beside the base's config and tokenizer files).
struct Exported {
  std::string kind;
  std::string tensor_file;  // adapter_model.safetensors | model.safetensors
  // fp32 (adapter) or the base's stored dtype, CPU, contiguous; copies, so that training may go on.
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::string config_file;  // adapter_config.json; "" = none of its own
  nlohmann::json config;
};

struct Traits {
  bool exact_identity_at_birth = true;  // a fresh instance changes no bit of the output
  bool mergeable = true;                // Merged() exists
};

class Tuning : public models::Overlay {
 public:
  virtual Traits traits() const = 0;
  // In a fixed order: the order of a flat gradient and of checkpoints.
  virtual std::vector<TrainableParameter> Trainable() = 0;
  // `base_name` goes to adapter_config.json as base_model_name_or_path.
  virtual absl::StatusOr<Exported> Export(absl::string_view base_name) = 0;
  // The weight [O, I] (or the site's own layout) that a plain model would need at `site` to compute the same,
  // fp32. Only where traits().mergeable.
  virtual at::Tensor Merged(const models::LinearSite& site) const = 0;
  // The same numbers with gradients of their own, so that two threads may go forward and backward at once
  // while nobody writes the numbers; in Trainable()'s order. Null where that would not pay: gradients as
  // large as the model.
  virtual std::unique_ptr<Tuning> Twin() const = 0;
};

// The method that `spec` names, its defaults filled in, with fresh parameters drawn from `seed`
// (registry.cc). InvalidArgument: an option out of range, an unknown target module (names the nearest and all
// that exist).
absl::StatusOr<std::unique_ptr<Tuning>> CreateTuning(const models::CausalLm& model, const v1::Tuning& spec,
                                                     uint64_t seed);

// An adapter in PEFT's files: the method, its shape and its values come from there. For evaluating,
// generating and `init_from`. InvalidArgument: not LoRA, an option we would have to ignore (named), a tensor
// that is missing, left over or of another shape, a module the model does not have.
absl::StatusOr<std::unique_ptr<Tuning>> LoadPeft(const models::CausalLm& model,
                                                 absl::string_view adapter_config_json,
                                                 const storage::SafetensorsFile& tensors);

// The registry's names, as in tuning.proto.
std::vector<std::string> KnownTuningMethods();

}  // namespace vernier::adapters
