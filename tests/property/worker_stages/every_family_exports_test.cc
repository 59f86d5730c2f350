// Every family of worker/models/registry.cc is exported in every form that it has, and what is read back
// computes what base and adapter compute together: names, orders of rows, offsets of norms, factors and
// scales.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "adapters/lora.h"
#include "common/check.h"
#include "common/file.h"
#include "storage/gguf_description.h"
#include "storage/layout.h"
#include "storage/memory_store.h"
#include "storage/model_import.h"
#include "tests/testing/family_model.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/torch/small_model.h"
#include "tests/unit/worker_stages/stage_world.h"
#include "worker/models/torch.h"
#include "worker/stages/artifact.h"
#include "worker/stages/inputs.h"

namespace vernier::stages {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// A token for each of some characters; "</s>" is 2.
json SmallTokenizer(int64_t size) {
  json vocabulary = json::object();
  const std::string characters = "abcdefghijklmnopqrstuvwxyzTGH0123456789.,?!()";
  for (int64_t id = 0; id < size; ++id) {
    vocabulary[id == 2                                        ? "</s>"
               : id < static_cast<int64_t>(characters.size()) ? std::string(1, characters[id])
                                                              : "<t" + std::to_string(id) + ">"] = id;
  }
  const json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", {{{"id", 2}, {"content", "</s>"}, {"special", true}, {"normalized", false}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", bytes},
          {"post_processor", nullptr},
          {"decoder", bytes},
          {"model",
           {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}, {"byte_fallback", false}}}};
}

// What GGUF can say of such a model.
testing::FamilyModel PlainModelOf(const std::string& family) {
  auto model = testing::SmallModelOf(family);
  VN_CHECK_OK(model.status());
  if (family == "mistral") model->config["sliding_window"] = nullptr;
  if (family == "qwen2") model->config["use_sliding_window"] = false;
  if (family == "qwen3") {
    model->config["attention_bias"] = false;
    std::erase_if(model->tensors, [](const auto& tensor) { return absl::EndsWith(tensor.name, ".bias"); });
  }
  if (family == "gemma3_text") model->config["layer_types"] = {"sliding_attention", "sliding_attention"};
  return *std::move(model);
}

class ExportWorld {
 public:
  explicit ExportWorld(const testing::FamilyModel& model) {
    const std::string folder = root_.File("model");
    VN_CHECK_OK(testing::WriteFamilyModel(model, folder));
    const int64_t vocabulary = model.config.at("vocab_size").get<int64_t>();
    VN_CHECK_OK(WriteFileAtomic(folder + "/tokenizer.json", SmallTokenizer(vocabulary).dump()));
    const json config = {{"eos_token", "</s>"},
                         {"chat_template", "{% for m in messages %}{{ m.content }}</s>{% endfor %}"}};
    VN_CHECK_OK(WriteFileAtomic(folder + "/tokenizer_config.json", config.dump()));
    const auto imported = storage::ImportModel(folder, world_.store, "default", {});
    VN_CHECK_OK(imported.status());
    model_key_ = storage::ModelFolder("default", imported->digest);
    PutAdapter();
  }

  // What was made: profile -> difference; the task's error.
  absl::StatusOr<std::map<std::string, double>> Export(const std::vector<std::string>& profiles,
                                                       v1::GgufType type, bool lora) {
    v1::Task task = world_.NewTask();
    v1::ExportTask& out = *task.mutable_export_();
    for (const std::string& profile : profiles) out.mutable_stage()->add_profiles(profile);
    out.mutable_stage()->mutable_gguf()->set_type(type);
    out.mutable_stage()->mutable_gguf()->set_lora(lora);
    out.set_model_key(model_key_);
    out.set_adapter_key(kAdapter);
    out.set_output_key("tenants/default/jobs/j1/stages/out");
    out.set_model_name("small");
    out.set_source("an adapter");
    const auto attempt = world_.Run(task);
    if (!attempt->status.ok()) return attempt->status;
    return attempt->outcome.results;
  }

 private:
  static constexpr char kAdapter[] = "tenants/default/adapters/a1";

  // Uneven ranks and scales, and numbers that change the logits much.
  void PutAdapter() {
    const auto base = LoadBaseModel(world_.store, model_key_, at::kFloat);
    VN_CHECK_OK(base.status());
    v1::Tuning tuning;
    tuning.mutable_lora()->set_rank(3);
    tuning.mutable_lora()->set_alpha(5);
    tuning.mutable_lora()->set_rslora(true);
    (*tuning.mutable_lora()->mutable_rank_by_module())[base->model->linear_sites().front().leaf] = 2;
    auto made = adapters::CreateTuning(*base->model, tuning, 4);
    VN_CHECK_OK(made.status());
    testing::Perturb(**made);
    const auto exported = (*made)->Export("small");
    VN_CHECK_OK(exported.status());
    VN_CHECK_OK(world_.store.Put(std::string(kAdapter) + "/adapter_config.json", exported->config.dump()));
    VN_CHECK_OK(world_.store.Put(std::string(kAdapter) + "/adapter_model.safetensors",
                                 testing::TensorFileBytes(*exported)));
  }

  TempFolder root_;
  StageWorld world_;
  std::string model_key_;
};

bool HasGguf(const std::string& family) {
  const std::vector<std::string> known = storage::KnownGgufModelTypes();
  return std::find(known.begin(), known.end(), family) != known.end();
}

class EveryFamilyExportsTest : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryFamilyExportsTest, MergedAndAdapterFilesComputeWhatBaseAndAdapterDo) {
  const auto model = testing::SmallModelOf(GetParam());
  ASSERT_TRUE(model.ok()) << model.status();
  const auto made =
      ExportWorld(*model).Export({"peft", "serving", "merged"}, v1::GGUF_TYPE_UNSPECIFIED, false);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_LE(made->at("peft_difference"), 1e-6);
  EXPECT_LE(made->at("serving_difference"), 1e-5);
  EXPECT_LE(made->at("merged_difference"), 1e-5);
}

TEST_P(EveryFamilyExportsTest, GgufFilesComputeWhatBaseAndAdapterDo) {
  ExportWorld world(PlainModelOf(GetParam()));
  const auto made = world.Export({"gguf"}, v1::GGUF_TYPE_F32, false);
  if (!HasGguf(GetParam())) {
    EXPECT_TRUE(absl::IsInvalidArgument(made.status()));
    EXPECT_THAT(std::string(made.status().message()),
                HasSubstr("models are not written; written are those of"));
    return;
  }
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_LE(made->at("gguf_difference"), 1e-5);
  const auto adapter = world.Export({"gguf"}, v1::GGUF_TYPE_F32, true);
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  EXPECT_LE(adapter->at("gguf_difference"), 1e-5);
  const auto rounded = world.Export({"gguf"}, v1::GGUF_TYPE_Q8_0, false);
  ASSERT_TRUE(rounded.ok()) << rounded.status();
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamilyExportsTest, ::testing::ValuesIn(models::KnownModelTypes()),
                         [](const auto& info) { return info.param; });

struct Variant {
  std::string name, family;
  json change;       // merged into config.json
  std::string want;  // of the error; "": it is written
};

class GgufVariantTest : public ::testing::TestWithParam<Variant> {};

TEST_P(GgufVariantTest, IsWrittenExactlyOrRefusedByName) {
  testing::FamilyModel model = PlainModelOf(GetParam().family);
  model.config.update(GetParam().change);
  const auto made = ExportWorld(model).Export({"gguf"}, v1::GGUF_TYPE_F32, false);
  if (GetParam().want.empty()) {
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_LE(made->at("gguf_difference"), 1e-5);
  } else {
    EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << made.status();
    EXPECT_THAT(std::string(made.status().message()), HasSubstr(GetParam().want));
  }
}

json Rope(json scaling) { return {{"rope_scaling", std::move(scaling)}}; }

INSTANTIATE_TEST_SUITE_P(
    Variants, GgufVariantTest,
    ::testing::ValuesIn(std::vector<Variant>{
        {"Linear", "llama", Rope({{"rope_type", "linear"}, {"factor", 4.0}}), ""},
        {"Yarn", "qwen2",
         Rope({{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 16}}), ""},
        {"Llama3", "llama",
         Rope({{"rope_type", "llama3"},
               {"factor", 8.0},
               {"low_freq_factor", 1.0},
               {"high_freq_factor", 4.0},
               {"original_max_position_embeddings", 8192}}),
         ""},
        {"NewerField",
         "llama",
         {{"rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e4}}}},
         ""},
        {"OtherLlama3", "llama",
         Rope({{"rope_type", "llama3"},
               {"factor", 16.0},
               {"low_freq_factor", 1.0},
               {"high_freq_factor", 4.0},
               {"original_max_position_embeddings", 8192}}),
         "rope_scaling of type llama3 is written with the factors 8 and 32"},
        {"Dynamic", "llama", Rope({{"rope_type", "dynamic"}, {"factor", 2.0}}),
         "rotary positions scaled as \"dynamic\" are not written; written are linear, yarn and llama3"},
        {"YarnBounds", "qwen2", Rope({{"rope_type", "yarn"}, {"factor", 4.0}, {"beta_fast", 16}}),
         "rope_scaling.beta_fast is not the usual 32"},
        {"QwenWindow", "qwen2", {{"use_sliding_window", true}}, "GGUF keeps no windows for qwen models"},
        {"MistralWindow",
         "mistral",
         {{"sliding_window", 6}},
         "sliding_window = 6 is below the context of 32 tokens"},
        {"GemmaPattern",
         "gemma3_text",
         {{"layer_types", {"sliding_attention", "full_attention"}}},
         "layer 1 has no window, which is not the pattern"},
        {"GemmaScalar",
         "gemma2",
         {{"query_pre_attn_scalar", 144}},
         "query_pre_attn_scalar = 144 cannot be said in GGUF; readers take it for 6"},
        {"GemmaCaps", "gemma2", {{"final_logit_softcapping", nullptr}}, "final_logit_softcapping = null"},
        {"Activation", "llama", {{"hidden_act", "gelu"}}, "hidden_act = \"gelu\" cannot be said in GGUF"},
        {"Gpt2Scale",
         "gpt2",
         {{"scale_attn_by_inverse_layer_idx", true}},
         "scale_attn_by_inverse_layer_idx = true cannot be said in GGUF"},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::stages
