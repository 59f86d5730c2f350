#include "server/validate/architectures.h"

namespace vernier::server {
namespace {

struct Family {
  absl::string_view architecture;
  std::vector<std::string> linear_layers;
};

const std::vector<Family>& Families() {
  static const auto& llama = *new std::vector<std::string>{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                           "gate_proj", "up_proj", "down_proj"};
  static const auto& families = *new std::vector<Family>{
      {"gemma2", llama},
      {"gemma3_text", llama},
      {"gpt2", {"c_attn", "c_proj", "c_fc"}},
      {"gpt_neox", {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}},
      {"llama", llama},
      {"mistral", llama},
      {"olmo2", llama},
      {"phi3", {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}},
      {"qwen2", llama},
      {"qwen3", llama},
      {"smollm3", llama},
  };
  return families;
}

}  // namespace

std::vector<std::string> LinearLayersOf(absl::string_view architecture) {
  for (const Family& family : Families()) {
    if (family.architecture == architecture) return family.linear_layers;
  }
  return {};
}

}  // namespace vernier::server
