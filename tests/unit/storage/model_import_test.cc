// Models into the store: Hugging Face folders as they are, GGUF files once, and every refusal.
#include "storage/model_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "storage/folder_store.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/memory_store.h"
#include "storage/safetensors.h"
#include "tests/testing/temp_folder.h"
#include "tests/unit/storage/tiny_gguf.h"

namespace vernier::storage {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;

class StringSink final : public ByteSink {
 public:
  absl::Status Append(absl::string_view more) override {
    absl::StrAppend(&bytes, more);
    return absl::OkStatus();
  }
  std::string bytes;
};

// A safetensors file of zeros.
std::string Zeros(const std::vector<TensorSpec>& specs) {
  StringSink sink;
  auto writer = SafetensorsWriter::Create(sink, specs, {{"format", "pt"}});
  EXPECT_TRUE(writer.ok()) << writer.status();
  int64_t total = 0;
  for (const TensorSpec& spec : specs) total += spec.NumBytes();
  EXPECT_TRUE(writer->Append(std::string(total, '\0')).ok());
  EXPECT_TRUE(writer->Finish().ok());
  return sink.bytes;
}

const TensorSpec kEmbedding{"model.embed_tokens.weight", Dtype::kBF16, {5, 8}};
const TensorSpec kNorm{"model.norm.weight", Dtype::kF32, {8}};
const TensorSpec kHead{"lm_head.weight", Dtype::kBF16, {5, 8}};

// A store that counts what is written.
class CountingStore final : public ObjectStore {
 public:
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key, WriteMode mode) override {
    if (absl::EndsWith(key, refused))
      return absl::ResourceExhaustedError(absl::StrCat(key, ": no space left"));
    ++num_writes;
    return memory_.OpenWriter(key, mode);
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    return memory_.GetRange(key, offset, length);
  }
  absl::StatusOr<ObjectInfo> Head(absl::string_view key) override { return memory_.Head(key); }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                               int limit) override {
    return memory_.List(prefix, start_after, limit);
  }
  absl::Status Delete(absl::string_view key) override { return memory_.Delete(key); }
  std::optional<std::string> LocalPath(absl::string_view key) override { return memory_.LocalPath(key); }
  std::string Uri() const override { return memory_.Uri(); }

  int num_writes = 0;
  std::string refused = "/never";  // keys that end so cannot be written

 private:
  MemoryStore memory_;
};

class ModelImportTest : public testing::Test {
 protected:
  ModelImportTest() {
    options_.tokenizer_from_gguf = [this](const Gguf&) -> absl::StatusOr<std::string> {
      ++num_conversions_;
      return std::string("{\"model\":{}}");
    };
    config_ = {{"model_type", "llama"},
               {"architectures", {"LlamaForCausalLM"}},
               {"vocab_size", 5},
               {"max_position_embeddings", 16},
               {"tie_word_embeddings", true}};
  }

  // The folder "hf" with a whole model.
  std::string WriteFolder() {
    WriteConfig();
    folder_.Write("hf/tokenizer.json", "{\"version\":\"1.0\"}");
    folder_.Write("hf/tokenizer_config.json", R"({"chat_template":"{{ messages }}"})");
    folder_.Write("hf/generation_config.json", "{}");
    folder_.Write("hf/README.md", "not part of a model");
    folder_.Write("hf/pytorch_model.bin", "nobody reads this");
    folder_.Write("hf/model.safetensors", Zeros({kEmbedding, kNorm}));
    return folder_.File("hf");
  }
  void WriteConfig() { folder_.Write("hf/config.json", config_.dump()); }

  // Turns "hf" into a model of two shards; `map` is the index's.
  void WriteShards(const std::map<std::string, std::string>& map) {
    std::filesystem::remove(folder_.File("hf/model.safetensors"));
    folder_.Write("hf/model-00001-of-00002.safetensors", Zeros({kEmbedding}));
    folder_.Write("hf/model-00002-of-00002.safetensors", Zeros({kNorm}));
    folder_.Write("hf/model.safetensors.index.json",
                  Json{{"metadata", {{"total_size", 112}}}, {"weight_map", map}}.dump());
  }
  const std::map<std::string, std::string> kTwoShards = {
      {kEmbedding.name, "model-00001-of-00002.safetensors"},
      {kNorm.name, "model-00002-of-00002.safetensors"}};

  absl::StatusOr<ImportedModel> Import(const std::string& path) {
    return ImportModel(path, store_, "t", options_);
  }

  void ExpectRefused(absl::StatusCode code, const std::string& message) {
    const absl::Status status = Import(folder_.File("hf")).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), HasSubstr(folder_.path()));
    EXPECT_THAT(status.message(), HasSubstr(message));
    EXPECT_THAT(*ListAll(store_, ""), IsEmpty()) << "something was written";
  }

  bool HasManifest() {
    const auto objects = ListAll(store_, "");
    return std::any_of(objects->begin(), objects->end(),
                       [](const ObjectInfo& info) { return absl::EndsWith(info.key, kManifestName); });
  }

  TempFolder folder_;
  CountingStore store_;
  ImportOptions options_;
  Json config_;
  int num_conversions_ = 0;
};

TEST_F(ModelImportTest, AFolderIsCopiedAsItIs) {
  const std::string folder = WriteFolder();
  const auto model = Import(folder);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_EQ(model->num_parameters, 48);
  EXPECT_EQ(model->context_length, 16);
  EXPECT_EQ(model->vocab_size, 5);
  EXPECT_TRUE(model->has_chat_template);
  const std::string key = ModelFolder("t", model->digest);
  const auto manifest = ReadManifest(store_, key, kModelFormat);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_TRUE(VerifyParts(store_, key, *manifest).ok());
  EXPECT_EQ(DigestOfParts(manifest->parts), model->digest);
  EXPECT_EQ(model->size_bytes, manifest->TotalBytes());
  std::vector<std::string> names;
  for (const ManifestPart& part : manifest->parts) names.push_back(part.name);
  EXPECT_THAT(names, testing::ElementsAre("config.json", "generation_config.json", "model.safetensors",
                                          "tokenizer.json", "tokenizer_config.json"));
  EXPECT_EQ(*store_.Get(key + "/tokenizer.json"), "{\"version\":\"1.0\"}");
  EXPECT_EQ(*store_.Get(key + "/model.safetensors"), Zeros({kEmbedding, kNorm}));
}

TEST_F(ModelImportTest, ReadModelGivesWhatTheImportGave) {
  const auto model = Import(WriteFolder());
  const auto read = ReadModel(store_, "t", model->digest);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->digest, model->digest);
  EXPECT_EQ(read->architecture, model->architecture);
  EXPECT_EQ(read->num_parameters, model->num_parameters);
  EXPECT_EQ(read->size_bytes, model->size_bytes);
  EXPECT_EQ(read->context_length, model->context_length);
  EXPECT_EQ(read->vocab_size, model->vocab_size);
  EXPECT_EQ(read->has_chat_template, model->has_chat_template);
  EXPECT_EQ(ReadModel(store_, "t", std::string(64, '0')).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadModel(store_, "other", model->digest).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelImportTest, EqualContentIsNotWrittenAgain) {
  const std::string folder = WriteFolder();
  const auto first = Import(folder);
  const int writes = store_.num_writes;
  std::filesystem::copy(folder, folder_.File("copy"));
  const auto again = Import(folder_.File("copy"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->digest, first->digest);
  EXPECT_EQ(store_.num_writes, writes);
}

TEST_F(ModelImportTest, OtherContentIsAnotherModel) {
  const auto first = Import(WriteFolder());
  folder_.Write("hf/tokenizer_config.json", "{}");
  const auto second = Import(folder_.File("hf"));
  EXPECT_NE(second->digest, first->digest);
  EXPECT_FALSE(second->has_chat_template);
}

TEST_F(ModelImportTest, ATemplateMayLieInAFileOfItsOwn) {
  WriteFolder();
  folder_.Write("hf/tokenizer_config.json", R"({"chat_template":null})");
  folder_.Write("hf/chat_template.jinja", "{{ messages }}");
  const auto model = Import(folder_.File("hf"));
  EXPECT_TRUE(model->has_chat_template);
  EXPECT_EQ(*store_.Get(ModelFolder("t", model->digest) + "/chat_template.jinja"), "{{ messages }}");
}

TEST_F(ModelImportTest, ShardsKeepTheirNames) {
  WriteFolder();
  WriteShards(kTwoShards);
  const auto model = Import(folder_.File("hf"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->num_parameters, 48);
  for (const std::string name : {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                 "model.safetensors.index.json"}) {
    EXPECT_TRUE(store_.Head(absl::StrCat(ModelFolder("t", model->digest), "/", name)).ok()) << name;
  }
}

TEST_F(ModelImportTest, ATiedHeadAndBuffersAreNoParameters) {
  WriteFolder();
  folder_.Write("hf/model.safetensors",
                Zeros({kEmbedding, kHead, kNorm, {"h.0.attn.bias", Dtype::kU8, {1, 1, 4, 4}}}));
  EXPECT_EQ(Import(folder_.File("hf"))->num_parameters, 48);
  config_["tie_word_embeddings"] = false;
  WriteConfig();
  EXPECT_EQ(Import(folder_.File("hf"))->num_parameters, 88);
}

TEST_F(ModelImportTest, AHeadThatIsNeitherThereNorTiedIsRefused) {
  config_["tie_word_embeddings"] = false;
  WriteFolder();
  ExpectRefused(absl::StatusCode::kInvalidArgument, "has no lm_head.weight, and config.json does not tie it");
  config_ = {{"model_type", "gpt_neox"}, {"vocab_size", 5}, {"max_position_embeddings", 16}};
  WriteFolder();
  folder_.Write("hf/model.safetensors", Zeros({{"gpt_neox.embed_in.weight", Dtype::kF32, {5, 8}}}));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "has no embed_out.weight");
}

TEST_F(ModelImportTest, EveryFamilyHasItsOwnDefaultForATiedHead) {
  config_.erase("tie_word_embeddings");
  for (const std::string family : {"gemma2", "gemma3_text", "smollm3"}) {
    config_["model_type"] = family;
    config_.erase("architectures");
    const auto model = Import(WriteFolder());
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->architecture, family);
  }
}

TEST_F(ModelImportTest, RotaryScalingsAreNamedPerFamily) {
  struct Case {
    std::string family;
    Json rope;
    std::string message;  // empty: fine
  };
  const Case cases[] = {
      {"llama", {{"rope_type", "mrope"}}, "\"mrope\" is not supported for llama; supported: default, linear"},
      {"qwen2", {{"type", "longrope"}}, "\"longrope\" is not supported for qwen2"},
      {"phi3", {{"type", "longrope"}}, ""},
      {"phi3", {{"type", "yarn"}}, "supported: default, longrope, su"},
      {"gemma3_text",
       {{"full_attention", {{"rope_type", "proportional"}}}},
       "rope_parameters.full_attention: type \"proportional\""},
      {"gemma3_text", {{"full_attention", {{"rope_type", "linear"}}}}, ""},
      {"llama", {{"rope_type", 3}}, ""}};  // said when it is loaded
  config_.erase("architectures");
  for (const Case& test : cases) {
    config_["model_type"] = test.family;
    config_["rope_parameters"] = test.rope;
    WriteFolder();
    const absl::Status status = Import(folder_.File("hf")).status();
    if (test.message.empty()) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(status.message(), HasSubstr(test.message));
    }
  }
}

TEST_F(ModelImportTest, ScaledPositionsMakeTheContextLonger) {
  const std::pair<Json, int64_t> cases[] = {
      {{{"rope_type", "dynamic"}, {"factor", 2.5}}, 40},
      {{{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 8}}, 32},
      {{{"rope_type", "yarn"}, {"factor", 1.5}, {"original_max_position_embeddings", 8}}, 16},
      {{{"rope_type", "linear"}, {"factor", 4}}, 16},
      {{{"rope_type", "dynamic"}, {"factor", "two"}}, 16},
      {{{"rope_type", "dynamic"}, {"factor", 1e300}}, 2147483647},
      {{{"rope_type", "dynamic"}, {"factor", -1e300}}, 16}};
  for (const auto& [rope, want] : cases) {
    for (const std::string field : {"rope_scaling", "rope_parameters"}) {
      config_.erase("rope_scaling");
      config_[field] = rope;
      const auto model = Import(WriteFolder());
      ASSERT_TRUE(model.ok()) << model.status();
      EXPECT_EQ(model->context_length, want) << rope;
    }
    config_.erase("rope_parameters");
  }
}

TEST_F(ModelImportTest, Gpt2FoldersAreKnownWithAndWithoutPrefix) {
  config_ = {{"model_type", "gpt2"}, {"vocab_size", 5}, {"n_positions", 3}};
  for (const std::string prefix : {"", "transformer."}) {
    WriteFolder();
    folder_.Write("hf/model.safetensors", Zeros({{prefix + "wte.weight", Dtype::kF32, {5, 4}}}));
    const auto model = Import(folder_.File("hf"));
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->architecture, "gpt2");
    EXPECT_EQ(model->context_length, 3);
  }
}

TEST_F(ModelImportTest, MissingFilesAreNamed) {
  ExpectRefused(absl::StatusCode::kNotFound, "hf: ");
  std::filesystem::create_directories(folder_.File("hf"));
  ExpectRefused(absl::StatusCode::kNotFound, "config.json: no such file");
  WriteConfig();
  ExpectRefused(absl::StatusCode::kNotFound, "tokenizer.json: no such file");
  folder_.Write("hf/tokenizer.json", "{}");
  ExpectRefused(absl::StatusCode::kNotFound, "model.safetensors: no such file");
}

TEST_F(ModelImportTest, PickleIsRefused) {
  for (const std::string name :
       {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "consolidated.00.pth"}) {
    WriteFolder();
    std::filesystem::remove(folder_.File("hf/model.safetensors"));
    std::filesystem::remove(folder_.File("hf/pytorch_model.bin"));
    folder_.Write("hf/" + name, "PK");
    ExpectRefused(absl::StatusCode::kInvalidArgument, name + ": pickle files can run code");
    std::filesystem::remove(folder_.File("hf/" + name));
  }
}

TEST_F(ModelImportTest, FoldersOfOtherThingsAreRecognised) {
  folder_.Write("hf/model.Q4_1.gguf", "GGUF");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "hf/model.Q4_1.gguf");
  folder_.Write("hf/adapter_config.json", "{}");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "holds an adapter");
}

TEST_F(ModelImportTest, BadConfigsAreRefused) {
  WriteFolder();
  const std::pair<std::string, std::string> cases[] = {
      {"{", "config.json: is not JSON"},
      {"[]", "config.json: is not a JSON object"},
      {"{}", "model_type is missing"},
      {R"({"model_type":7})", "model_type is missing or not a string"},
      {R"({"model_type":"mamba"})",
       "architecture \"mamba\" is not supported; supported: gemma2, gemma3_text, gpt2, gpt_neox, llama"},
      {R"({"model_type":"qwen3_moe"})", "architecture \"qwen3_moe\" is not supported"},
      {R"({"model_type":"llama","model_type":"llama"})", "twice"},
      {R"({"model_type":"llama","architectures":["LlamaForSequenceClassification"]})",
       "\"LlamaForSequenceClassification\""},
      {R"({"model_type":"llama","architectures":[]})", "architectures"},
      {R"({"model_type":"llama","vocab_size":5})", "max_position_embeddings is missing"},
      {R"({"model_type":"llama","vocab_size":5,"max_position_embeddings":0})", "max_position_embeddings = 0"},
      {R"({"model_type":"llama","max_position_embeddings":16})", "vocab_size is missing"},
      {R"({"model_type":"llama","max_position_embeddings":16,"vocab_size":6})",
       "the token embedding has 5 rows"},
      {R"({"model_type":"llama","max_position_embeddings":16,"vocab_size":5,"quantization_config":{"quant_method":"gptq"}})",
       "quantised (gptq)"},
  };
  for (const auto& [config, message] : cases) {
    folder_.Write("hf/config.json", config);
    ExpectRefused(absl::StatusCode::kInvalidArgument, message);
  }
}

TEST_F(ModelImportTest, BadWeightsAreRefused) {
  WriteFolder();
  const std::string good = Zeros({kEmbedding, kNorm});
  folder_.Write("hf/model.safetensors", good.substr(0, good.size() - 1));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "header promises");
  folder_.Write("hf/model.safetensors", good + "PK");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "after its last tensor");
  folder_.Write("hf/model.safetensors", Zeros({kEmbedding, {"model.norm.weight", Dtype::kI8, {8}}}));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "\"model.norm.weight\" has the type I8");
  folder_.Write("hf/model.safetensors", Zeros({kNorm}));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "no token embedding");
}

TEST_F(ModelImportTest, BadShardsAreRefused) {
  WriteFolder();
  WriteShards(kTwoShards);
  std::filesystem::remove(folder_.File("hf/model-00002-of-00002.safetensors"));
  ExpectRefused(absl::StatusCode::kNotFound,
                "model-00002-of-00002.safetensors: no such file, but model.safetensors.index.json");
  auto map = kTwoShards;
  map["model.extra.weight"] = "model-00002-of-00002.safetensors";
  WriteShards(map);
  ExpectRefused(absl::StatusCode::kInvalidArgument, "has no tensor \"model.extra.weight\"");
  map = kTwoShards;
  map.erase(kNorm.name);
  WriteShards(map);
  folder_.Write("hf/model-00001-of-00002.safetensors", Zeros({kEmbedding, kNorm}));
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                "\"model.norm.weight\", which model.safetensors.index.json does not place");
  for (const std::string name :
       {"../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "pytorch_model.bin", ""}) {
    map = kTwoShards;
    map[kNorm.name] = name;
    WriteShards(map);
    ExpectRefused(absl::StatusCode::kInvalidArgument, "not the name of a .safetensors file");
  }
  WriteShards({});
  ExpectRefused(absl::StatusCode::kInvalidArgument, "weight_map is missing");
  folder_.Write("hf/model.safetensors.index.json", R"({"weight_map":{"a":7}})");
  ExpectRefused(absl::StatusCode::kInvalidArgument, "the file of \"a\" is not a string");
}

TEST_F(ModelImportTest, LinksMayLeadOnlyBelowTheRoot) {
  WriteFolder();
  TempFolder outside;
  const std::string target = outside.Write("model.safetensors", Zeros({kEmbedding, kNorm}));
  options_.root = folder_.path();
  ASSERT_TRUE(Import(folder_.File("hf")).ok());
  // As hub caches have it: the folder links to files elsewhere below the root.
  folder_.Write("blobs/abc", Zeros({kEmbedding, kNorm}));
  std::filesystem::remove(folder_.File("hf/model.safetensors"));
  std::filesystem::create_symlink("../blobs/abc", folder_.File("hf/model.safetensors"));
  EXPECT_TRUE(Import(folder_.File("hf")).ok());
  std::filesystem::remove(folder_.File("hf/model.safetensors"));
  std::filesystem::create_symlink(target, folder_.File("hf/model.safetensors"));
  EXPECT_EQ(Import(folder_.File("hf")).status().code(), absl::StatusCode::kPermissionDenied);
  for (const std::string& path :
       {outside.path(), folder_.path() + "/../" + outside.path().substr(outside.path().rfind('/') + 1),
        std::string("/etc/passwd"), std::string("/nonexistent/x"), folder_.path() + "x"}) {
    EXPECT_EQ(Import(path).status().code(), absl::StatusCode::kPermissionDenied) << path;
  }
}

TEST_F(ModelImportTest, PipesAndDevicesAreNotRead) {
  WriteFolder();
  std::filesystem::remove(folder_.File("hf/tokenizer.json"));
  ASSERT_EQ(::mkfifo(folder_.File("hf/tokenizer.json").c_str(), 0600), 0);
  ExpectRefused(absl::StatusCode::kInvalidArgument, "is not a regular file");
  EXPECT_EQ(Import("/dev/zero").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ModelImportTest, AFullStoreIsResourceExhaustedAndLeavesNoModel) {
  WriteFolder();
  store_.refused = "/model.safetensors";
  EXPECT_EQ(Import(folder_.File("hf")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(HasManifest());
  store_.refused = "/never";
  const auto model = Import(folder_.File("hf"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE(ReadModel(store_, "t", model->digest).ok());
}

TEST_F(ModelImportTest, DamagedPartsAreHealed) {
  const auto model = Import(WriteFolder());
  const std::string key = ModelFolder("t", model->digest) + "/model.safetensors";
  std::string altered = Zeros({kEmbedding, kNorm});
  altered.back() ^= 1;
  for (const std::string& damaged : {std::string("short"), altered}) {
    ASSERT_TRUE(store_.Put(key, damaged).ok());
    ASSERT_TRUE(Import(folder_.File("hf")).ok());
    EXPECT_EQ(*store_.Get(key), Zeros({kEmbedding, kNorm}));
  }
  ASSERT_TRUE(store_.Delete(key).ok());
  ASSERT_TRUE(Import(folder_.File("hf")).ok());
  EXPECT_TRUE(store_.Head(key).ok());
}

TEST_F(ModelImportTest, ASourceThatChangesMeanwhileIsRefused) {
  WriteFolder();
  // Between hashing and writing, when the phase changes.
  options_.progress = [this](double, absl::string_view phase) {
    if (phase == "writing") folder_.Write("hf/tokenizer.json", "{\"version\":\"2.0\"}");
  };
  const absl::Status status = Import(folder_.File("hf")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(status.message(), HasSubstr("tokenizer.json changed while it was imported"));
  EXPECT_FALSE(HasManifest());
}

TEST_F(ModelImportTest, ProgressNeverFallsAndEndsAtOne) {
  std::vector<double> fractions;
  std::vector<std::string> phases;
  options_.progress = [&](double fraction, absl::string_view phase) {
    fractions.push_back(fraction);
    if (phases.empty() || phases.back() != phase) phases.emplace_back(phase);
  };
  const std::string gguf = folder_.Write("x.gguf", TinyLlama().Build());
  ASSERT_TRUE(Import(gguf).ok());
  EXPECT_TRUE(std::is_sorted(fractions.begin(), fractions.end()));
  EXPECT_EQ(fractions.front(), 0.0);
  EXPECT_EQ(fractions.back(), 1.0);
  EXPECT_THAT(phases, testing::ElementsAre("reading", "hashing", "writing", "done"));
}

TEST_F(ModelImportTest, AGgufFileIsConvertedOnce) {
  const std::string path = folder_.Write("x.gguf", TinyLlama().Build());
  const auto model = Import(path);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(num_conversions_, 1);
  const auto file = SafetensorsFile::Open(store_, ModelFolder("t", model->digest) + "/model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->Find("model.layers.1.mlp.up_proj.weight").ok());
  const int writes = store_.num_writes;
  const auto again = Import(folder_.Write("elsewhere.gguf", TinyLlama().Build()));
  EXPECT_EQ(again->digest, model->digest);
  EXPECT_EQ(again->num_parameters, model->num_parameters);
  EXPECT_EQ(num_conversions_, 1);
  EXPECT_EQ(store_.num_writes, writes);
}

TEST_F(ModelImportTest, AGgufFileWhoseModelWasDeletedIsConvertedAgain) {
  const std::string path = folder_.Write("x.gguf", TinyLlama().Build());
  const auto model = Import(path);
  ASSERT_TRUE(DeletePrefix(store_, ModelFolder("t", model->digest) + "/").ok());
  EXPECT_EQ(Import(path)->digest, model->digest);
  EXPECT_EQ(num_conversions_, 2);
  EXPECT_TRUE(ReadModel(store_, "t", model->digest).ok());
}

TEST_F(ModelImportTest, ARecordOfAnotherConversionIsIgnored) {
  const std::string bytes = TinyLlama().Build();
  const std::string path = folder_.Write("x.gguf", bytes);
  const auto model = Import(path);
  const std::string key = ModelSourceKey("t", Sha256Hex(bytes));
  EXPECT_EQ(ReadModelSource(store_, key)->model_digest, model->digest);
  for (const std::string record :
       {"", "{}", "[]", R"({"format":"vernier.model_source","version":0,"model":"x"})"}) {
    ASSERT_TRUE(store_.Put(key, record).ok());
    EXPECT_EQ(Import(path)->digest, model->digest) << record;
    EXPECT_EQ(ReadModelSource(store_, key)->model_digest, model->digest) << record;
  }
}

TEST_F(ModelImportTest, AGgufFolderAndItsImportAreTheSameModel) {
  // What a GGUF file becomes is a Hugging Face folder; importing that folder gives the same address.
  const auto files = FolderStore::Open({.root = folder_.File("store")});
  const auto model = ImportModel(folder_.Write("x.gguf", TinyGpt2().Build()), **files, "t", options_);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::string made = folder_.File("store/" + ModelFolder("t", model->digest));
  const auto again = Import(made);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->digest, model->digest);
  EXPECT_EQ(again->num_parameters, model->num_parameters);
}

TEST_F(ModelImportTest, FilesOfOtherKindsAreRefused) {
  EXPECT_THAT(Import(folder_.Write("x.gguf", "not gguf at all")).status().message(),
              HasSubstr("is not a GGUF file"));
  EXPECT_THAT(Import(folder_.Write("x.safetensors", Zeros({kNorm}))).status().message(),
              HasSubstr("name the folder"));
  options_.tokenizer_from_gguf = nullptr;
  EXPECT_EQ(Import(folder_.Write("y.gguf", TinyLlama().Build())).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Import(folder_.File("none.gguf")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*ListAll(store_, ""), IsEmpty());
}

TEST_F(ModelImportTest, TenantsDoNotShareModels) {
  const std::string folder = WriteFolder();
  const auto model = ImportModel(folder, store_, "a", options_);
  EXPECT_EQ(ReadModel(store_, "b", model->digest).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ImportModel(folder, store_, "a/../b", options_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::storage
