#include "storage/gguf_description.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_llama_like.h"
#include "storage/gguf_rope.h"
#include "storage/model_family.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

// A field that is there and not null.
const Json* Find(const Json& object, absl::string_view field) {
  const auto found = object.find(std::string(field));
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

double NumberOr(const Json& object, absl::string_view field, double fallback) {
  const Json* value = Find(object, field);
  return value != nullptr && value->is_number() ? value->get<double>() : fallback;
}

// config.json's scaling of rotary positions, of the layers that see all tokens; null: none.
Json ScalingOf(const Json& config) {
  const Json* rope = Find(config, "rope_scaling");
  if (rope == nullptr) rope = Find(config, "rope_parameters");
  if (rope == nullptr || !rope->is_object()) return Json();
  if (const Json* full = Find(*rope, "full_attention"); full != nullptr && full->is_object()) rope = full;
  const Json* type = Find(*rope, "rope_type");
  if (type == nullptr) type = Find(*rope, "type");
  if (type == nullptr || *type == "default") return Json();
  Json scaling = *rope;
  scaling["rope_type"] = *type;
  // Beside the object it counts before the one within.
  if (const Json* original = Find(config, "original_max_position_embeddings"); original != nullptr) {
    scaling["original_max_position_embeddings"] = *original;
  }
  return scaling;
}

}  // namespace

GgufDescriber::GgufDescriber(const GgufModelFacts& facts, absl::string_view architecture) : facts_(facts) {
  made_.architecture = std::string(architecture);
}

absl::Status GgufDescriber::Bad(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat("gguf: config.json of this ", facts_.model_type,
                                                 " model: ", what, "; export it as merged"));
}

void GgufDescriber::Add(absl::string_view field, GgufEntryValue value) {
  made_.metadata.push_back({absl::StrCat(made_.architecture, ".", field), std::move(value)});
}

void GgufDescriber::AddSizes() {
  const LlamaLikeSizes& s = facts_.sizes;
  Add("block_count", static_cast<uint32_t>(s.num_layers));
  Add("context_length", static_cast<uint32_t>(s.context_length));
  Add("embedding_length", static_cast<uint32_t>(s.width));
  Add("feed_forward_length", static_cast<uint32_t>(s.hidden));
  Add("attention.head_count", static_cast<uint32_t>(s.num_heads));
}

absl::Status GgufDescriber::AddRope() {
  Add("rope.dimension_count", static_cast<uint32_t>(facts_.sizes.rotated));
  Add("rope.freq_base", static_cast<float>(facts_.rope_theta));
  const Json scaling = ScalingOf(facts_.config);
  if (const Json* rope = Find(facts_.config, "rope_parameters"); rope != nullptr && rope->is_object()) {
    const Json* local = Find(*rope, "sliding_attention");
    const Json* type = local != nullptr && local->is_object() ? Find(*local, "rope_type") : nullptr;
    if (type != nullptr && *type != "default")
      return Bad("rope_parameters.sliding_attention scales positions");
  }
  return scaling.is_null() ? absl::OkStatus() : AddScaling(scaling);
}

absl::Status GgufDescriber::AddScaling(const Json& scaling) {
  const std::string type = scaling["rope_type"].is_string() ? scaling["rope_type"].get<std::string>() : "";
  if (type == "llama3") return AddLlama3Scaling(scaling);
  if (type != "linear" && type != "yarn") {
    return Bad(absl::StrCat("rotary positions scaled as \"", Excerpt(type),
                            "\" are not written; written are linear, yarn and llama3"));
  }
  Add("rope.scaling.type", type);
  Add("rope.scaling.factor", static_cast<float>(NumberOr(scaling, "factor", 1.0)));
  if (type == "linear") return absl::OkStatus();
  struct Default {
    absl::string_view field;
    double value;
  };
  for (const Default& field : {Default{"beta_fast", 32.0}, Default{"beta_slow", 1.0}}) {
    if (NumberOr(scaling, field.field, field.value) == field.value) continue;
    return Bad(absl::StrCat("rope_scaling.", field.field, " is not the usual ", field.value));
  }
  for (const absl::string_view field : {"attention_factor", "mscale", "mscale_all_dim", "truncate"}) {
    if (Find(scaling, field) != nullptr)
      return Bad(absl::StrCat("rope_scaling.", field, " cannot be said in GGUF"));
  }
  Add("rope.scaling.original_context_length",
      static_cast<uint32_t>(NumberOr(scaling, "original_max_position_embeddings",
                                     static_cast<double>(facts_.sizes.context_length))));
  return absl::OkStatus();
}

absl::Status GgufDescriber::AddLlama3Scaling(const Json& scaling) {
  const double factor = NumberOr(scaling, "factor", 0.0);
  const auto known = std::find(std::begin(kLlama3Factors), std::end(kLlama3Factors), factor);
  if (known == std::end(kLlama3Factors) || NumberOr(scaling, "low_freq_factor", 0.0) != kLlama3Low ||
      NumberOr(scaling, "high_freq_factor", 0.0) != kLlama3High ||
      NumberOr(scaling, "original_max_position_embeddings", 0.0) != kLlama3Context) {
    return Bad(absl::StrCat("rope_scaling of type llama3 is written with the factors ",
                            absl::StrJoin(kLlama3Factors, " and "), ", low_freq_factor ", kLlama3Low,
                            ", high_freq_factor ", kLlama3High, " and a context of ", kLlama3Context,
                            " alone"));
  }
  std::vector<float> divisors;
  for (int64_t i = 0; i < facts_.sizes.rotated / 2; ++i) {
    divisors.push_back(static_cast<float>(Llama3Divisor(factor, facts_.rope_theta, i, facts_.sizes.rotated)));
  }
  made_.derived.push_back({std::string(kRopeFactors), std::move(divisors)});
  return absl::OkStatus();
}

absl::StatusOr<double> GgufDescriber::Number(absl::string_view field, double fallback) const {
  const Json* value = Find(facts_.config, field);
  if (value == nullptr) return fallback;
  if (!value->is_number()) return Bad(absl::StrCat(field, " is not a number"));
  return value->get<double>();
}

absl::Status GgufDescriber::Only(absl::string_view field, const std::vector<absl::string_view>& texts) const {
  const Json* value = Find(facts_.config, field);
  if (value == nullptr) return absl::OkStatus();
  for (const absl::string_view text : texts) {
    if (*value == std::string(text)) return absl::OkStatus();
  }
  return Bad(absl::StrCat(field, " = ", Excerpt(value->dump()), " cannot be said in GGUF; such files mean ",
                          texts.front()));
}

absl::Status GgufDescriber::OnlyFlag(absl::string_view field, bool fallback, bool wanted) const {
  const Json* value = Find(facts_.config, field);
  if ((value == nullptr ? fallback : *value == true) == wanted) return absl::OkStatus();
  return Bad(absl::StrCat(field, " = ", wanted ? "false" : "true", " cannot be said in GGUF"));
}

GgufDescription GgufDescriber::Finish(std::vector<GgufRule> rules) {
  Add("vocab_size", static_cast<uint32_t>(facts_.sizes.vocab_size));
  if (!facts_.tied_head) rules.push_back(HeadRule(facts_.sizes.vocab_size, facts_.sizes.width));
  made_.rules = std::move(rules);
  return std::move(made_);
}

absl::StatusOr<GgufDescription> DescribeLlamaLike(const GgufModelFacts& facts, const LlamaLike& family,
                                                  GgufDescriber& describer) {
  const LlamaLikeSizes& s = facts.sizes;
  describer.AddSizes();
  describer.Add("attention.head_count_kv", static_cast<uint32_t>(s.num_kv_heads));
  describer.Add("attention.key_length", static_cast<uint32_t>(s.head_size));
  describer.Add("attention.value_length", static_cast<uint32_t>(s.head_size));
  describer.Add("attention.layer_norm_rms_epsilon", static_cast<float>(facts.norm_epsilon));
  VN_RETURN_IF_ERROR(describer.AddRope());
  const LlamaLikeBiases biases = {.attention = facts.has_parameter("model.layers.0.self_attn.q_proj.bias"),
                                  .out = facts.has_parameter("model.layers.0.self_attn.o_proj.bias"),
                                  .mlp = facts.has_parameter("model.layers.0.mlp.up_proj.bias")};
  return describer.Finish(LlamaLikeRules(family, s, biases));
}

std::vector<std::string> KnownGgufModelTypes() {
  std::vector<std::string> names;
  for (const ModelFamily& family : ModelFamilies()) {
    if (family.describe_gguf != nullptr) names.emplace_back(family.name);
  }
  return names;
}

absl::StatusOr<GgufDescription> DescribeGguf(const GgufModelFacts& facts) {
  for (const ModelFamily& family : ModelFamilies()) {
    if (family.name == facts.model_type && family.describe_gguf != nullptr)
      return family.describe_gguf(facts);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "gguf: files of ", Excerpt(facts.model_type), " models are not written; written are those of ",
      absl::StrJoin(KnownGgufModelTypes(), ", "), "; export it as merged"));
}

}  // namespace vernier::storage
