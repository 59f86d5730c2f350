#include "worker/stages/export/gguf_facts.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "storage/bounded_json.h"

namespace vernier::stages {

absl::StatusOr<storage::GgufDescription> DescribeForGguf(const BaseModel& base) {
  const std::string path = absl::StrCat(base.folder.path(), "/config.json");
  VN_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  VN_ASSIGN_OR_RETURN(nlohmann::json config, storage::ParseJson(text, path));
  const models::ModelConfig& model = base.model->config();
  storage::GgufModelFacts facts;
  facts.model_type = model.model_type;
  facts.sizes = {.num_layers = model.num_layers,
                 .width = model.hidden_size,
                 .hidden = model.intermediate_size,
                 .num_heads = model.num_heads,
                 .num_kv_heads = model.num_kv_heads,
                 .head_size = model.head_dim,
                 .rotated = model.rotated,
                 .vocab_size = model.vocab_size,
                 .context_length = model.max_positions};
  // Of scaled positions the files keep the unscaled count.
  const auto positions = config.find("max_position_embeddings");
  if (positions != config.end() && positions->is_number_integer()) {
    facts.sizes.context_length = positions->get<int64_t>();
  }
  facts.norm_epsilon = model.norm_epsilon;
  facts.rope_theta = model.rope_theta;
  facts.local_rope_theta = model.local_rope_theta;
  facts.attention_cap = model.attention_cap;
  facts.logit_cap = model.logit_cap;
  for (const int64_t window : model.windows) {
    facts.layer_slides.push_back(window > 0);
    facts.window = std::max(facts.window, window);
  }
  facts.tied_head = model.tied_head;
  facts.config = std::move(config);
  auto names = std::make_shared<std::set<std::string, std::less<>>>();
  for (const models::Parameter& parameter : base.model->parameters()) names->insert(parameter.name);
  facts.has_parameter = [names](absl::string_view name) { return names->contains(std::string(name)); };
  return storage::DescribeGguf(facts);
}

}  // namespace vernier::stages
