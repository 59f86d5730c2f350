// Tiny models as GGUF files, whose values tell where they came from.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/gguf_builder.h"

namespace vernier::storage {

// Values base, base + 1, ... of the given shape.
inline std::vector<float> Counting(const std::vector<int64_t>& shape, float base) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = base + static_cast<float>(i);
  return values;
}

struct TinyGguf {
  // Tensors by their GGUF name; values are Counting(shape, 1000 * position in this map).
  std::map<std::string, std::vector<int64_t>> tensors;
  GgufBuilder metadata;

  std::string Build() const {
    GgufBuilder b = metadata;
    float base = 0;
    for (const auto& [name, shape] : tensors) {
      b.Floats(name, shape, Counting(shape, base));
      base += 1000;
    }
    return b.Build();
  }
  float BaseOf(const std::string& name) const {
    return 1000 * static_cast<float>(std::distance(tensors.begin(), tensors.find(name)));
  }
};

inline void AddTinyTokenizer(GgufBuilder& b) {
  b.String("tokenizer.ggml.model", "gpt2")
      .Strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a", "<pad>"});
  b.Int("tokenizer.ggml.bos_token_id", 1)
      .Int("tokenizer.ggml.eos_token_id", 2)
      .Int("tokenizer.ggml.unknown_token_id", 0);
  b.Int("tokenizer.ggml.padding_token_id", 4).Bool("tokenizer.ggml.add_bos_token", true);
  b.String("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}");
}

// Width 8, 2 heads of 4, 1 head of keys and values, hidden 6, vocabulary 5, context 16; the head is tied. An
// architecture with llama's names, without what it has beside them.
inline TinyGguf TinyLlama(int num_layers = 2, const std::string& architecture = "llama") {
  TinyGguf tiny;
  tiny.metadata.String("general.architecture", architecture).String("general.type", "model");
  const std::string key = architecture + ".";
  tiny.metadata.Int(key + "block_count", num_layers)
      .Int(key + "context_length", 16)
      .Int(key + "embedding_length", 8);
  tiny.metadata.Int(key + "feed_forward_length", 6).Int(key + "attention.head_count", 2);
  tiny.metadata.Int(key + "attention.head_count_kv", 1).Float(key + "rope.freq_base", 5000.0F);
  tiny.metadata.Float(key + "attention.layer_norm_rms_epsilon", 0.5F).Int(key + "rope.dimension_count", 4);
  tiny.metadata.Int(key + "vocab_size", 5);
  AddTinyTokenizer(tiny.metadata);
  tiny.tensors = {{"token_embd.weight", {5, 8}}, {"output_norm.weight", {8}}};
  for (int i = 0; i < num_layers; ++i) {
    const std::string blk = absl::StrCat("blk.", i, ".");
    tiny.tensors[blk + "attn_q.weight"] = {8, 8};
    tiny.tensors[blk + "attn_k.weight"] = {4, 8};
    tiny.tensors[blk + "attn_v.weight"] = {4, 8};
    tiny.tensors[blk + "attn_output.weight"] = {8, 8};
    tiny.tensors[blk + "ffn_gate.weight"] = {6, 8};
    tiny.tensors[blk + "ffn_up.weight"] = {6, 8};
    tiny.tensors[blk + "ffn_down.weight"] = {8, 6};
    tiny.tensors[blk + "attn_norm.weight"] = {8};
    tiny.tensors[blk + "ffn_norm.weight"] = {8};
  }
  return tiny;
}

// Width 4, 2 heads, hidden 6, vocabulary 5, context 3.
inline TinyGguf TinyGpt2() {
  TinyGguf tiny;
  tiny.metadata.String("general.architecture", "gpt2")
      .Int("gpt2.block_count", 1)
      .Int("gpt2.context_length", 3);
  tiny.metadata.Int("gpt2.embedding_length", 4)
      .Int("gpt2.feed_forward_length", 6)
      .Int("gpt2.attention.head_count", 2);
  tiny.metadata.Float("gpt2.attention.layer_norm_epsilon", 0.25F);
  AddTinyTokenizer(tiny.metadata);
  tiny.tensors = {{"token_embd.weight", {5, 4}},        {"position_embd.weight", {3, 4}},
                  {"output_norm.weight", {4}},          {"output_norm.bias", {4}},
                  {"blk.0.attn_qkv.weight", {12, 4}},   {"blk.0.attn_qkv.bias", {12}},
                  {"blk.0.attn_output.weight", {4, 4}}, {"blk.0.attn_output.bias", {4}},
                  {"blk.0.ffn_up.weight", {6, 4}},      {"blk.0.ffn_up.bias", {6}},
                  {"blk.0.ffn_down.weight", {4, 6}},    {"blk.0.ffn_down.bias", {4}},
                  {"blk.0.attn_norm.weight", {4}},      {"blk.0.attn_norm.bias", {4}},
                  {"blk.0.ffn_norm.weight", {4}},       {"blk.0.ffn_norm.bias", {4}}};
  return tiny;
}

}  // namespace vernier::storage
