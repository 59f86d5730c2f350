#include "worker/stages/export/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/gguf.h"
#include "storage/manifest.h"
#include "tests/unit/worker_stages/stage_world.h"
#include "worker/stages/artifact.h"
#include "worker/stages/inputs.h"

namespace vernier::stages {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kOut[] = "tenants/default/jobs/j1/stages/out";

// Two ranks, their own alphas, rslora: what servers read differently.
v1::TrainStage Uneven() {
  v1::TrainStage stage = SmallStage();
  v1::Lora& lora = *stage.mutable_tuning()->mutable_lora();
  lora.set_rslora(true);
  (*lora.mutable_rank_by_module())["q_proj"] = 2;
  (*lora.mutable_alpha_by_module())["down_proj"] = 3.5;
  return stage;
}

class ExportTest : public testing::Test {
 protected:
  std::string Train(const v1::TrainStage& stage) {
    const auto attempt = world_.Run(world_.TrainTask(stage));
    EXPECT_TRUE(attempt->status.ok()) << attempt->status;
    return attempt->context.artifact()->key();
  }
  v1::Task Task(const std::string& adapter, const std::vector<std::string>& profiles) {
    v1::Task task = world_.NewTask();
    v1::ExportTask& out = *task.mutable_export_();
    for (const std::string& profile : profiles) out.mutable_stage()->add_profiles(profile);
    out.set_model_key(world_.model_key);
    out.set_adapter_key(adapter);
    out.set_output_key(kOut);
    out.set_model_name("tiny");
    out.set_prepared_key(StageWorld::kPrepared);
    out.set_source("stage \"sft\"");
    return task;
  }
  static std::map<std::string, v1::Artifact> Artifacts(const Attempt& attempt) {
    std::map<std::string, v1::Artifact> all;
    for (const v1::TaskEvent& event : attempt.context.events()) {
      if (event.has_artifact()) all[event.artifact().name()] = event.artifact();
    }
    return all;
  }
  static std::vector<std::string> Names(const Attempt& attempt) {
    std::vector<std::string> names;
    for (const auto& [name, artifact] : Artifacts(attempt)) names.push_back(name);
    return names;
  }
  std::string File(const v1::Artifact& artifact, const std::string& name) {
    const auto bytes = world_.store.Get(absl::StrCat(artifact.key(), "/", name));
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? *bytes : "";
  }
  json Fields(const v1::Artifact& artifact) {
    const auto manifest = storage::ReadManifest(world_.store, artifact.key(), kArtifactFormat);
    EXPECT_TRUE(manifest.ok()) << manifest.status();
    return manifest->fields;
  }

  StageWorld world_;
};

TEST_F(ExportTest, EveryProfileComputesWhatWasTrained) {
  const auto attempt = world_.Run(Task(Train(Uneven()), {"peft", "serving", "merged", "gguf"}));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  auto made = Artifacts(*attempt);
  EXPECT_THAT(Names(*attempt), ElementsAre("gguf", "merged", "peft", "serving"));
  EXPECT_LE(attempt->outcome.results.at("peft_difference"), 1e-6);
  EXPECT_LE(attempt->outcome.results.at("serving_difference"), 1e-5);
  EXPECT_LE(attempt->outcome.results.at("merged_difference"), 1e-5);
  EXPECT_LE(attempt->outcome.results.at("gguf_difference"), 5e-3) << "f16 by default";

  const json peft = json::parse(File(made["peft"], "adapter_config.json"));
  EXPECT_TRUE(peft["use_rslora"]);
  EXPECT_THAT(peft["rank_pattern"], Not(IsEmpty()));
  const json serving = json::parse(File(made["serving"], "adapter_config.json"));
  EXPECT_EQ(serving["r"], 4);
  EXPECT_EQ(serving["lora_alpha"], 4);
  EXPECT_FALSE(serving["use_rslora"]);
  EXPECT_THAT(serving["rank_pattern"], IsEmpty());
  EXPECT_THAT(serving["alpha_pattern"], IsEmpty());

  EXPECT_EQ(json::parse(File(made["merged"], "generation_config.json"))["eos_token_id"], tiny::kEnd);
  EXPECT_THAT(File(made["merged"], "tokenizer_config.json"), HasSubstr("chat_template"));
  EXPECT_THAT(File(made["merged"], "config.json"), HasSubstr("LlamaForCausalLM"));

  const std::string bytes = File(made["gguf"], "model.gguf");
  const auto gguf = storage::Gguf::Parse(bytes, "model.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->GetString("general.architecture").value(), "llama");
  EXPECT_EQ(gguf->GetInt("tokenizer.ggml.eos_token_id").value(), tiny::kEnd);
  EXPECT_THAT(std::string(gguf->GetString("tokenizer.chat_template").value()), HasSubstr("<|start|>"));
  EXPECT_EQ(gguf->FindTensor("output.weight"), nullptr) << "the head is the embedding";
  const std::string modelfile = File(made["gguf"], "Modelfile");
  EXPECT_THAT(modelfile, HasSubstr("FROM ./model.gguf\n"));
  EXPECT_THAT(modelfile, HasSubstr("PARAMETER stop \"<|end|>\""));
  EXPECT_THAT(
      modelfile,
      HasSubstr("{{ range .Messages }}{{ if eq .Role \"system\" }}<|start|>system\n{{ .Content }}<|end|>\n"));
  EXPECT_THAT(modelfile, HasSubstr("{{ end }}{{ end }}<|start|>assistant\n\"\"\""));

  const json check = Fields(made["merged"])["serve_check"];
  EXPECT_EQ(check["rows_from"], "training rows");
  EXPECT_EQ(check["tolerance"], 1e-4);
}

TEST_F(ExportTest, AnAdapterAloneBecomesAGgufFileThatComputesTheSame) {
  v1::Task task = Task(Train(Uneven()), {"gguf"});
  task.mutable_export_()->mutable_stage()->mutable_gguf()->set_lora(true);
  task.mutable_export_()->mutable_stage()->mutable_gguf()->set_type(v1::GGUF_TYPE_F32);
  const auto attempt = world_.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_LE(attempt->outcome.results.at("gguf_difference"), 1e-5);
  const v1::Artifact artifact = Artifacts(*attempt)["gguf"];
  const std::string bytes = File(artifact, "adapter.gguf");
  const auto gguf = storage::Gguf::Parse(bytes, "adapter.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->GetString("adapter.type").value(), "lora");
  EXPECT_EQ(gguf->GetDouble("adapter.lora.alpha").value(), 4);
  EXPECT_THAT(gguf->FindTensor("blk.1.attn_q.weight.lora_b")->shape, ElementsAre(32, 4));
  EXPECT_THAT(File(artifact, "Modelfile"), HasSubstr("FROM ./base/model.gguf\nADAPTER ./adapter.gguf\n"));
}

TEST_F(ExportTest, TypesStateTheirRounding) {
  const std::string adapter = Train(SmallStage());
  std::map<v1::GgufType, double> differences;
  for (const v1::GgufType type : {v1::GGUF_TYPE_F32, v1::GGUF_TYPE_F16, v1::GGUF_TYPE_Q8_0}) {
    v1::Task task = Task(adapter, {"gguf"});
    task.mutable_export_()->mutable_stage()->mutable_gguf()->set_type(type);
    const auto attempt = world_.Run(task);
    ASSERT_TRUE(attempt->status.ok()) << attempt->status;
    differences[type] = attempt->outcome.results.at("gguf_difference");
  }
  EXPECT_LE(differences[v1::GGUF_TYPE_F32], 1e-5);
  EXPECT_LE(differences[v1::GGUF_TYPE_F16], 5e-3);
  EXPECT_GT(differences[v1::GGUF_TYPE_F16], differences[v1::GGUF_TYPE_F32]);
  EXPECT_GT(differences[v1::GGUF_TYPE_Q8_0], differences[v1::GGUF_TYPE_F16]);
}

TEST_F(ExportTest, WholeWeightsAreExportedAsAModel) {
  v1::TrainStage stage = SmallStage();
  stage.mutable_tuning()->mutable_full();
  const std::string weights = Train(stage);
  v1::Task task = Task("", {"merged", "gguf"});
  task.mutable_export_()->set_model_key(weights);
  const auto attempt = world_.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->outcome.results.at("merged_difference"), 0);
  v1::Task peft = Task("", {"peft"});
  peft.mutable_export_()->set_model_key(weights);
  const auto refused = world_.Run(peft);
  EXPECT_TRUE(absl::IsInvalidArgument(refused->status));
  EXPECT_THAT(std::string(refused->status.message()),
              HasSubstr("hold an adapter, and stage \"sft\" has none"));
}

TEST_F(ExportTest, TheTemplateOfTrainingIsTheOneThatServes) {
  v1::Task task = Task(Train(SmallStage()), {"merged", "gguf"});
  task.mutable_export_()->set_chat_template("{% for m in messages %}[{{ m.content }}]{% endfor %}");
  const auto attempt = world_.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  auto made = Artifacts(*attempt);
  EXPECT_EQ(json::parse(File(made["merged"], "tokenizer_config.json"))["chat_template"],
            "{% for m in messages %}[{{ m.content }}]{% endfor %}");
  const std::string bytes = File(made["gguf"], "model.gguf");
  EXPECT_EQ(storage::Gguf::Parse(bytes, "g")->GetString("tokenizer.chat_template").value(),
            "{% for m in messages %}[{{ m.content }}]{% endfor %}");
}

TEST_F(ExportTest, WithoutRowsItComparesOnTextsOfItsOwn) {
  v1::Task task = Task(Train(SmallStage()), {"merged"});
  task.mutable_export_()->set_prepared_key("tenants/default/prepared/gone");
  const auto attempt = world_.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(Fields(Artifacts(*attempt)["merged"])["serve_check"]["rows_from"], "built-in texts");
}

TEST_F(ExportTest, AnAttemptThatIsStoppedPublishesWholeProfilesAndTheNextOneTheRest) {
  v1::Task task = Task(Train(SmallStage()), {"peft", "serving", "merged"});
  const auto stopped = world_.Run(task, {}, [](Attempt& attempt) {
    attempt.context.on_event = [&attempt](const v1::TaskEvent& event) {
      if (event.progress().phase() == "exporting serving") attempt.context.stop = true;
    };
  });
  ASSERT_TRUE(stopped->status.ok()) << stopped->status;
  EXPECT_TRUE(stopped->outcome.stopped);
  EXPECT_THAT(Names(*stopped), ElementsAre("peft"));
  v1::Task again = Task(task.export_().adapter_key(), {"peft", "serving", "merged"});
  again.mutable_export_()->add_done("peft");
  again.mutable_export_()->add_done_keys(Artifacts(*stopped)["peft"].key());
  const auto rest = world_.Run(again);
  ASSERT_TRUE(rest->status.ok()) << rest->status;
  EXPECT_THAT(Names(*rest), ElementsAre("merged", "serving"));
  // The last attempt's results are the stage's: they tell of all profiles.
  EXPECT_EQ(rest->outcome.results.at("peft_difference"), stopped->outcome.results.at("peft_difference"));
  EXPECT_TRUE(rest->outcome.results.contains("merged_difference"));
}

// Another store as one that is not on this machine.
class RemoteStore : public storage::ObjectStore {
 public:
  explicit RemoteStore(storage::ObjectStore& store) : store_(store) {}
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view key,
                                                                    storage::WriteMode mode) override {
    return store_.OpenWriter(key, mode);
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    return store_.GetRange(key, offset, length);
  }
  absl::StatusOr<storage::ObjectInfo> Head(absl::string_view key) override { return store_.Head(key); }
  absl::StatusOr<std::vector<storage::ObjectInfo>> List(absl::string_view prefix, absl::string_view after,
                                                        int limit) override {
    return store_.List(prefix, after, limit);
  }
  absl::Status Delete(absl::string_view key) override { return store_.Delete(key); }
  std::optional<std::string> LocalPath(absl::string_view key) override { return std::nullopt; }
  std::string Uri() const override { return store_.Uri(); }

 private:
  storage::ObjectStore& store_;
};

// Hands out the tensors of some keys with one bit turned over.
class SpoilingStore final : public RemoteStore {
 public:
  SpoilingStore(storage::ObjectStore& store, std::string part) : RemoteStore(store), part_(std::move(part)) {}
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    absl::StatusOr<std::string> bytes = RemoteStore::GetRange(key, offset, length);
    // The highest byte of the last number, an exponent.
    const bool spoils = absl::StrContains(key, part_) && absl::EndsWith(key, ".safetensors");
    if (bytes.ok() && spoils && !bytes->empty()) bytes->back() ^= 0x40;
    return bytes;
  }

 private:
  const std::string part_;
};

// Hands out the GGUF file of another artifact.
class SwappingStore final : public RemoteStore {
 public:
  SwappingStore(storage::ObjectStore& store, std::string instead)
      : RemoteStore(store), instead_(std::move(instead)) {}
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    return RemoteStore::GetRange(absl::EndsWith(key, "/model.gguf") ? absl::string_view(instead_) : key,
                                 offset, length);
  }

 private:
  const std::string instead_;
};

TEST_F(ExportTest, AnExportThatLostAMildAdapterIsRefusedThoughRoundingMovesAsMuch) {
  const auto q8 = [&](const std::string& adapter) {
    v1::Task task = Task(adapter, {"gguf"});
    task.mutable_export_()->mutable_stage()->mutable_gguf()->set_type(v1::GGUF_TYPE_Q8_0);
    return task;
  };
  v1::TrainStage mild = SmallStage();
  mild.mutable_optimizer()->mutable_adamw()->set_learning_rate(2e-4);
  const std::string adapter = Train(mild);
  const auto kept = world_.Run(q8(adapter));
  ASSERT_TRUE(kept->status.ok()) << kept->status;
  const json check = Fields(Artifacts(*kept)["gguf"])["serve_check"];
  // By the tolerance alone, the bare base would do.
  ASSERT_LT(check["adapter_moves"], check["tolerance"]);
  EXPECT_NEAR(check["adapter_carried"].get<double>(), 1.0, 0.4);

  const auto bare = world_.Run(q8(""));
  ASSERT_TRUE(bare->status.ok()) << bare->status;
  SwappingStore swapping(world_.store, absl::StrCat(Artifacts(*bare)["gguf"].key(), "/model.gguf"));
  world_.store_override = &swapping;
  const auto lost = world_.Run(q8(adapter));
  EXPECT_EQ(lost->status.code(), absl::StatusCode::kInternal) << lost->status;
  EXPECT_THAT(std::string(lost->status.message()), HasSubstr("it has lost the adapter; it is not published"));
  EXPECT_THAT(Names(*lost), IsEmpty());
}

TEST_F(ExportTest, AnAdapterThatDoesLessThanRoundingIsSaidNotToBeChecked) {
  v1::TrainStage still = SmallStage();
  still.mutable_optimizer()->mutable_adamw()->set_learning_rate(1e-9);
  v1::Task task = Task(Train(still), {"gguf"});
  const auto attempt = world_.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  const json check = Fields(Artifacts(*attempt)["gguf"])["serve_check"];
  EXPECT_FALSE(check.contains("adapter_carried"));
  EXPECT_THAT(check["adapter_not_checked"].get<std::string>(),
              HasSubstr("too little to be told from rounding"));
  EXPECT_THAT(attempt->context.logs(), testing::Contains(HasSubstr("that it is there was not checked")));
}

TEST_F(ExportTest, OnlyWhatIsNotInFp32IsCopiedToCompareInFp32) {
  EXPECT_EQ(Fp32CopyBytes(world_.store, world_.model_key).value(), 0);
  const std::string halves(8 * 4 * 2, '\0'), singles(8 * 4 * 4, '\0');
  std::vector<storage::TensorView> tensors(3);
  tensors[0] = {{"a", storage::Dtype::kBF16, {8, 4}}, halves};
  tensors[1] = {{"b", storage::Dtype::kF16, {8, 4}}, halves};
  tensors[2] = {{"c", storage::Dtype::kF32, {8, 4}}, singles};
  const v1::Task task = world_.NewTask();
  ArtifactWriter writer(world_.store, task, kOut, kWeightsKind);
  ASSERT_TRUE(writer.AddTensors("model.safetensors", tensors).ok());
  ASSERT_TRUE(writer.Commit(json::object()).ok());
  EXPECT_EQ(Fp32CopyBytes(world_.store, writer.folder()).value(), 2 * 8 * 4 * 4);
}

TEST_F(ExportTest, AMismatchFailsWithBothNumbersAndPublishesNothingOfTheProfile) {
  const v1::Task task = Task(Train(SmallStage()), {"peft", "serving"});
  SpoilingStore spoiling(world_.store, "/artifacts/serving-");
  world_.store_override = &spoiling;
  const auto attempt = world_.Run(task);
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kInternal) << attempt->status;
  EXPECT_THAT(std::string(attempt->status.message()),
              HasSubstr("profile serving: reloaded, its logits differ from the trainer's by "));
  EXPECT_THAT(std::string(attempt->status.message()),
              HasSubstr("the tolerance is 1e-05; it is not published"));
  EXPECT_THAT(Names(*attempt), ElementsAre("peft"));
  const auto objects = storage::ListAll(world_.store, kOut);
  ASSERT_TRUE(objects.ok()) << objects.status();
  for (const storage::ObjectInfo& object : *objects) {
    EXPECT_FALSE(absl::StrContains(object.key, "/serving-") && absl::EndsWith(object.key, "/manifest.json"));
  }
}

TEST_F(ExportTest, AnAdapterOfAnotherBaseIsRefused) {
  v1::Task task = Task(Train(SmallStage()), {"merged"});
  task.mutable_export_()->set_model_key(tiny::ImportModel(world_.store, "default", 2).value());
  const auto attempt = world_.Run(task);
  EXPECT_TRUE(absl::IsFailedPrecondition(attempt->status)) << attempt->status;
  EXPECT_THAT(std::string(attempt->status.message()), HasSubstr("export it with its own base"));
}

}  // namespace
}  // namespace vernier::stages
