#include "tests/testing/family_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

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
constexpr int64_t kKvWidth = 12;
constexpr int64_t kInner = 40;
constexpr int64_t kVocabulary = 48;
constexpr int64_t kContext = 32;
constexpr int kLayers = 2;

void Add(FamilyModel& model, std::string name, std::vector<int64_t> shape) {
  model.tensors.push_back({.name = std::move(name), .shape = std::move(shape)});
}

FamilyModel SmallLlama() {
  FamilyModel model;
  model.config = {{"model_type", "llama"},
                  {"architectures", {"LlamaForCausalLM"}},
                  {"vocab_size", kVocabulary},
                  {"hidden_size", kWidth},
                  {"intermediate_size", kInner},
                  {"num_hidden_layers", kLayers},
                  {"num_attention_heads", 4},
                  {"num_key_value_heads", 2},
                  {"max_position_embeddings", kContext},
                  {"rms_norm_eps", 1e-5},
                  {"attention_bias", true},
                  {"mlp_bias", true},
                  {"tie_word_embeddings", false},
                  {"eos_token_id", 2}};
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in) {
    Add(model, name + ".weight", {out, in});
    Add(model, name + ".bias", {out});
  };
  Add(model, "model.embed_tokens.weight", {kVocabulary, kWidth});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string at = absl::StrCat("model.layers.", layer, ".");
    add_linear(at + "self_attn.q_proj", kWidth, kWidth);
    add_linear(at + "self_attn.k_proj", kKvWidth, kWidth);
    add_linear(at + "self_attn.v_proj", kKvWidth, kWidth);
    add_linear(at + "self_attn.o_proj", kWidth, kWidth);
    add_linear(at + "mlp.gate_proj", kInner, kWidth);
    add_linear(at + "mlp.up_proj", kInner, kWidth);
    add_linear(at + "mlp.down_proj", kWidth, kInner);
    Add(model, at + "input_layernorm.weight", {kWidth});
    Add(model, at + "post_attention_layernorm.weight", {kWidth});
  }
  Add(model, "model.norm.weight", {kWidth});
  Add(model, "lm_head.weight", {kVocabulary, kWidth});
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
  if (model_type == "llama") return SmallLlama();
  if (model_type == "gpt2") return SmallGpt2();
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
