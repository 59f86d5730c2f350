// Every tensor of a file that we write is one that llama.cpp creates for that architecture: it refuses files
// with others ("wrong number of tensors"). The names are those of its loader, by architecture.
#include "storage/gguf_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace vernier::storage {
namespace {

using testing::HasSubstr;

// Of a block without "blk.N.", of the model with their whole names.
const std::set<std::string> kOfModels = {"token_embd.weight", "output_norm.weight"};
const std::set<std::string> kOfBlocks = {"attn_norm.weight", "attn_output.weight", "ffn_norm.weight",
                                         "ffn_up.weight", "ffn_down.weight"};
const std::set<std::string> kSplitAttention = {"attn_q.weight", "attn_k.weight", "attn_v.weight"};

std::set<std::string> Join(std::initializer_list<std::set<std::string>> sets) {
  std::set<std::string> all;
  for (const std::set<std::string>& set : sets) all.insert(set.begin(), set.end());
  return all;
}

const std::map<std::string, std::set<std::string>>& NamesByArchitecture() {
  static const auto* const names = [] {
    const std::set<std::string> gated = Join({kOfModels, kOfBlocks, kSplitAttention, {"ffn_gate.weight"}});
    const std::set<std::string> head = {"output.weight"};
    const std::set<std::string> qkv_biases = {"attn_q.bias", "attn_k.bias", "attn_v.bias"};
    const std::set<std::string> head_norms = {"attn_q_norm.weight", "attn_k_norm.weight"};
    const std::set<std::string> post_norms = {"post_attention_norm.weight", "post_ffw_norm.weight"};
    return new std::map<std::string, std::set<std::string>>{
        {"llama", Join({gated,
                        head,
                        qkv_biases,
                        {"attn_output.bias", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"}})},
        {"qwen2", Join({gated, head, qkv_biases})},
        {"qwen3", Join({gated, head, head_norms})},
        {"gemma2", Join({gated, post_norms})},
        {"gemma3", Join({gated, head, post_norms, head_norms})},
        {"phi3", Join({kOfModels, kOfBlocks, head, {"attn_qkv.weight"}})},
        {"gpt2",
         Join({kOfModels,
               kOfBlocks,
               head,
               {"position_embd.weight", "output_norm.bias", "attn_norm.bias", "attn_qkv.weight",
                "attn_qkv.bias", "attn_output.bias", "ffn_norm.bias", "ffn_up.bias", "ffn_down.bias"}})},
    };
  }();
  return *names;
}

// Two layers, with what `config` and `parameters` ask for.
GgufModelFacts FactsOf(const std::string& model_type, bool tied, const std::string& bias_of = "none") {
  GgufModelFacts facts;
  facts.model_type = model_type;
  facts.config = nlohmann::json::object();
  facts.sizes = {.num_layers = 2,
                 .width = 24,
                 .hidden = 40,
                 .num_heads = 4,
                 .num_kv_heads = 2,
                 .head_size = 6,
                 .rotated = 6,
                 .vocab_size = 48,
                 .context_length = 32};
  facts.norm_epsilon = 1e-5;
  facts.rope_theta = facts.local_rope_theta = 10000;
  facts.layer_slides.assign(2, false);
  if (absl::StartsWith(model_type, "gemma")) {
    facts.config["query_pre_attn_scalar"] = 6;
    facts.window = 6;
    facts.layer_slides = {true, model_type != "gemma2"};
    if (model_type == "gemma2") facts.attention_cap = facts.logit_cap = 30;
  }
  facts.tied_head = tied;
  facts.has_parameter = [bias_of](absl::string_view name) {
    return absl::EndsWith(name, ".bias") && absl::StrContains(name, bias_of);
  };
  return facts;
}

// "" when a file of it has only tensors that readers create.
std::string StrangeTensors(const GgufModelFacts& facts) {
  const auto made = DescribeGguf(facts);
  if (!made.ok()) return absl::StrCat("refused: ", made.status().message());
  const auto known = NamesByArchitecture().find(made->architecture);
  if (known == NamesByArchitecture().end()) return absl::StrCat("no table for ", made->architecture);
  std::string strange;
  for (const GgufRule& rule : made->rules) {
    absl::string_view name = rule.gguf;
    if (absl::ConsumePrefix(&name, "blk.")) name.remove_prefix(name.find('.') + 1);
    if (!known->second.contains(std::string(name))) absl::StrAppend(&strange, rule.gguf, " ");
  }
  return strange;
}

TEST(GgufTensorNamesTest, FilesHoldOnlyTensorsThatReadersCreate) {
  // Biases that configs of the family can ask for.
  const std::multimap<std::string, std::string> biases = {
      {"llama", ".self_attn."}, {"llama", ".mlp."},        {"qwen2", "q_proj"},
      {"qwen3", ".self_attn."}, {"gemma2", ".self_attn."}, {"gemma3_text", ".self_attn."}};
  for (const std::string& model_type : KnownGgufModelTypes()) {
    EXPECT_EQ(StrangeTensors(FactsOf(model_type, /*tied=*/true)), "") << model_type;
    std::vector<GgufModelFacts> others = {FactsOf(model_type, /*tied=*/false)};
    const auto [begin, end] = biases.equal_range(model_type);
    for (auto it = begin; it != end; ++it) others.push_back(FactsOf(model_type, /*tied=*/true, it->second));
    for (const GgufModelFacts& facts : others) {
      // What files cannot say is refused.
      const std::string strange = StrangeTensors(facts);
      EXPECT_TRUE(strange.empty() || absl::StartsWith(strange, "refused: ")) << model_type << ": " << strange;
    }
  }
}

TEST(GgufTensorNamesTest, WhatReadersHaveNoTensorForIsRefused) {
  for (const char* const biases : {"o_proj", "q_proj"}) {
    EXPECT_THAT(StrangeTensors(FactsOf("qwen3", /*tied=*/true, biases)),
                HasSubstr("attention_bias = true cannot be said in GGUF for qwen3 models"));
  }
  EXPECT_THAT(StrangeTensors(FactsOf("gemma2", /*tied=*/false)),
              HasSubstr("tie_word_embeddings = false cannot be said in GGUF for gemma2 models"));
  EXPECT_EQ(StrangeTensors(FactsOf("gemma3_text", /*tied=*/false)), "");
}

}  // namespace
}  // namespace vernier::storage
