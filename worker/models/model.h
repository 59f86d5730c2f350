// A decoder-only language model: frozen base tensors plus, at every use of a parameter, whatever a tuning
// method puts in its place. Models are written once; tuning methods never edit them (DESIGN section 5,
// specification 39).
//
// Letters   T tokens of a micro-batch (rows end to end), R rows, D hidden width, V vocabulary, I / O features
// of a linear layer. Threading A CausalLm is immutable after loading and may be shared; everything of a
// forward pass stays on one thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace vernier::models {

// One parameter by its Hugging Face name, e.g. "model.layers.0.self_attn.q_proj.weight".
struct Parameter {
  int index = 0;  // position in CausalLm::parameters()
  std::string name;
  at::Tensor base;  // frozen; linear weights and embeddings in the compute dtype, norms and biases fp32
  at::ScalarType stored_dtype = at::kFloat;  // in the model's files: what an export writes
};

// A linear layer y = x W^T + b that tuning methods can attach to.
struct LinearSite {
  int index = 0;     // position in CausalLm::linear_sites(); keys dropout
  std::string name;  // module path without ".weight": "model.layers.0.self_attn.q_proj"
  std::string leaf;  // its last part: "q_proj"
  int64_t in_features = 0;
  int64_t out_features = 0;
  int weight = -1;  // parameter index
  int bias = -1;    // parameter index or -1
  // GPT-2's Conv1D keeps its weight as [I, O]; Linear() then computes x W + b.
  bool weight_is_io = false;
};

// Rows laid end to end. Row r owns tokens [row_offsets[r], row_offsets[r + 1]); attention never crosses rows.
struct TokenBatch {
  at::Tensor ids_T;                  // int64
  std::vector<int64_t> row_offsets;  // R + 1, from 0 to T
  // Keys for dropout draws (law 2: the same row in the same step draws the same numbers wherever it is
  // computed).
  std::vector<int64_t> global_rows;  // [R], index of the row in the global batch; empty: no dropout
  int64_t step = 0;
  bool training = false;
  // The first layers, whose activations are computed again for the backward pass instead of kept: less
  // memory, the same bits (common/checkpointed_block.h). More than there are: all.
  int64_t checkpointed_layers = 0;
};

// A linear site with the parameters that Overlay::Use() answered; the bias may be undefined.
struct LinearUse {
  const LinearSite& site;
  at::Tensor weight, bias;
};

// What a tuning method answers when the model asks for parameters. The base class answers with the base
// tensors. Lifetime: refers to the model's parameters; the model outlives it.
class Overlay {
 public:
  virtual ~Overlay() = default;
  // The tensor used for `parameter`, same shape as its base, in the dtype of its base.
  virtual at::Tensor Use(const Parameter& parameter) const { return parameter.base; }
  // x [T, I] -> [T, O] in x's dtype. `weight` and `bias` (may be undefined) are already what Use() answered.
  virtual at::Tensor Linear(const LinearSite& site, const at::Tensor& x_TI, const at::Tensor& weight,
                            const at::Tensor& bias, const TokenBatch& batch) const;
  // The outputs of several layers that read the same x. The base class asks Linear() for each; a method that
  // has them at once needs fewer passes over x.
  virtual std::vector<at::Tensor> LinearGroup(const std::vector<LinearUse>& uses, const at::Tensor& x_TI,
                                              const TokenBatch& batch) const;
};

// Keys and values of the tokens so far, for generation; one row. Owned by the caller, starts empty, filled by
// Hidden().
struct KvCache {
  std::vector<at::Tensor> keys;  // per layer [KvHeads, capacity >= length, HeadDim]
  std::vector<at::Tensor> values;
  int64_t length = 0;
};

struct ModelConfig {
  std::string model_type;  // as in config.json: llama, qwen2, ...
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  // context length in tokens
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  bool tied_head = false;
  double logit_cap = 0.0;  // logits become cap * tanh(logit / cap); 0: they stay
  // What the loaded model filled in, for those who write it in other forms.
  double attention_cap = 0.0;     // of scores; 0: they stay
  std::vector<int64_t> windows;   // of each layer; 0: it sees all tokens
  int64_t rotated = 0;            // numbers of a head that turn
  double local_rope_theta = 0.0;  // of layers with a window, where they have their own; else 0
  std::vector<int64_t> eos_token_ids;
};

class CausalLm {
 public:
  virtual ~CausalLm() = default;
  const ModelConfig& config() const { return config_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<LinearSite>& linear_sites() const { return sites_; }
  at::ScalarType compute_dtype() const { return compute_dtype_; }
  const Parameter& parameter(int index) const { return parameters_[index]; }
  // Puts `tensor` (same shape, any floating type) in the place of a base parameter for good, in the type of
  // what it replaces: how an adapter is merged into its base. Only before anything else uses the model.
  void ReplaceBase(int index, const at::Tensor& tensor) {
    at::Tensor& base = parameters_.at(index).base;
    base = tensor.to(base.options()).contiguous();
  }

  // Final hidden states (after the last norm), [T, D] in the compute dtype. With `cache` (one row only) the
  // tokens continue the cached ones and are appended to it, and no graph is made. A row's result depends on
  // the other rows only through the shapes of matrix products. Dropout of the base model (resid_pdrop and the
  // like) is never applied. Throws c10::Error: an id outside the vocabulary, a row longer than max_positions,
  // out of memory.
  virtual at::Tensor Hidden(const TokenBatch& batch, const Overlay& overlay,
                            KvCache* cache = nullptr) const = 0;
  // The output projection [V, D] in the compute dtype (the embedding when tied).
  virtual at::Tensor HeadWeight(const Overlay& overlay) const = 0;
  // hidden [N, D] x head [V, D] -> logits [N, V] in fp32, capped where config().logit_cap asks for it.
  at::Tensor Logits(const at::Tensor& hidden_ND, const at::Tensor& head_VD) const;
  // Whether a cached row of `cached` tokens must be computed anew, without the cache, when it grows to
  // `length`: its tokens would turn by other angles (long factors of rotary positions).
  virtual bool MustStartAgain(int64_t cached, int64_t length) const { return false; }

 protected:
  ModelConfig config_;
  std::vector<Parameter> parameters_;
  std::vector<LinearSite> sites_;
  at::ScalarType compute_dtype_ = at::kFloat;
};

// Loads the model in `folder` (config.json, *.safetensors incl. sharded index: storage/model_import.h's
// layout). Frozen tensors are mapped or converted once to `compute_dtype` (kFloat or kBFloat16).
// InvalidArgument: unsupported architecture (with the list of what works), a config field out of range or
// asking for what we do not do, tensors that are missing, misshapen or left over (named), a head that does
// not fit tie_word_embeddings. NotFound: a file is missing. Throws c10::Error only when memory runs out.
absl::StatusOr<std::unique_ptr<CausalLm>> LoadCausalLm(const std::string& folder,
                                                       at::ScalarType compute_dtype);

// The families that LoadCausalLm knows, by model_type (registry.cc).
std::vector<std::string> KnownModelTypes();

}  // namespace vernier::models
