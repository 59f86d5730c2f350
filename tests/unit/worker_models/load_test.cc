// Loading: what a folder may look like, and that every bad one is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/testing/family_model.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FamilyModel;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

FamilyModel Small(absl::string_view family) { return *testing::SmallModelOf(family); }

absl::StatusOr<std::unique_ptr<CausalLm>> Load(const FamilyModel& model, at::ScalarType dtype = at::kFloat) {
  const TempFolder folder;
  const absl::Status written = testing::WriteFamilyModel(model, folder.path());
  EXPECT_TRUE(written.ok()) << written;
  return LoadCausalLm(folder.path(), dtype);
}

at::Tensor HiddenOf(const CausalLm& model) {
  TokenBatch batch;
  batch.ids_T = at::arange(30, at::TensorOptions().dtype(at::kLong));
  batch.row_offsets = {0, 30};
  return model.Hidden(batch, Overlay());
}

// The message of the InvalidArgument that loading must give.
std::string LoadError(const FamilyModel& model) {
  const auto got = Load(model);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << got.status();
  return std::string(got.status().message());
}

TEST(LoadTest, ConfigOfLlamaIsRead) {
  FamilyModel small = Small("llama");
  small.config["rope_theta"] = 500000;
  small.config.erase("head_dim");
  const auto model = Load(small);
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelConfig& config = (*model)->config();
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.hidden_size, 24);
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.intermediate_size, 40);
  EXPECT_EQ(config.vocab_size, 48);
  EXPECT_EQ(config.max_positions, 32);
  EXPECT_EQ(config.norm_epsilon, 1e-5);
  EXPECT_EQ(config.rope_theta, 500000.0);
  EXPECT_FALSE(config.tied_head);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
}

TEST(LoadTest, ConfigOfGpt2IsRead) {
  const auto model = Load(Small("gpt2"));
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelConfig& config = (*model)->config();
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.intermediate_size, 40);
  EXPECT_EQ(config.max_positions, 32);
  EXPECT_TRUE(config.tied_head);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2, 3));
}

TEST(LoadTest, EndTokensComeFromTheGenerationConfigWhereItHasSome) {
  const TempFolder folder;
  ASSERT_TRUE(testing::WriteFamilyModel(Small("llama"), folder.path()).ok());
  ASSERT_TRUE(
      WriteFileAtomic(folder.File("generation_config.json"), R"({"eos_token_id": [7, 2, 50256]})").ok());
  const auto model = LoadCausalLm(folder.path(), at::kFloat);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT((*model)->config().eos_token_ids, ElementsAre(7, 2)) << "50256 is outside the vocabulary";
}

struct ConfigCase {
  std::string name;
  std::string family;
  Json patch;  // null removes a field
  std::vector<std::string> message;
};

class BadConfigTest : public ::testing::TestWithParam<ConfigCase> {};

TEST_P(BadConfigTest, IsNamed) {
  FamilyModel small = Small(GetParam().family);
  for (const auto& [field, value] : GetParam().patch.items()) small.config[field] = value;
  const std::string message = LoadError(small);
  EXPECT_THAT(message, HasSubstr("config.json"));
  for (const std::string& part : GetParam().message) EXPECT_THAT(message, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadConfigTest,
    ::testing::ValuesIn<ConfigCase>({
        {"OtherFamily", "llama", {{"model_type", "mamba"}}, {"\"mamba\"", "gpt_neox, llama, mistral"}},
        {"NoFamily", "llama", {{"model_type", nullptr}}, {"model_type", "gpt_neox, llama, mistral"}},
        {"FamilyIsNoString", "llama", {{"model_type", 3}}, {"model_type = 3 is not a string"}},
        {"OtherHead",
         "llama",
         {{"architectures", {"LlamaForSequenceClassification"}}},
         {"LlamaForSequenceClassification", "LlamaForCausalLM"}},
        {"ArchitecturesAreNoList", "llama", {{"architectures", "x"}}, {"architectures"}},
        {"Quantised",
         "llama",
         {{"quantization_config", {{"bits", 4}}}},
         {"quantization_config", "not supported"}},
        {"SlidingWindow", "llama", {{"sliding_window", 4096}}, {"sliding_window = 4096"}},
        {"OtherActivation", "llama", {{"hidden_act", "relu"}}, {"hidden_act", "supported: silu"}},
        {"OtherScaling",
         "llama",
         {{"rope_scaling", {{"type", "mrope"}, {"factor", 2}}}},
         {"rope_scaling", "\"mrope\"", "default, linear, dynamic, yarn, llama3"}},
        {"OtherScalingOfNewFiles",
         "qwen2",
         {{"rope_parameters", {{"rope_type", "longrope"}}}},
         {"rope_parameters", "\"longrope\"", "default, linear, dynamic, yarn, llama3"}},
        {"OtherScalingOfPhi3",
         "phi3",
         {{"rope_scaling", {{"type", "yarn"}}}},
         {"rope_scaling", "\"yarn\"", "default, longrope, su"}},
        {"ScalingByKindOfLayer",
         "qwen2",
         {{"rope_parameters", {{"full_attention", {{"rope_theta", 5}}}}}},
         {"rope_parameters", "full_attention"}},
        {"OneScalingWhereThereAreTwoKinds",
         "gemma3_text",
         {{"rope_parameters", {{"rope_theta", 5}}}},
         {"rope_parameters", "full_attention and sliding_attention"}},
        {"YarnBoundsCrossed",
         "llama",
         {{"rope_scaling", {{"type", "yarn"}, {"factor", 2}, {"beta_fast", 1}, {"beta_slow", 32}}}},
         {"beta_fast", "above beta_slow"}},
        {"TooFewLongFactors",
         "phi3",
         {{"rope_scaling", {{"type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {1}}}}},
         {"long_factor has 1 numbers; the heads have 2 frequencies"}},
        {"LongFactorsAreNoList",
         "phi3",
         {{"rope_scaling", {{"type", "longrope"}, {"short_factor", 3}}}},
         {"short_factor is not a list"}},
        {"ALongFactorIsText",
         "phi3",
         {{"rope_scaling", {{"type", "su"}, {"short_factor", {1, "2"}}}}},
         {"short_factor has the entry \"2\""}},
        {"ScalingIsNoObject", "llama", {{"rope_scaling", "linear"}}, {"rope_scaling"}},
        {"ScalingWithoutFactor", "llama", {{"rope_scaling", {{"type", "linear"}}}}, {"factor is missing"}},
        {"ScalingFactorOfZero",
         "llama",
         {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}},
         {"factor = 0"}},
        {"Llama3FactorsCrossed",
         "llama",
         {{"rope_scaling",
           {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 1}}}},
         {"high_freq_factor", "above low_freq_factor"}},
        {"PartialRotary",
         "llama",
         {{"rope_parameters", {{"partial_rotary_factor", 0.5}}}},
         {"partial_rotary_factor"}},
        {"PartialRotaryOfOldFiles", "llama", {{"partial_rotary_factor", 0.5}}, {"partial_rotary_factor"}},
        {"ThetaOfZero", "llama", {{"rope_theta", 0}}, {"rope_theta = 0"}},
        {"NoWidth", "llama", {{"hidden_size", nullptr}}, {"hidden_size is missing"}},
        {"WidthIsText", "llama", {{"hidden_size", "24"}}, {"hidden_size", "not an integer"}},
        {"WidthIsAFraction", "llama", {{"hidden_size", 24.5}}, {"hidden_size", "not an integer"}},
        {"NegativeWidth", "llama", {{"hidden_size", -24}}, {"hidden_size = -24 is outside"}},
        {"AbsurdWidth", "llama", {{"hidden_size", 9223372036854775807ull}}, {"hidden_size", "outside"}},
        {"WidthBeyondInt64", "llama", {{"hidden_size", 18446744073709551615ull}}, {"hidden_size", "outside"}},
        {"NoLayers", "llama", {{"num_hidden_layers", 0}}, {"num_hidden_layers = 0"}},
        {"ABillionLayers", "llama", {{"num_hidden_layers", 1000000000}}, {"num_hidden_layers"}},
        {"HeadsDoNotDivide",
         "llama",
         {{"num_attention_heads", 5}, {"num_key_value_heads", 5}, {"head_dim", nullptr}},
         {"num_attention_heads = 5"}},
        {"KeyValueHeadsDoNotDivide", "llama", {{"num_key_value_heads", 3}}, {"num_key_value_heads = 3"}},
        {"OddHeadDim", "llama", {{"head_dim", 3}}, {"head_dim = 3"}},
        {"AbsurdVocabulary", "llama", {{"vocab_size", 1000000000000}}, {"vocab_size"}},
        {"NegativeEpsilon", "llama", {{"rms_norm_eps", -1}}, {"rms_norm_eps"}},
        {"TiedIsNoBool", "llama", {{"tie_word_embeddings", 1}}, {"tie_word_embeddings"}},
        {"EndTokenIsText", "llama", {{"eos_token_id", "</s>"}}, {"eos_token_id"}},
        {"MixtureOfExperts",
         "qwen3",
         {{"model_type", "qwen3_moe"}, {"num_experts", 128}},
         {"num_experts = 128", "mixtures of experts are not", "qwen2, qwen3"}},
        {"MixtureUnderAnotherName",
         "mistral",
         {{"model_type", "mixtral"}, {"num_local_experts", 8}},
         {"num_local_experts = 8", "mixtures of experts are not"}},
        {"VocabularyLargerThanTheEmbedding",
         "qwen2",
         {{"vocab_size", 64}},
         {"\"model.embed_tokens.weight\" has shape [48, 24]", "config.json asks for [64, 24]"}},
        {"WindowOfZero", "mistral", {{"sliding_window", 0}}, {"sliding_window = 0"}},
        {"WindowsByLayerOfMistral",
         "mistral",
         {{"layer_types", {"full_attention", "sliding_attention"}}},
         {"layer_types", "same window"}},
        {"TooFewLayerTypes", "qwen2", {{"layer_types", {"full_attention"}}}, {"has 1 entries for 2 layers"}},
        {"OtherLayerType",
         "gemma2",
         {{"layer_types", {"full_attention", "chunked_attention"}}},
         {"\"chunked_attention\"", "supported: full_attention, sliding_attention"}},
        {"LayersSlideWithoutAWindow",
         "qwen2",
         {{"use_sliding_window", false}, {"layer_types", {"full_attention", "sliding_attention"}}},
         {"sliding_window"}},
        {"GemmaSeesLaterTokens",
         "gemma3_text",
         {{"use_bidirectional_attention", true}},
         {"use_bidirectional_attention"}},
        {"NegativeCap", "gemma2", {{"attn_logit_softcapping", -1}}, {"attn_logit_softcapping"}},
        {"TooFewNoRopeLayers", "smollm3", {{"no_rope_layers", {1}}}, {"has 1 entries for 2 layers"}},
        {"NoRopeLayersAreText", "smollm3", {{"no_rope_layers", {"yes", "no"}}}, {"no_rope_layers"}},
        {"NeoxPartIsOdd", "gpt_neox", {{"rotary_pct", 0.5}}, {"rotary_pct turns 3 of the 6 numbers", "even"}},
        {"NeoxSharesKeys", "gpt_neox", {{"num_key_value_heads", 2}}, {"each with its own keys"}},
        {"Gpt2HeadsDoNotDivide", "gpt2", {{"n_head", 5}}, {"n_head = 5"}},
        {"Gpt2OtherActivation",
         "gpt2",
         {{"activation_function", "relu"}},
         {"activation_function", "gelu_new"}},
        {"Gpt2CrossAttention", "gpt2", {{"add_cross_attention", true}}, {"add_cross_attention"}},
        {"Gpt2NoPositions", "gpt2", {{"n_positions", 0}}, {"n_positions"}},
    }),
    [](const auto& info) { return info.param.name; });

TEST(LoadTest, AConfigThatIsNotAnObjectIsInvalid) {
  const TempFolder folder;
  ASSERT_TRUE(testing::WriteFamilyModel(Small("llama"), folder.path()).ok());
  for (const std::string text :
       {"[]", "", "{", "{\"model_type\": \"llama\", \"model_type\": \"gpt2\"}", "\xff"}) {
    ASSERT_TRUE(WriteFileAtomic(folder.File("config.json"), text).ok());
    EXPECT_EQ(LoadCausalLm(folder.path(), at::kFloat).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(LoadTest, AMissingFolderConfigOrWeightsIsNotFound) {
  const TempFolder folder;
  EXPECT_EQ(LoadCausalLm(folder.File("nowhere"), at::kFloat).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(LoadCausalLm(folder.path(), at::kFloat).status().message(), HasSubstr("config.json"));
  ASSERT_TRUE(WriteFileAtomic(folder.File("config.json"), Small("llama").config.dump()).ok());
  const absl::Status got = LoadCausalLm(folder.path(), at::kFloat).status();
  EXPECT_EQ(got.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(got.message(), HasSubstr("model.safetensors"));
}

TEST(LoadTest, OtherComputeTypesAreRefused) {
  const auto got = Load(Small("llama"), at::kHalf);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LoadTest, AMissingTensorIsNamed) {
  FamilyModel small = Small("llama");
  small.Remove("model.layers.1.self_attn.v_proj.weight");
  small.Remove("lm_head.weight");
  EXPECT_THAT(LoadError(small), AllOf(HasSubstr("\"model.layers.1.self_attn.v_proj.weight\" is missing"),
                                      HasSubstr("\"lm_head.weight\" is missing")));
}

TEST(LoadTest, AMisshapenTensorIsNamedWithBothShapes) {
  FamilyModel small = Small("gpt2");
  small.Tensor("transformer.h.0.mlp.c_fc.weight").shape = {40, 24};
  small.Tensor("transformer.ln_f.weight").shape = {24, 1};
  EXPECT_THAT(
      LoadError(small),
      AllOf(
          HasSubstr("\"transformer.h.0.mlp.c_fc.weight\" has shape [40, 24], config.json asks for [24, 40]"),
          HasSubstr("\"transformer.ln_f.weight\" has shape [24, 1]")));
}

TEST(LoadTest, ATensorTooManyIsNamed) {
  FamilyModel small = Small("llama");
  small.tensors.push_back({.name = "model.layers.2.mlp.up_proj.weight", .shape = {40, 24}});
  EXPECT_THAT(LoadError(small),
              HasSubstr("\"model.layers.2.mlp.up_proj.weight\" is not part of such a model"));
}

TEST(LoadTest, ManyProblemsAreCounted) {
  FamilyModel small = Small("llama");
  small.config["num_hidden_layers"] = 1000;
  EXPECT_THAT(LoadError(small), HasSubstr("; and "));
}

TEST(LoadTest, AnUnsupportedTensorTypeIsNamed) {
  FamilyModel small = Small("llama");
  small.Tensor("model.layers.0.mlp.up_proj.weight").dtype = storage::Dtype::kI8;
  EXPECT_THAT(LoadError(small),
              AllOf(HasSubstr("\"model.layers.0.mlp.up_proj.weight\" is I8"), HasSubstr("F32")));
}

TEST(LoadTest, BuffersOfOldFilesMayBeThere) {
  FamilyModel llama = Small("llama");
  llama.tensors.push_back({.name = "model.layers.0.self_attn.rotary_emb.inv_freq", .shape = {3}});
  EXPECT_TRUE(Load(llama).ok());
  FamilyModel gpt2 = Small("gpt2");
  gpt2.tensors.push_back(
      {.name = "transformer.h.0.attn.bias", .dtype = storage::Dtype::kU8, .shape = {1, 1, 32, 32}});
  gpt2.tensors.push_back({.name = "transformer.h.0.attn.masked_bias", .shape = {}});
  EXPECT_TRUE(Load(gpt2).ok());
  FamilyModel neox = Small("gpt_neox");
  neox.tensors.push_back(
      {.name = "gpt_neox.layers.0.attention.bias", .dtype = storage::Dtype::kU8, .shape = {1, 1, 32, 32}});
  neox.tensors.push_back({.name = "gpt_neox.layers.0.attention.rotary_emb.inv_freq", .shape = {2}});
  EXPECT_TRUE(Load(neox).ok());
}

TEST(LoadTest, StoredTypesMayBeMixedAndAreConvertedOnce) {
  FamilyModel small = Small("llama");
  small.Tensor("model.layers.0.mlp.up_proj.weight").dtype = storage::Dtype::kBF16;
  small.Tensor("model.layers.0.mlp.down_proj.weight").dtype = storage::Dtype::kF16;
  small.Tensor("model.norm.weight").dtype = storage::Dtype::kBF16;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = Load(small, dtype);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->compute_dtype(), dtype);
    for (const Parameter& parameter : (*model)->parameters()) {
      EXPECT_EQ(parameter.base.scalar_type(), parameter.base.dim() == 1 ? at::kFloat : dtype)
          << parameter.name;
    }
    // Random weights in +-sqrt(3 / 24): a wrong conversion shows.
    const auto& parameters = (*model)->parameters();
    for (const Parameter& p : parameters) {
      if (p.name != "model.layers.0.mlp.down_proj.weight") continue;
      const at::Tensor values = p.base.to(at::kFloat);
      EXPECT_NEAR(values.abs().max().item<double>(), 0.353, 0.01);
      EXPECT_NEAR(values.std().item<double>(), 0.204, 0.02);
    }
    EXPECT_EQ(HiddenOf(**model).scalar_type(), dtype);
  }
}

TEST(LoadTest, TheModelOutlivesItsFile) {
  const TempFolder folder;
  ASSERT_TRUE(testing::WriteFamilyModel(Small("llama"), folder.path()).ok());
  const auto model = LoadCausalLm(folder.path(), at::kFloat);
  ASSERT_TRUE(model.ok()) << model.status();
  const at::Tensor before = HiddenOf(**model);
  std::filesystem::remove(folder.File("model.safetensors"));
  EXPECT_TRUE(at::equal(HiddenOf(**model), before));
}

TEST(LoadTest, MatricesOfTheRightTypeAreMappedNotCopied) {
  const TempFolder folder;
  ASSERT_TRUE(testing::WriteFamilyModel(Small("llama"), folder.path()).ok());
  const auto model = LoadCausalLm(folder.path(), at::kFloat);
  ASSERT_TRUE(model.ok()) << model.status();
  // Written in order: two mapped tensors lie as far apart as in the file, copies lie anywhere.
  const auto address = [&](const std::string& name) {
    for (const Parameter& p : (*model)->parameters()) {
      if (p.name == name) return static_cast<const char*>(p.base.const_data_ptr());
    }
    ADD_FAILURE() << name;
    return static_cast<const char*>(nullptr);
  };
  const char* const embedding = address("model.embed_tokens.weight");
  EXPECT_EQ(address("model.layers.0.self_attn.q_proj.weight") - embedding, 48 * 24 * 4);
}

TEST(LoadTest, NamesMayLackTheBasePrefix) {
  FamilyModel small = Small("gpt2");
  const at::Tensor want = HiddenOf(**Load(small));
  for (storage::TensorSpec& tensor : small.tensors)
    tensor.name = tensor.name.substr(std::string("transformer.").size());
  const auto model = Load(small);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->parameters()[0].name, "transformer.wte.weight");
  EXPECT_TRUE(at::equal(HiddenOf(**model), want));
}

TEST(LoadTest, ATiedHeadIsTheEmbedding) {
  FamilyModel small = Small("llama");
  small.config["tie_word_embeddings"] = true;
  small.Remove("lm_head.weight");
  const auto model = Load(small);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->HeadWeight(Overlay()).is_same((*model)->parameters()[0].base));
}

TEST(LoadTest, AHeadBesideATiedEmbeddingMustEqualIt) {
  FamilyModel small = Small("llama");
  small.config["tie_word_embeddings"] = true;
  EXPECT_THAT(LoadError(small),
              AllOf(HasSubstr("\"lm_head.weight\" differs from the embedding \"model.embed_tokens.weight\""),
                    HasSubstr("set tie_word_embeddings to false")));
  small.Tensor("lm_head.weight").shape = {24, 48};
  EXPECT_THAT(LoadError(small), HasSubstr("\"lm_head.weight\" differs"));
}

// Random values depend on a tensor's place; zeros are equal in every type.
TEST(LoadTest, AnEqualHeadBesideATiedEmbeddingIsLeftAlone) {
  for (const storage::Dtype head_dtype : {storage::Dtype::kF32, storage::Dtype::kBF16}) {
    const TempFolder folder;
    FamilyModel small = Small("llama");
    small.config["tie_word_embeddings"] = true;
    small.Tensor("lm_head.weight").dtype = head_dtype;
    ASSERT_TRUE(WriteFileAtomic(folder.File("config.json"), small.config.dump()).ok());
    std::string bytes = *testing::RandomSafetensors(small.tensors, 1);
    const auto parsed = storage::SafetensorsFile::Parse(bytes, "model");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    for (const std::string name : {"model.embed_tokens.weight", "lm_head.weight"}) {
      const absl::string_view view = parsed->Find(name)->bytes;
      std::fill_n(bytes.begin() + (view.data() - bytes.data()), view.size(), '\0');
    }
    ASSERT_TRUE(WriteFileAtomic(folder.File("model.safetensors"), bytes).ok());
    const auto model = LoadCausalLm(folder.path(), at::kFloat);
    EXPECT_TRUE(model.ok()) << model.status();
  }
}

TEST(LoadTest, AMissingHeadThatIsNotTiedIsExplained) {
  FamilyModel small = Small("qwen2");
  small.Remove("lm_head.weight");
  EXPECT_THAT(LoadError(small), AllOf(HasSubstr("\"lm_head.weight\" is missing"),
                                      HasSubstr("set tie_word_embeddings to true")));
}

TEST(LoadTest, TheHeadOfGptNeoxHasTwoNames) {
  FamilyModel small = Small("gpt_neox");
  const at::Tensor want = (*Load(small))->HeadWeight(Overlay());
  small.Tensor("embed_out.weight").name = "lm_head.weight";
  const auto model = Load(small);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE(at::equal((*model)->HeadWeight(Overlay()), want));
  EXPECT_EQ((*model)->parameters().back().name, "embed_out.weight");
}

TEST(LoadTest, WindowsAreReadAsTransformersReadsThem) {
  // A row that a window of 6 shortens and none leaves alone.
  FamilyModel small = Small("mistral");
  const at::Tensor windowed = HiddenOf(**Load(small));
  small.config["sliding_window"] = nullptr;
  const at::Tensor whole = HiddenOf(**Load(small));
  EXPECT_FALSE(at::allclose(windowed, whole, 1e-3, 1e-3));
  small.config.erase("sliding_window");  // 4,096 by default: longer than the row
  EXPECT_TRUE(at::equal(HiddenOf(**Load(small)), whole));

  FamilyModel qwen = Small("qwen2");
  qwen.config["use_sliding_window"] = false;
  const at::Tensor all_full = HiddenOf(**Load(qwen));
  qwen.config["use_sliding_window"] = true;
  const at::Tensor from_layer_1 = HiddenOf(**Load(qwen));
  EXPECT_FALSE(at::allclose(from_layer_1, all_full, 1e-3, 1e-3));
  qwen.config["layer_types"] = {"full_attention", "full_attention"};
  EXPECT_TRUE(at::equal(HiddenOf(**Load(qwen)), all_full)) << "layer_types counts before max_window_layers";
  qwen.config["layer_types"] = {"full_attention", "sliding_attention"};
  EXPECT_TRUE(at::equal(HiddenOf(**Load(qwen)), from_layer_1));
}

TEST(LoadTest, OlderFilesOfGemma3SayTheSame) {
  FamilyModel new_file = Small("gemma3_text");
  new_file.config["rope_parameters"] = {
      {"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 500.0}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 50.0}}}};
  FamilyModel old_file = Small("gemma3_text");
  old_file.config["rope_theta"] = 500.0;
  old_file.config["rope_local_base_freq"] = 50.0;
  old_file.config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  old_file.config.erase("layer_types");
  old_file.config["sliding_window_pattern"] = 2;
  const auto a = Load(old_file), b = Load(new_file);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_TRUE(at::equal(HiddenOf(**a), HiddenOf(**b)));
  EXPECT_FALSE(at::allclose(HiddenOf(**Load(Small("gemma3_text"))), HiddenOf(**b), 1e-3, 1e-3));
}

TEST(LoadTest, ScalingsThatReachFurtherMakeTheContextLonger) {
  FamilyModel small = Small("llama");
  small.config["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 2.5}};
  EXPECT_EQ((*Load(small))->config().max_positions, 80);
  small.config["rope_scaling"] = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 16}};
  EXPECT_EQ((*Load(small))->config().max_positions, 64);
  small.config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ((*Load(small))->config().max_positions, 32);
}

TEST(LoadTest, OldAndNewFilesSayTheSameAboutRotaryPositions) {
  const Json scaling = {{"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 16}};
  FamilyModel old_file = Small("llama");
  old_file.config["rope_theta"] = 5000.0;
  old_file.config["rope_scaling"] = scaling;
  old_file.config["rope_scaling"]["rope_type"] = "llama3";
  FamilyModel new_file = Small("llama");
  new_file.config["rope_parameters"] = scaling;
  new_file.config["rope_parameters"]["rope_type"] = "llama3";
  new_file.config["rope_parameters"]["rope_theta"] = 5000.0;
  const at::Tensor plain = HiddenOf(**Load(Small("llama")));
  const auto a = Load(old_file), b = Load(new_file);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_TRUE(at::equal(HiddenOf(**a), HiddenOf(**b)));
  EXPECT_FALSE(at::allclose(HiddenOf(**a), plain, 1e-3, 1e-3)) << "the scaling does nothing";
  EXPECT_EQ((*b)->config().rope_theta, 5000.0);
}

// The small llama in two files and an index.
class ShardedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    small_ = Small("llama");
    ASSERT_TRUE(WriteFileAtomic(folder_.File("config.json"), small_.config.dump()).ok());
    for (size_t i = 0; i < small_.tensors.size(); ++i) {
      const std::string file = i < 10 ? "a.safetensors" : "b.safetensors";
      index_["weight_map"][small_.tensors[i].name] = file;
    }
    Write("a.safetensors", {small_.tensors.begin(), small_.tensors.begin() + 10});
    Write("b.safetensors", {small_.tensors.begin() + 10, small_.tensors.end()});
  }
  void Write(const std::string& file, const std::vector<storage::TensorSpec>& tensors) {
    ASSERT_TRUE(WriteFileAtomic(folder_.File(file), *testing::RandomSafetensors(tensors, 1)).ok());
  }
  absl::Status LoadStatus() {
    EXPECT_TRUE(WriteFileAtomic(folder_.File("model.safetensors.index.json"), index_.dump()).ok());
    return LoadCausalLm(folder_.path(), at::kFloat).status();
  }

  TempFolder folder_;
  FamilyModel small_;
  Json index_;
};

TEST_F(ShardedTest, ShardsMakeOneModel) { EXPECT_TRUE(LoadStatus().ok()) << LoadStatus(); }

TEST_F(ShardedTest, AMissingShardIsNotFound) {
  std::filesystem::remove(folder_.File("b.safetensors"));
  EXPECT_EQ(LoadStatus().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(LoadStatus().message(), HasSubstr("b.safetensors"));
}

TEST_F(ShardedTest, ATensorThatItsShardLacksIsNamed) {
  index_["weight_map"]["model.ghost"] = "a.safetensors";
  EXPECT_THAT(LoadStatus().message(), AllOf(HasSubstr("a.safetensors"), HasSubstr("\"model.ghost\"")));
}

TEST_F(ShardedTest, ATensorThatTheIndexLacksIsNamed) {
  index_["weight_map"].erase("lm_head.weight");
  EXPECT_THAT(LoadStatus().message(), AllOf(HasSubstr("b.safetensors"), HasSubstr("\"lm_head.weight\"")));
}

TEST_F(ShardedTest, AShardOutsideTheFolderIsRefused) {
  for (const std::string file : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "", ".", ".."}) {
    index_["weight_map"]["lm_head.weight"] = file;
    EXPECT_EQ(LoadStatus().code(), absl::StatusCode::kInvalidArgument) << file;
    EXPECT_THAT(LoadStatus().message(), HasSubstr("\"lm_head.weight\"")) << file;
  }
}

TEST_F(ShardedTest, AnIndexWithoutAMapIsInvalid) {
  for (const Json& bad : {Json::object(), Json{{"weight_map", Json::object()}}, Json{{"weight_map", 3}},
                          Json::array(), Json{{"weight_map", {{"lm_head.weight", 3}}}}}) {
    index_ = bad;
    EXPECT_EQ(LoadStatus().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST_F(ShardedTest, TheWholeFileCountsWhereBothAreThere) {
  ASSERT_TRUE(testing::WriteFamilyModel(small_, folder_.path()).ok());
  index_ = Json::object();
  EXPECT_TRUE(LoadStatus().ok());
}

}  // namespace
}  // namespace vernier::models
