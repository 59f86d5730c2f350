#include "server/validate/architectures.h"

namespace vernier::server {
namespace {

struct Family {
  absl::string_view architecture;
  std::vector<std::string> linear_layers;
};

const std::vector<Family>& Families() {
  static const auto& families = *new std::vector<Family>{
      {"llama", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}},
      {"gpt2", {"c_attn", "c_proj", "c_fc"}},
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
