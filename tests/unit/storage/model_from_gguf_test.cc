// GGUF files become Hugging Face models: names, order of rows, config, special tokens, and every refusal.
#include "storage/model_from_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "storage/safetensors.h"
#include "tests/unit/storage/tiny_gguf.h"

namespace vernier::storage {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

absl::StatusOr<std::string> Tokenizer(const Gguf& gguf) {
  return absl::StrCat("{\"tokens\":", gguf.GetStrings("tokenizer.ggml.tokens")->size(), "}");
}

class StringSink final : public ByteSink {
 public:
  absl::Status Append(absl::string_view more) override {
    absl::StrAppend(&bytes, more);
    return absl::OkStatus();
  }
  std::string bytes;
};

// A draft with its files written out. Not movable: the draft refers to the bytes.
struct Written {
  explicit Written(std::string file) : gguf_bytes(std::move(file)) {
    auto gguf = Gguf::Parse(gguf_bytes, "x.gguf");
    EXPECT_TRUE(gguf.ok()) << gguf.status();
    auto made = DraftFromGguf(std::make_shared<const Gguf>(*std::move(gguf)), Tokenizer);
    EXPECT_TRUE(made.ok()) << made.status();
    draft = *std::move(made);
    for (const ModelFile& part : draft.files) {
      StringSink sink, again;
      EXPECT_TRUE(part.write(sink).ok());
      EXPECT_TRUE(part.write(again).ok());
      EXPECT_EQ(sink.bytes, again.bytes) << part.name << " differs when it is written again";
      files[part.name] = sink.bytes;
    }
    auto parsed = SafetensorsFile::Parse(files["model.safetensors"], "model.safetensors");
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    weights.emplace(*std::move(parsed));
  }
  std::vector<float> Values(absl::string_view name) const {
    const auto tensor = weights->Find(name);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    std::vector<float> values(tensor->NumElements());
    std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
    return values;
  }
  Json Parsed(const std::string& name) const { return Json::parse(files.at(name)); }

  std::string gguf_bytes;
  ModelDraft draft;
  std::map<std::string, std::string> files;
  std::optional<SafetensorsFile> weights;
};

absl::Status Refusal(const std::string& bytes) {
  auto gguf = Gguf::Parse(bytes, "x.gguf");
  EXPECT_TRUE(gguf.ok()) << gguf.status();
  return DraftFromGguf(std::make_shared<const Gguf>(*std::move(gguf)), Tokenizer).status();
}

// Rows `order` of Counting({rows, width}, base).
std::vector<float> Rows(const std::vector<int>& order, int width, float base) {
  std::vector<float> values;
  for (const int row : order) {
    for (int i = 0; i < width; ++i) values.push_back(base + static_cast<float>(row * width + i));
  }
  return values;
}

TEST(GgufLlamaTest, EveryTensorGetsItsHuggingFaceNameAndShape) {
  const TinyGguf tiny = TinyLlama();
  const Written w(tiny.Build());
  EXPECT_EQ(w.weights->tensors().size(), tiny.tensors.size());
  const std::string layer = "model.layers.1.";
  const std::pair<std::string, std::string> same[] = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {layer + "self_attn.v_proj.weight", "blk.1.attn_v.weight"},
      {layer + "self_attn.o_proj.weight", "blk.1.attn_output.weight"},
      {layer + "mlp.gate_proj.weight", "blk.1.ffn_gate.weight"},
      {layer + "mlp.up_proj.weight", "blk.1.ffn_up.weight"},
      {layer + "mlp.down_proj.weight", "blk.1.ffn_down.weight"},
      {layer + "input_layernorm.weight", "blk.1.attn_norm.weight"},
      {layer + "post_attention_layernorm.weight", "blk.1.ffn_norm.weight"}};
  for (const auto& [ours, theirs] : same) {
    EXPECT_THAT(w.weights->Find(ours)->shape, ElementsAreArray(tiny.tensors.at(theirs))) << ours;
    EXPECT_EQ(w.weights->Find(ours)->dtype, Dtype::kF32);
    EXPECT_EQ(w.Values(ours), Counting(tiny.tensors.at(theirs), tiny.BaseOf(theirs))) << ours;
  }
  EXPECT_EQ(w.weights->metadata().at("format"), "pt");
}

TEST(GgufLlamaTest, RotaryRowsGoBackToHalves) {
  const TinyGguf tiny = TinyLlama();
  const Written w(tiny.Build());
  // A head of 4 rows: GGUF has (first half 0, second half 0, first half 1, second half 1).
  EXPECT_EQ(w.Values("model.layers.0.self_attn.q_proj.weight"),
            Rows({0, 2, 1, 3, 4, 6, 5, 7}, 8, tiny.BaseOf("blk.0.attn_q.weight")));
  EXPECT_EQ(w.Values("model.layers.1.self_attn.k_proj.weight"),
            Rows({0, 2, 1, 3}, 8, tiny.BaseOf("blk.1.attn_k.weight")));
}

TEST(GgufLlamaTest, BiasesFollowTheirRows) {
  TinyGguf tiny = TinyLlama(1);
  tiny.tensors["blk.0.attn_q.bias"] = {8};
  tiny.tensors["blk.0.attn_k.bias"] = {4};
  tiny.tensors["blk.0.attn_v.bias"] = {4};
  tiny.tensors["blk.0.attn_output.bias"] = {8};
  const Written w(tiny.Build());
  EXPECT_EQ(w.Values("model.layers.0.self_attn.q_proj.bias"),
            Rows({0, 2, 1, 3, 4, 6, 5, 7}, 1, tiny.BaseOf("blk.0.attn_q.bias")));
  EXPECT_EQ(w.Values("model.layers.0.self_attn.v_proj.bias"),
            Counting({4}, tiny.BaseOf("blk.0.attn_v.bias")));
  EXPECT_EQ(w.Parsed("config.json")["attention_bias"], true);
  EXPECT_EQ(w.Parsed("config.json")["mlp_bias"], false);
}

TEST(GgufLlamaTest, ConfigIsHuggingFaces) {
  const Written w(TinyLlama().Build());
  EXPECT_EQ(w.Parsed("config.json"), Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 8,
    "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4,
    "max_position_embeddings": 16, "rms_norm_eps": 0.5, "rope_theta": 5000.0, "attention_bias": false, "mlp_bias": false,
    "vocab_size": 5, "tie_word_embeddings": true, "torch_dtype": "float32",
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 4})"));
  EXPECT_EQ(w.Parsed("generation_config.json"),
            Json::parse(R"({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 4})"));
  EXPECT_EQ(w.Parsed("tokenizer_config.json"), Json::parse(R"({
    "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 16, "clean_up_tokenization_spaces": false,
    "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "add_bos_token": true,
    "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"})"));
  EXPECT_EQ(w.files.at("tokenizer.json"), "{\"tokens\":5}");
  EXPECT_EQ(w.draft.model.architecture, "llama");
  EXPECT_EQ(w.draft.model.context_length, 16);
  EXPECT_EQ(w.draft.model.vocab_size, 5);
  EXPECT_EQ(w.draft.model.num_parameters, 5 * 8 + 8 + 2 * (64 + 32 + 32 + 64 + 48 + 48 + 48 + 8 + 8));
  EXPECT_TRUE(w.draft.model.has_chat_template);
}

TEST(GgufLlamaTest, AHeadOfItsOwnIsKept) {
  TinyGguf tiny = TinyLlama();
  tiny.tensors["output.weight"] = {5, 8};
  const Written w(tiny.Build());
  EXPECT_EQ(w.Parsed("config.json")["tie_word_embeddings"], false);
  EXPECT_EQ(w.Values("lm_head.weight"), Counting({5, 8}, tiny.BaseOf("output.weight")));
}

TEST(GgufLlamaTest, AHeadThatIsTheEmbeddingOnceMoreIsTied) {
  GgufBuilder b = TinyLlama().metadata;
  for (const auto& [name, shape] : TinyLlama().tensors) b.Floats(name, shape, Counting(shape, 1));
  b.Floats("output.weight", {5, 8}, Counting({5, 8}, 1));
  const Written w(b.Build());
  EXPECT_EQ(w.Parsed("config.json")["tie_word_embeddings"], true);
  EXPECT_FALSE(w.weights->Find("lm_head.weight").ok());
}

TEST(GgufLlamaTest, SeveralEndTokensBecomeAList) {
  TinyGguf tiny = TinyLlama();
  tiny.metadata.Int("tokenizer.ggml.eot_token_id", 3).Int("tokenizer.ggml.eom_token_id", 2);
  const Written w(tiny.Build());
  EXPECT_EQ(w.Parsed("config.json")["eos_token_id"], Json::parse("[2, 3]"));
  EXPECT_EQ(w.Parsed("generation_config.json")["eos_token_id"], Json::parse("[2, 3]"));
}

TEST(GgufGpt2Test, LinearLayersAreTransposedIntoConv1d) {
  const TinyGguf tiny = TinyGpt2();
  const Written w(tiny.Build());
  EXPECT_EQ(w.weights->tensors().size(), tiny.tensors.size());
  const std::pair<std::string, std::string> linears[] = {{"attn.c_attn", "attn_qkv"},
                                                         {"attn.c_proj", "attn_output"},
                                                         {"mlp.c_fc", "ffn_up"},
                                                         {"mlp.c_proj", "ffn_down"}};
  for (const auto& [ours, theirs] : linears) {
    const std::string source = absl::StrCat("blk.0.", theirs, ".weight");
    const std::vector<int64_t>& shape = tiny.tensors.at(source);
    const auto target = w.weights->Find(absl::StrCat("transformer.h.0.", ours, ".weight"));
    EXPECT_THAT(target->shape, ElementsAre(shape[1], shape[0]));
    std::vector<float> want;
    for (int64_t i = 0; i < shape[1]; ++i) {
      for (int64_t o = 0; o < shape[0]; ++o)
        want.push_back(tiny.BaseOf(source) + static_cast<float>(o * shape[1] + i));
    }
    EXPECT_EQ(w.Values(target->name), want) << ours;
    EXPECT_EQ(w.Values(absl::StrCat("transformer.h.0.", ours, ".bias")),
              Counting({shape[0]}, tiny.BaseOf(absl::StrCat("blk.0.", theirs, ".bias"))));
  }
  EXPECT_EQ(w.Values("transformer.wte.weight"), Counting({5, 4}, tiny.BaseOf("token_embd.weight")));
  EXPECT_EQ(w.Values("transformer.wpe.weight"), Counting({3, 4}, tiny.BaseOf("position_embd.weight")));
  EXPECT_EQ(w.Values("transformer.ln_f.bias"), Counting({4}, tiny.BaseOf("output_norm.bias")));
  EXPECT_EQ(w.Values("transformer.h.0.ln_1.weight"), Counting({4}, tiny.BaseOf("blk.0.attn_norm.weight")));
  EXPECT_EQ(w.Values("transformer.h.0.ln_2.bias"), Counting({4}, tiny.BaseOf("blk.0.ffn_norm.bias")));
}

TEST(GgufGpt2Test, ConfigIsHuggingFaces) {
  const Written w(TinyGpt2().Build());
  EXPECT_EQ(w.Parsed("config.json"), Json::parse(R"({
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new", "n_embd": 4, "n_inner": 6,
    "n_layer": 1, "n_head": 2, "n_positions": 3, "n_ctx": 3, "layer_norm_epsilon": 0.25, "vocab_size": 5,
    "tie_word_embeddings": true, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 4})"));
  EXPECT_EQ(w.draft.model.architecture, "gpt2");
  EXPECT_EQ(w.draft.model.context_length, 3);
}

TEST(GgufQwen2Test, RowsStayAndBiasesAreNeeded) {
  TinyGguf tiny = TinyLlama(1, "qwen2");
  EXPECT_THAT(Refusal(tiny.Build()).message(), HasSubstr("no tensor \"blk.0.attn_q.bias\""));
  tiny.tensors["blk.0.attn_q.bias"] = {8};
  tiny.tensors["blk.0.attn_k.bias"] = {4};
  tiny.tensors["blk.0.attn_v.bias"] = {4};
  const Written w(tiny.Build());
  EXPECT_EQ(w.Values("model.layers.0.self_attn.q_proj.weight"),
            Counting({8, 8}, tiny.BaseOf("blk.0.attn_q.weight")));
  EXPECT_EQ(w.Values("model.layers.0.self_attn.k_proj.bias"),
            Counting({4}, tiny.BaseOf("blk.0.attn_k.bias")));
  EXPECT_EQ(w.draft.model.architecture, "qwen2");
  EXPECT_EQ(w.Parsed("config.json")["architectures"], Json::parse(R"(["Qwen2ForCausalLM"])"));
}

TinyGguf TinyGemma2() {
  TinyGguf tiny = TinyLlama(1, "gemma2");
  tiny.tensors["blk.0.post_attention_norm.weight"] = {8};
  tiny.tensors["blk.0.post_ffw_norm.weight"] = {8};
  tiny.metadata.Int("gemma2.attention.sliding_window", 7).Float("gemma2.attn_logit_softcapping", 12.5F);
  return tiny;
}

TEST(GgufGemma2Test, NormsAreKeptLessOne) {
  const TinyGguf tiny = TinyGemma2();
  const Written w(tiny.Build());
  const std::pair<std::string, std::string> norms[] = {
      {"model.norm", "output_norm"},
      {"model.layers.0.input_layernorm", "blk.0.attn_norm"},
      {"model.layers.0.post_attention_layernorm", "blk.0.post_attention_norm"},
      {"model.layers.0.pre_feedforward_layernorm", "blk.0.ffn_norm"},
      {"model.layers.0.post_feedforward_layernorm", "blk.0.post_ffw_norm"}};
  for (const auto& [ours, theirs] : norms) {
    EXPECT_EQ(w.Values(ours + ".weight"), Counting({8}, tiny.BaseOf(theirs + ".weight") - 1)) << ours;
  }
  const Json config = w.Parsed("config.json");
  EXPECT_EQ(config["sliding_window"], 7);
  EXPECT_EQ(config["attn_logit_softcapping"], 12.5);
  EXPECT_FALSE(config.contains("final_logit_softcapping")) << "the architecture's default";
  EXPECT_EQ(config["query_pre_attn_scalar"], 4);
  EXPECT_EQ(config["tie_word_embeddings"], true);
}

TEST(GgufGemma3Test, APatternOfItsOwnIsRefused) {
  TinyGguf tiny = TinyLlama(1, "gemma3");
  tiny.metadata.Int("gemma3.attention.sliding_window_pattern", 3);
  EXPECT_THAT(Refusal(tiny.Build()).message(), HasSubstr("attention.sliding_window_pattern"));
}

TEST(GgufPhi3Test, LongFactorsAreRefused) {
  TinyGguf tiny = TinyLlama(1, "phi3");
  tiny.tensors["rope_factors_long.weight"] = {2};
  EXPECT_THAT(Refusal(tiny.Build()).message(),
              AllOf(HasSubstr("rope_factors_long.weight"), HasSubstr("import the Hugging Face folder")));
}

TEST(GgufPhi3Test, FusedLayersAreKeptFused) {
  TinyGguf tiny = TinyLlama(1, "phi3");
  for (const std::string gone : {"attn_q", "attn_k", "attn_v", "ffn_gate"}) {
    tiny.tensors.erase("blk.0." + gone + ".weight");
  }
  tiny.tensors["blk.0.attn_qkv.weight"] = {16, 8};
  tiny.tensors["blk.0.ffn_up.weight"] = {12, 8};
  const Written w(tiny.Build());
  EXPECT_EQ(w.Values("model.layers.0.self_attn.qkv_proj.weight"),
            Counting({16, 8}, tiny.BaseOf("blk.0.attn_qkv.weight")));
  EXPECT_EQ(w.Values("model.layers.0.mlp.gate_up_proj.weight"),
            Counting({12, 8}, tiny.BaseOf("blk.0.ffn_up.weight")));
  EXPECT_TRUE(w.Parsed("config.json")["sliding_window"].is_null());
  EXPECT_EQ(w.Parsed("config.json")["partial_rotary_factor"], 1.0);
}

struct BadModel {
  std::string name;
  void (*change)(TinyGguf&);
  std::string message;
};

class BadGgufModelTest : public testing::TestWithParam<BadModel> {};

TEST_P(BadGgufModelTest, IsRefusedByName) {
  TinyGguf tiny = TinyLlama(1);
  GetParam().change(tiny);
  const absl::Status status = Refusal(tiny.Build());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("x.gguf: "));
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

// The metadata of a llama model, without `left_out`.
GgufBuilder Without(const std::string& left_out) {
  GgufBuilder b;
  if (left_out != "architecture") b.String("general.architecture", "llama");
  const std::pair<std::string, uint32_t> numbers[] = {
      {"block_count", 1},         {"context_length", 16},      {"embedding_length", 8},
      {"feed_forward_length", 6}, {"attention.head_count", 2}, {"attention.head_count_kv", 1}};
  for (const auto& [field, value] : numbers) {
    if (field != left_out) b.Int("llama." + field, value);
  }
  if (left_out != "epsilon") b.Float("llama.attention.layer_norm_rms_epsilon", 0.5F);
  if (left_out != "tokens") AddTinyTokenizer(b);
  return b;
}

INSTANTIATE_TEST_SUITE_P(
    Models, BadGgufModelTest,
    testing::ValuesIn<BadModel>({
        {"OtherArchitecture",
         [](TinyGguf& t) { t.metadata = GgufBuilder().String("general.architecture", "mamba"); },
         "architecture \"mamba\" is not supported; supported: gemma2, gemma3, gpt2, llama, phi3, qwen2, "
         "qwen3"},
        {"FamilyThatIsReadFromFoldersOnly",
         [](TinyGguf& t) { t.metadata = GgufBuilder().String("general.architecture", "olmo2"); },
         "architecture \"olmo2\" is not supported"},
        {"NoArchitecture", [](TinyGguf& t) { t.metadata = Without("architecture"); },
         "\"general.architecture\""},
        {"NoLayers", [](TinyGguf& t) { t.metadata = Without("block_count"); }, "\"llama.block_count\""},
        {"NoWidth", [](TinyGguf& t) { t.metadata = Without("embedding_length"); },
         "\"llama.embedding_length\""},
        {"NoEpsilon", [](TinyGguf& t) { t.metadata = Without("epsilon"); },
         "\"llama.attention.layer_norm_rms_epsilon\""},
        {"NoTokens", [](TinyGguf& t) { t.metadata = Without("tokens"); }, "\"tokenizer.ggml.tokens\""},
        {"ZeroHeads",
         [](TinyGguf& t) {
           t.metadata = Without("attention.head_count").Int("llama.attention.head_count", 0);
         },
         "= 0 is outside"},
        {"CrookedHeads",
         [](TinyGguf& t) {
           t.metadata = Without("attention.head_count").Int("llama.attention.head_count", 3);
         },
         "not a multiple of attention.head_count = 3"},
        {"CrookedKvHeads",
         [](TinyGguf& t) {
           t.metadata = Without("attention.head_count_kv").Int("llama.attention.head_count_kv", 3);
         },
         "not a multiple of head_count_kv = 3"},
        {"MoreLayersThanTensors",
         [](TinyGguf& t) { t.metadata = Without("block_count").Int("llama.block_count", 2000000000); },
         "has no tensor \"blk.1.attn_q.weight\""},
        {"Experts", [](TinyGguf& t) { t.metadata.Int("llama.expert_count", 8); }, "mixture of experts"},
        {"OtherScaling", [](TinyGguf& t) { t.metadata.String("llama.rope.scaling.type", "longrope"); },
         "\"longrope\""},
        {"YarnWithoutFactor", [](TinyGguf& t) { t.metadata.String("llama.rope.scaling.type", "yarn"); },
         "\"llama.rope.scaling.factor\""},
        {"YarnWithItsOwnRamp",
         [](TinyGguf& t) {
           t.metadata.String("llama.rope.scaling.type", "yarn")
               .Float("llama.rope.scaling.yarn_beta_fast", 8.0F);
         },
         "rope.scaling.yarn_beta_fast"},
        {"Window", [](TinyGguf& t) { t.metadata.Int("llama.attention.sliding_window", 8); },
         "sliding window"},
        {"LinearScaling", [](TinyGguf& t) { t.metadata.Float("llama.rope.scale_linear", 2.0F); },
         "scales rotary positions"},
        {"RopeFactors", [](TinyGguf& t) { t.tensors["rope_freqs.weight"] = {2}; }, "scales rotary positions"},
        {"PartialRotation",
         [](TinyGguf& t) { t.metadata = Without("").Int("llama.rope.dimension_count", 2); },
         "2 rotated dimensions"},
        {"VocabularyOfOtherSize", [](TinyGguf& t) { t.metadata = Without("").Int("llama.vocab_size", 6); },
         "\"llama.vocab_size\" = 6, but the embedding has 5 rows"},
        {"MoreTokensThanRows",
         [](TinyGguf& t) {
           t.metadata = Without("");
           t.tensors["token_embd.weight"] = {4, 8};
         },
         "has 5 tokens, but the embedding only 4 rows"},
        {"MissingTensor", [](TinyGguf& t) { t.tensors.erase("blk.0.ffn_up.weight"); },
         "no tensor \"blk.0.ffn_up.weight\""},
        {"MissingEmbedding", [](TinyGguf& t) { t.tensors.erase("token_embd.weight"); },
         "no tensor \"token_embd.weight\""},
        {"WrongShape",
         [](TinyGguf& t) {
           t.tensors["blk.0.ffn_up.weight"] = {8, 6};
         },
         "\"blk.0.ffn_up.weight\" has shape [8, 6], its metadata says [6, 8]"},
        {"ExtraTensor", [](TinyGguf& t) { t.tensors["blk.0.attn_q_norm.weight"] = {4}; },
         "\"blk.0.attn_q_norm.weight\""},
        {"TensorOfALaterLayer",
         [](TinyGguf& t) {
           t.tensors["blk.1.ffn_up.weight"] = {6, 8};
         },
         "\"blk.1.ffn_up.weight\""},
        {"SomeBiasesOnly", [](TinyGguf& t) { t.tensors["blk.0.attn_q.bias"] = {8}; },
         "no tensor \"blk.0.attn_k.bias\""},
        {"Adapter", [](TinyGguf& t) { t.metadata = Without("").String("general.type", "adapter"); },
         "holds a \"adapter\""},
        {"Piece", [](TinyGguf& t) { t.metadata.Add("split.count", 2, Raw(uint16_t{3})); }, "one of 3 pieces"},
        {"SpecialTokenOutside", [](TinyGguf& t) { t.metadata.Int("tokenizer.ggml.eot_token_id", 5); },
         "\"tokenizer.ggml.eot_token_id\" = 5 is outside of the vocabulary of 5"},
        {"TemplateIsNotUtf8",
         [](TinyGguf& t) {
           t.metadata = Without("tokens")
                            .Strings("tokenizer.ggml.tokens", {"a"})
                            .String("tokenizer.chat_template", "\xff");
         },
         "is not UTF-8"},
        {"NegativeTheta", [](TinyGguf& t) { t.metadata = Without("").Float("llama.rope.freq_base", -1.0F); },
         "not a positive number"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(GgufModelTest, UnreadableTensorTypesAreNamed) {
  GgufBuilder b = TinyLlama(1).metadata;
  for (const auto& [name, shape] : TinyLlama(1).tensors) {
    if (name != "blk.0.ffn_up.weight") b.Floats(name, shape, Counting(shape, 0));
  }
  b.Tensor("blk.0.ffn_up.weight", 26, {6, 8}, std::string(192, 'x'));
  const absl::Status status = Refusal(b.Build());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(),
              HasSubstr("\"blk.0.ffn_up.weight\": tensor type I32 is not supported; supported: F32"));
}

TEST(GgufModelTest, AFailingTokenizerStopsTheImport) {
  const std::string bytes = TinyLlama().Build();
  const auto gguf = std::make_shared<const Gguf>(*Gguf::Parse(bytes, "x.gguf"));
  const auto fail = [](const Gguf&) -> absl::StatusOr<std::string> {
    return absl::InvalidArgumentError("pre: odd");
  };
  EXPECT_EQ(DraftFromGguf(gguf, fail).status().message(), "pre: odd");
  EXPECT_EQ(DraftFromGguf(gguf, nullptr).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::storage
