#include "tests/testing/family_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/file.h"
#include "common/philox.h"
#include "common/status_macros.h"

namespace vernier::testing {
namespace {

using Json = nlohmann::json;

constexpr int64_t kWidth = 24;
constexpr int64_t kHead = 6;
constexpr int64_t kKvWidth = 12;
constexpr int64_t kInner = 40;
constexpr int64_t kVocabulary = 48;
constexpr int64_t kContext = 32;
constexpr int kLayers = 2;
constexpr int64_t kWindow = 6;  // of families that have one: shorter than the rows of most tests

void Add(FamilyModel& model, std::string name, std::vector<int64_t> shape) {
  model.tensors.push_back({.name = std::move(name), .shape = std::move(shape)});
}

// Sizes under the names that most families share. Heads of 6 numbers; two share keys.
Json CommonConfig(absl::string_view model_type, absl::string_view causal_class) {
  return {{"model_type", model_type},
          {"architectures", {causal_class}},
          {"vocab_size", kVocabulary},
          {"hidden_size", kWidth},
          {"intermediate_size", kInner},
          {"num_hidden_layers", kLayers},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", kHead},
          {"max_position_embeddings", kContext},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", false},
          {"eos_token_id", 2}};
}

// What a family that names its tensors as llama does adds or leaves out.
struct LlamaLike {
  bool qkv_bias = false, out_bias = false, mlp_bias = false, fused = false, tied = false;
  int64_t q_norm = 0, k_norm = 0;  // sizes; 0: none
  std::vector<absl::string_view> norms = {"input_layernorm", "post_attention_layernorm"};
};

FamilyModel SmallLlamaLike(Json config, const LlamaLike& shape) {
  FamilyModel model;
  model.config = std::move(config);
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in, bool bias) {
    Add(model, name + ".weight", {out, in});
    if (bias) Add(model, name + ".bias", {out});
  };
  Add(model, "model.embed_tokens.weight", {kVocabulary, kWidth});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string at = absl::StrCat("model.layers.", layer, ".");
    if (shape.fused) {
      add_linear(at + "self_attn.qkv_proj", kWidth + 2 * kKvWidth, kWidth, shape.qkv_bias);
    } else {
      add_linear(at + "self_attn.q_proj", kWidth, kWidth, shape.qkv_bias);
      add_linear(at + "self_attn.k_proj", kKvWidth, kWidth, shape.qkv_bias);
      add_linear(at + "self_attn.v_proj", kKvWidth, kWidth, shape.qkv_bias);
    }
    add_linear(at + "self_attn.o_proj", kWidth, kWidth, shape.out_bias);
    if (shape.q_norm > 0) Add(model, at + "self_attn.q_norm.weight", {shape.q_norm});
    if (shape.k_norm > 0) Add(model, at + "self_attn.k_norm.weight", {shape.k_norm});
    if (shape.fused) {
      add_linear(at + "mlp.gate_up_proj", 2 * kInner, kWidth, shape.mlp_bias);
    } else {
      add_linear(at + "mlp.gate_proj", kInner, kWidth, shape.mlp_bias);
      add_linear(at + "mlp.up_proj", kInner, kWidth, shape.mlp_bias);
    }
    add_linear(at + "mlp.down_proj", kWidth, kInner, shape.mlp_bias);
    for (const absl::string_view norm : shape.norms) Add(model, absl::StrCat(at, norm, ".weight"), {kWidth});
  }
  Add(model, "model.norm.weight", {kWidth});
  if (!shape.tied) Add(model, "lm_head.weight", {kVocabulary, kWidth});
  return model;
}

FamilyModel SmallLlama() {
  Json config = CommonConfig("llama", "LlamaForCausalLM");
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  return SmallLlamaLike(std::move(config), {.qkv_bias = true, .out_bias = true, .mlp_bias = true});
}

FamilyModel SmallMistral() {
  Json config = CommonConfig("mistral", "MistralForCausalLM");
  config["sliding_window"] = kWindow;
  return SmallLlamaLike(std::move(config), {});
}

FamilyModel SmallQwen2() {
  Json config = CommonConfig("qwen2", "Qwen2ForCausalLM");
  config["use_sliding_window"] = true;
  config["sliding_window"] = kWindow;
  config["max_window_layers"] = 1;
  return SmallLlamaLike(std::move(config), {.qkv_bias = true});
}

FamilyModel SmallQwen3() {
  Json config = CommonConfig("qwen3", "Qwen3ForCausalLM");
  config["attention_bias"] = true;
  return SmallLlamaLike(std::move(config),
                        {.qkv_bias = true, .out_bias = true, .q_norm = kHead, .k_norm = kHead});
}

FamilyModel SmallSmollm3() {
  Json config = CommonConfig("smollm3", "SmolLM3ForCausalLM");
  config["mlp_bias"] = true;
  config["no_rope_layers"] = {1, 0};
  return SmallLlamaLike(std::move(config), {.mlp_bias = true});
}

FamilyModel SmallOlmo2() {
  Json config = CommonConfig("olmo2", "Olmo2ForCausalLM");
  return SmallLlamaLike(std::move(config),
                        {.q_norm = kWidth,
                         .k_norm = kKvWidth,
                         .norms = {"post_attention_layernorm", "post_feedforward_layernorm"}});
}

FamilyModel SmallPhi3() {
  Json config = CommonConfig("phi3", "Phi3ForCausalLM");
  config["sliding_window"] = kWindow;
  // 4 of the 6 numbers of a head turn.
  config["partial_rotary_factor"] = 0.7;
  return SmallLlamaLike(std::move(config), {.fused = true});
}

FamilyModel SmallGemma(absl::string_view model_type, absl::string_view causal_class, int64_t head_norms) {
  Json config = CommonConfig(model_type, causal_class);
  config["tie_word_embeddings"] = true;
  config["query_pre_attn_scalar"] = kHead;
  config["sliding_window"] = kWindow;
  config["layer_types"] = {"sliding_attention", "full_attention"};
  return SmallLlamaLike(std::move(config),
                        {.tied = true,
                         .q_norm = head_norms,
                         .k_norm = head_norms,
                         .norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                                   "post_feedforward_layernorm"}});
}

FamilyModel SmallGemma2() { return SmallGemma("gemma2", "Gemma2ForCausalLM", 0); }

FamilyModel SmallGemma3() { return SmallGemma("gemma3_text", "Gemma3ForCausalLM", kHead); }

FamilyModel SmallGptNeox() {
  FamilyModel model;
  model.config = CommonConfig("gpt_neox", "GPTNeoXForCausalLM");
  for (const char* const absent : {"head_dim", "num_key_value_heads", "rms_norm_eps"})
    model.config.erase(absent);
  model.config["rotary_pct"] = 0.7;
  const auto add_pair = [&](const std::string& name, std::vector<int64_t> weight, int64_t bias) {
    Add(model, name + ".weight", std::move(weight));
    Add(model, name + ".bias", {bias});
  };
  Add(model, "gpt_neox.embed_in.weight", {kVocabulary, kWidth});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string at = absl::StrCat("gpt_neox.layers.", layer, ".");
    add_pair(at + "input_layernorm", {kWidth}, kWidth);
    add_pair(at + "post_attention_layernorm", {kWidth}, kWidth);
    add_pair(at + "attention.query_key_value", {3 * kWidth, kWidth}, 3 * kWidth);
    add_pair(at + "attention.dense", {kWidth, kWidth}, kWidth);
    add_pair(at + "mlp.dense_h_to_4h", {kInner, kWidth}, kInner);
    add_pair(at + "mlp.dense_4h_to_h", {kWidth, kInner}, kWidth);
  }
  add_pair("gpt_neox.final_layer_norm", {kWidth}, kWidth);
  Add(model, "embed_out.weight", {kVocabulary, kWidth});
  return model;
}

FamilyModel SmallGpt2() {
  FamilyModel model;
  model.config = {{"model_type", "gpt2"},      {"architectures", {"GPT2LMHeadModel"}},
                  {"vocab_size", kVocabulary}, {"n_embd", kWidth},
                  {"n_layer", kLayers},        {"n_head", 4},
                  {"n_positions", kContext},   {"n_inner", kInner},
                  {"eos_token_id", {2, 3}}};
  const auto add_pair = [&](const std::string& name, std::vector<int64_t> weight, int64_t bias) {
    Add(model, name + ".weight", std::move(weight));
    Add(model, name + ".bias", {bias});
  };
  Add(model, "transformer.wte.weight", {kVocabulary, kWidth});
  Add(model, "transformer.wpe.weight", {kContext, kWidth});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string at = absl::StrCat("transformer.h.", layer, ".");
    add_pair(at + "ln_1", {kWidth}, kWidth);
    add_pair(at + "attn.c_attn", {kWidth, 3 * kWidth}, 3 * kWidth);
    add_pair(at + "attn.c_proj", {kWidth, kWidth}, kWidth);
    add_pair(at + "ln_2", {kWidth}, kWidth);
    add_pair(at + "mlp.c_fc", {kWidth, kInner}, kInner);
    add_pair(at + "mlp.c_proj", {kInner, kWidth}, kWidth);
  }
  add_pair("transformer.ln_f", {kWidth}, kWidth);
  return model;
}

// IEEE half and bfloat16 of values far from every edge of their ranges.
uint16_t HalfBits(float value, bool bfloat) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (bfloat) return static_cast<uint16_t>(bits >> 16);
  const int exponent = static_cast<int>((bits >> 23) & 255) - 127 + 15;
  if (exponent <= 0) return 0;
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | (exponent << 10) | ((bits >> 13) & 1023));
}

// Norms about 1, biases about 0, matrices such that a layer keeps the size of what goes through it.
float ValueAt(const storage::TensorSpec& spec, float uniform) {
  const bool is_weight = absl::EndsWith(spec.name, ".weight");
  if (spec.shape.size() < 2) return (is_weight ? 1.0f : 0.0f) + 0.3f * uniform;
  return uniform * std::sqrt(3.0f / static_cast<float>(kWidth));
}

}  // namespace

storage::TensorSpec& FamilyModel::Tensor(absl::string_view name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& spec) { return spec.name == name; });
  VN_CHECK(found != tensors.end());
  return *found;
}

void FamilyModel::Remove(absl::string_view name) {
  tensors.erase(tensors.begin() + (&Tensor(name) - tensors.data()));
}

absl::StatusOr<FamilyModel> SmallModelOf(absl::string_view model_type) {
  constexpr std::pair<absl::string_view, FamilyModel (*)()> kModels[] = {
      {"gemma2", SmallGemma2},    {"gemma3_text", SmallGemma3}, {"gpt2", SmallGpt2},
      {"gpt_neox", SmallGptNeox}, {"llama", SmallLlama},        {"mistral", SmallMistral},
      {"olmo2", SmallOlmo2},      {"phi3", SmallPhi3},          {"qwen2", SmallQwen2},
      {"qwen3", SmallQwen3},      {"smollm3", SmallSmollm3},
  };
  for (const auto& [name, make] : kModels) {
    if (name == model_type) return make();
  }
  return absl::NotFoundError(
      absl::StrCat("tests/testing/family_model.cc has no small model of family ", model_type));
}

absl::StatusOr<std::string> RandomSafetensors(const std::vector<storage::TensorSpec>& tensors,
                                              uint64_t seed) {
  struct StringSink final : storage::ByteSink {
    absl::Status Append(absl::string_view bytes) override {
      text.append(bytes.data(), bytes.size());
      return absl::OkStatus();
    }
    std::string text;
  } sink;
  VN_ASSIGN_OR_RETURN(storage::SafetensorsWriter writer, storage::SafetensorsWriter::Create(sink, tensors));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const storage::TensorSpec& spec = tensors[i];
    const PhiloxKey key = PhiloxKeyOf(DeriveSeed(seed, i));
    const int64_t width = storage::DtypeBytes(spec.dtype);
    std::string bytes(spec.NumBytes(), '\0');
    for (int64_t n = 0; n < spec.NumElements(); ++n) {
      const float uniform = 2.0f * UnitFloat(Philox4x32({static_cast<uint32_t>(n), 0, 0, 0}, key)[0]) - 1.0f;
      const float value = ValueAt(spec, uniform);
      if (spec.dtype == storage::Dtype::kF32) std::memcpy(bytes.data() + n * width, &value, sizeof(value));
      if (spec.dtype == storage::Dtype::kBF16 || spec.dtype == storage::Dtype::kF16) {
        const uint16_t half = HalfBits(value, spec.dtype == storage::Dtype::kBF16);
        std::memcpy(bytes.data() + n * width, &half, sizeof(half));
      }
    }
    VN_RETURN_IF_ERROR(writer.Append(bytes));
  }
  VN_RETURN_IF_ERROR(writer.Finish());
  return std::move(sink.text);
}

absl::Status WriteFamilyModel(const FamilyModel& model, const std::string& folder, uint64_t seed) {
  VN_RETURN_IF_ERROR(MakeDirs(folder));
  VN_RETURN_IF_ERROR(WriteFileAtomic(folder + "/config.json", model.config.dump()));
  VN_ASSIGN_OR_RETURN(const std::string bytes, RandomSafetensors(model.tensors, seed));
  return WriteFileAtomic(folder + "/model.safetensors", bytes);
}

}  // namespace vernier::testing
