#include "worker/plan/activations.h"

#include <algorithm>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vernier::plan {
namespace {

constexpr int64_t kFp32 = 4;
// Labelled tokens whose logits exist at a time (worker/objectives/linear_cross_entropy.cc).
constexpr int64_t kLossChunk = 256;
constexpr int64_t kDefaultRank = 8;

enum class Role { kQ, kK, kV, kQkv, kOut, kGate, kUp, kGateUp, kDown, kOther };

Role RoleOf(absl::string_view path) {
  const absl::string_view name = path.substr(path.rfind('.') + 1);
  if (name == "q_proj") return Role::kQ;
  if (name == "k_proj") return Role::kK;
  if (name == "v_proj") return Role::kV;
  if (name == "qkv_proj" || name == "c_attn" || name == "query_key_value") return Role::kQkv;
  if (name == "o_proj" || name == "dense" || path == "attn.c_proj") return Role::kOut;
  if (name == "gate_proj") return Role::kGate;
  if (name == "up_proj" || name == "c_fc" || name == "dense_h_to_4h") return Role::kUp;
  if (name == "gate_up_proj") return Role::kGateUp;
  if (name == "down_proj" || name == "dense_4h_to_h" || path == "mlp.c_proj") return Role::kDown;
  return Role::kOther;
}

bool Names(absl::string_view pattern, absl::string_view site) {
  return pattern == site || absl::EndsWith(site, absl::StrCat(".", pattern));
}

// The norms that a block has, and where they sit: decoder.h's order.
struct Norms {
  bool attention = false, attention_out = false, mlp = false, mlp_out = false, q = false, k = false;
};
Norms NormsOf(const v1::ModelShape& shape) {
  const auto has = [&](absl::string_view name) { return absl::c_linear_search(shape.norms(), name); };
  // Llama's post_attention_layernorm comes before the feed-forward, Gemma's and OLMo 2's after the attention.
  const bool sandwich = has("pre_feedforward_layernorm") || !has("input_layernorm");
  const bool second = has("post_attention_layernorm");
  return {.attention = has("input_layernorm") || has("ln_1"),
          .attention_out = second && sandwich,
          .mlp = has("pre_feedforward_layernorm") || has("ln_2") || (second && !sandwich),
          .mlp_out = has("post_feedforward_layernorm"),
          .q = has("q_norm"),
          .k = has("k_norm")};
}

// What a layer keeps for each token.
class LayerCount {
 public:
  LayerCount(const v1::ModelShape& shape, const v1::Tuning& tuning, bool bf16, int64_t layer)
      : shape_(shape), tuning_(tuning), element_(bf16 ? 2 : 4), layer_(layer), norms_(NormsOf(shape)) {}

  // `input_trains`: a gradient flows into the layer's input.
  int64_t PerToken(bool input_trains) const {
    const int64_t width = shape_.hidden_size();
    const int64_t q = shape_.num_heads() * shape_.head_dim();
    const int64_t kv = shape_.num_kv_heads() * shape_.head_dim();
    const int64_t inner = shape_.intermediate_size();
    const bool fused_qkv = Find(Role::kQkv) != nullptr;
    const bool gated = Find(Role::kGate) != nullptr || Find(Role::kGateUp) != nullptr;
    const bool feeds_qkv = Saves(Role::kQ) || Saves(Role::kK) || Saves(Role::kV) || Saves(Role::kQkv);
    const bool feeds_mlp = Saves(Role::kGate) || Saves(Role::kUp) || Saves(Role::kGateUp);
    int64_t elements = 0, singles = 0;  // in the compute type, in fp32

    // Its input: of the norm, or without one of q, k and v themselves.
    const bool input_saved = norms_.attention ? input_trains : feeds_qkv;
    if (input_saved) elements += width;
    if (norms_.attention && input_trains) singles += NormSums();
    if (norms_.attention && feeds_qkv) elements += width;  // the norm's output

    // The attention: q, k, v, the result, one number a head.
    if (fused_qkv) {
      elements += q + 2 * kv;                   // v is a part of it
      if (shape_.rotary()) elements += q + kv;  // turned copies
    } else {
      elements += q + 2 * kv;
      if (norms_.q && shape_.rotary()) elements += q;  // before its norm
      if (norms_.k && shape_.rotary()) elements += kv;
    }
    if (norms_.q) singles += HeadNormSums(q);
    if (norms_.k) singles += HeadNormSums(kv);
    elements += q;
    singles += shape_.num_heads();
    if (norms_.attention_out) {
      elements += width;
      singles += NormSums();
    }

    // The feed-forward's input: of its norm, or of its first layers.
    if (!shape_.parallel_residual()) {
      if (norms_.mlp || feeds_mlp) elements += width;
      if (norms_.mlp) singles += NormSums();
    } else if (norms_.mlp && input_trains) {
      singles += NormSums();  // of the same input
    }
    if (norms_.mlp && feeds_mlp) elements += width;
    elements += gated ? 2 * inner : inner;
    if (Saves(Role::kDown)) elements += inner;
    if (norms_.mlp_out) {
      elements += width;
      singles += NormSums();
    }
    return elements * element_ + singles * kFp32 + AdapterPerToken();
  }

  // Trained weights are rounded to the compute type once a micro-batch, and kept for the gradient to x.
  int64_t PerLayer() const {
    if (!tuning_.has_full() || element_ == kFp32) return 0;
    int64_t bytes = 0;
    for (const v1::LinearShape& linear : shape_.linears()) {
      bytes += linear.in_features() * linear.out_features() * element_;
    }
    return bytes;
  }

 private:
  const v1::LinearShape* Find(Role role) const {
    const auto found =
        absl::c_find_if(shape_.linears(), [&](const auto& linear) { return RoleOf(linear.name()) == role; });
    return found == shape_.linears().end() ? nullptr : &*found;
  }
  // Whether the linear layer keeps its input: where it or an adapter on it trains.
  bool Saves(Role role) const {
    const v1::LinearShape* linear = Find(role);
    if (linear == nullptr) return false;
    return tuning_.has_full() || LoraRank(shape_, tuning_.lora(), layer_, *linear) > 0;
  }
  // Numbers a norm keeps for each token.
  int64_t NormSums() const { return shape_.layer_norm() ? 2 : 1; }
  // A norm over each head keeps one a head, a norm over all heads one; by name they are the same, and both
  // are next to nothing.
  int64_t HeadNormSums(int64_t width) const { return width / shape_.head_dim(); }
  int64_t AdapterPerToken() const {
    if (tuning_.has_full()) return 0;
    int64_t bytes = 0;
    for (const v1::LinearShape& linear : shape_.linears()) {
      const int64_t rank = LoraRank(shape_, tuning_.lora(), layer_, linear);
      if (rank == 0) continue;
      bytes += rank * element_;
      if (tuning_.lora().dropout() > 0) bytes += (linear.in_features() + 7) / 8;
    }
    return bytes;
  }

  const v1::ModelShape& shape_;
  const v1::Tuning& tuning_;
  const int64_t element_;
  const int64_t layer_;
  const Norms norms_;
};

}  // namespace

int64_t LoraRank(const v1::ModelShape& shape, const v1::Lora& lora, int64_t layer,
                 const v1::LinearShape& linear) {
  const std::string site = absl::StrCat(shape.layers_name(), ".", layer, ".", linear.name());
  const bool chosen =
      lora.targets().empty() || absl::c_any_of(lora.targets(), [&](const std::string& target) {
        return target == "all_linear" || Names(target, site);
      });
  if (!chosen) return 0;
  int64_t rank = lora.has_rank() ? lora.rank() : kDefaultRank;
  size_t longest = 0;  // the most exact name counts
  for (const auto& [name, value] : lora.rank_by_module()) {
    if (!Names(name, site) || name.size() <= longest) continue;
    longest = name.size();
    rank = value;
  }
  return rank;
}

int64_t LoraParameters(const v1::ModelShape& shape, const v1::Lora& lora) {
  // Names that hold a layer's number tell layers apart; without them one layer tells of all.
  const auto tells_layers = [](absl::string_view name) { return absl::c_any_of(name, absl::ascii_isdigit); };
  const bool differ =
      absl::c_any_of(lora.targets(), tells_layers) ||
      absl::c_any_of(lora.rank_by_module(), [&](const auto& entry) { return tells_layers(entry.first); });
  const int64_t layers = differ ? shape.num_layers() : std::min<int64_t>(1, shape.num_layers());
  int64_t count = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const v1::LinearShape& linear : shape.linears()) {
      count += LoraRank(shape, lora, layer, linear) * (linear.in_features() + linear.out_features());
    }
  }
  return differ ? count : count * shape.num_layers();
}

int64_t KeptBytes::Total(int64_t tokens, int64_t labelled, int64_t layers,
                         int64_t checkpointed_layers) const {
  const int64_t again = std::min(checkpointed_layers, layers);
  int64_t bytes = outside + outside_per_token * tokens + per_labelled_token * labelled;
  bytes += again * input_per_token * tokens;
  const int64_t rest = layers - again;
  bytes += rest * (layer + layer_per_token * tokens);
  if (again == 0 && layers > 0) bytes += (first_layer_per_token - layer_per_token) * tokens;
  return bytes;
}

KeptBytes KeptBytesOf(const v1::ModelShape& shape, const v1::Tuning& tuning, bool bf16) {
  const int64_t element = bf16 ? 2 : 4;
  const int64_t width = shape.hidden_size();
  const LayerCount first(shape, tuning, bf16, /*layer=*/0);
  // Layers may be adapted differently: the middle one stands for all.
  const LayerCount middle(shape, tuning, bf16, shape.num_layers() / 2);
  KeptBytes kept;
  kept.layer_per_token = middle.PerToken(/*input_trains=*/true);
  kept.first_layer_per_token = first.PerToken(/*input_trains=*/tuning.has_full());
  kept.input_per_token = width * element;
  kept.layer = middle.PerLayer();
  // The last norm's input, with the sums of that norm, and the angles: shapes of older imports do not tell
  // how many.
  const int64_t angles =
      shape.rotary() && shape.angle_numbers() == 0 ? shape.head_dim() : shape.angle_numbers();
  kept.outside_per_token = width * element + (shape.layer_norm() ? 2 : 1) * kFp32 + angles * kFp32;
  kept.per_labelled_token = width * element + 8;
  if (tuning.has_full()) {
    const int64_t embedding = shape.vocab_size() * width;
    kept.outside = embedding * element;  // the head's gradient
    if (bf16) kept.outside += embedding * element;
  }
  return kept;
}

ScratchBytes ScratchBytesOf(const v1::ModelShape& shape, const v1::Tuning& tuning, bool bf16, int64_t tokens,
                            int64_t labelled) {
  const int64_t element = bf16 ? 2 : 4;
  const int64_t chunk = std::min(labelled, kLossChunk);
  ScratchBytes scratch;
  // Logits in the compute type, which become their gradient where they lie.
  scratch.loss = chunk * shape.vocab_size() * element;
  if (tuning.has_full()) {
    // The head's gradient is summed in fp32. What a chunk adds to it takes the place of the last form, which
    // is kept and not there yet; of bf16 it is there in fp32 too.
    scratch.loss += shape.vocab_size() * shape.hidden_size() * (bf16 ? 2 * kFp32 : kFp32);
  } else if (bf16) {
    // oneDNN packs the head before it multiplies; with full tuning what is summed is more, at another moment.
    scratch.loss += shape.vocab_size() * shape.hidden_size() * element;
  }
  const int64_t qkv = (shape.num_heads() + 2 * shape.num_kv_heads()) * shape.head_dim();
  scratch.layer =
      tokens * element * (3 * shape.hidden_size() + std::max(3 * shape.intermediate_size(), 2 * qkv));
  return scratch;
}

}  // namespace vernier::plan
