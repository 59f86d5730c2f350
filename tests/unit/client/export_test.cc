#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "client/export_job.h"
#include "client/serving_commands.h"
#include "google/protobuf/text_format.h"
#include "tests/testing/gguf_builder.h"

namespace vernier::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ExportRequest Read(const std::string& source, const std::string& model = "",
                   const std::string& profile = "merged", const std::string& type = "", bool lora = false) {
  const auto request = ReadExportRequest(source, model, profile, type, lora);
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? *request : ExportRequest();
}

TEST(ExportRequestTest, SourcesAreJobsStagesAdaptersAndModels) {
  EXPECT_EQ(ExportSpec(Read("jobs/1234")).stages(0).export_().job(), "jobs/1234");
  EXPECT_EQ(ExportSpec(Read("jobs/1234/stages/sft")).stages(0).export_().job(), "jobs/1234/stages/sft");
  const v1::ExportStage adapter = ExportSpec(Read("adapters/cafe", "base", "serving")).stages(0).export_();
  EXPECT_EQ(adapter.model().base(), "base");
  EXPECT_EQ(adapter.adapter().adapter(), "adapters/cafe");
  EXPECT_THAT(adapter.profiles(), ElementsAre("serving"));
  const v1::ExportStage model = ExportSpec(Read("models/base", "", "gguf", "q8_0")).stages(0).export_();
  EXPECT_EQ(model.model().base(), "base");
  EXPECT_FALSE(model.has_adapter());
  EXPECT_EQ(model.gguf().type(), v1::GGUF_TYPE_Q8_0);
  EXPECT_EQ(ExportSpec(Read("j", "", "gguf", "", true)).stages(0).export_().gguf().type(),
            v1::GGUF_TYPE_UNSPECIFIED)
      << "the service knows the default";
}

TEST(ExportRequestTest, RefusesWordsThatDoNotGoTogether) {
  const auto error = [](const char* source, const char* model, const char* profile, const char* type,
                        bool lora) {
    return std::string(ReadExportRequest(source, model, profile, type, lora).status().message());
  };
  EXPECT_THAT(error("j", "", "merged", "f16", false), StartsWith("--type goes with --profile gguf"));
  EXPECT_THAT(error("j", "", "peft", "", true), StartsWith("--lora goes with --profile gguf"));
  EXPECT_THAT(error("adapters/cafe", "", "peft", "", false), HasSubstr("with --model"));
  EXPECT_THAT(error("j", "base", "peft", "", false), StartsWith("--model goes with adapters/DIGEST"));
  EXPECT_THAT(error("j/stages/", "", "peft", "", false), HasSubstr("names no job"));
  EXPECT_THAT(error("models/", "", "merged", "", false), StartsWith("\"models/\" names no job; write "));
}

TEST(ExportRequestTest, EqualRequestsHaveOneId) {
  const std::string id = ExportRequestId(Read("j"), 0);
  EXPECT_EQ(id, ExportRequestId(Read("j"), 0));
  EXPECT_LE(ExportRequestId(Read("j"), 99).size(), 64u);
  EXPECT_NE(id, ExportRequestId(Read("j"), 1)) << "after a failure";
  EXPECT_NE(id, ExportRequestId(Read("j/stages/a"), 0));
  EXPECT_NE(id, ExportRequestId(Read("j", "", "peft"), 0));
  EXPECT_NE(ExportRequestId(Read("j", "", "gguf", "f16"), 0),
            ExportRequestId(Read("j", "", "gguf", "q8_0"), 0));
  ExportRequest model = Read("models/base");
  model.model_digest = "one";
  const std::string before = ExportRequestId(model, 0);
  model.model_digest = "two";
  EXPECT_NE(ExportRequestId(model, 0), before) << "the name means another model now";
}

TEST(BaseSourceTest, IsWhatTheStageWasTrainedOn) {
  v1::Job job;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "jobs/x"
         spec { stages { id: "a" train { model { base: "smollm2" } tuning { full {} } } }
                stages { id: "b" train { model { stage: "a" } } }
                stages { id: "c" train { model { base: "other" } } }
                stages { id: "judge" evaluate { model { stage: "b" } } } }
         stages { id: "a" state: STAGE_STATE_FAILED } stages { id: "b" state: STAGE_STATE_SUCCEEDED }
         stages { id: "c" state: STAGE_STATE_CANCELLED } stages { id: "judge" state: STAGE_STATE_SUCCEEDED })",
      &job));
  EXPECT_EQ(BaseSourceOf(job, "b"), "jobs/x/stages/a");
  EXPECT_EQ(BaseSourceOf(job, "c"), "models/other");
  EXPECT_EQ(BaseSourceOf(job, ""), "jobs/x/stages/a") << "of the one that published";
  EXPECT_EQ(BaseSourceOf(job, "judge"), "models/BASE") << "never that of another stage";
}

std::string CommandFor(const Exported& exported, const std::string& server) {
  for (const ServingCommand& command : ServingCommands(exported)) {
    if (command.server == server) return command.command.empty() ? "# " + command.note : command.command;
  }
  return "none";
}

TEST(ServingCommandsTest, AdaptersSayTheirRankToVllm) {
  Exported exported = {.profile = "serving", .folder = "/out/tone", .base = "models/smollm2", .name = "tone"};
  exported.adapter_config = R"({"r": 12, "lora_alpha": 12, "rank_pattern": {}, "alpha_pattern": {}})";
  EXPECT_EQ(CommandFor(exported, "first"),
            "vernier export models/smollm2 --profile merged --to /out/tone/base");
  EXPECT_EQ(CommandFor(exported, "vLLM"),
            "vllm serve /out/tone/base --enable-lora --max-lora-rank 16 --lora-modules tone=/out/tone");
  EXPECT_THAT(CommandFor(exported, "transformers"), HasSubstr("PeftModel.from_pretrained"));
}

TEST(ServingCommandsTest, WhatVllmWouldReadWronglyIsNotServedWithIt) {
  Exported exported = {.profile = "peft", .folder = "/out", .base = "models/b", .name = "n"};
  for (const char* config :
       {R"({"r": 8, "rank_pattern": {"q_proj": 2}})", R"({"r": 8, "alpha_pattern": {"q_proj": 2}})",
        R"({"r": 8, "use_rslora": true})"}) {
    exported.adapter_config = config;
    EXPECT_THAT(CommandFor(exported, "vLLM"), HasSubstr("export with --profile serving")) << config;
  }
}

TEST(ServingCommandsTest, GgufFilesRunInLlamaCppAndOllama) {
  const Exported model = {.profile = "gguf", .folder = "/a b", .base = "models/base", .name = "a b"};
  EXPECT_EQ(CommandFor(model, "llama.cpp"), "llama-server -m '/a b/model.gguf' --alias 'a b' --jinja");
  EXPECT_EQ(CommandFor(model, "Ollama"), "ollama create 'a b' -f '/a b/Modelfile' && ollama run 'a b'");
  const Exported lora = {.profile = "gguf", .lora = true, .folder = "/o", .base = "models/base", .name = "o"};
  EXPECT_EQ(CommandFor(lora, "first"), "vernier export models/base --profile gguf --to /o/base");
  EXPECT_EQ(CommandFor(lora, "llama.cpp"),
            "llama-server -m /o/base/model.gguf --lora /o/adapter.gguf --alias o --jinja");
  EXPECT_EQ(CommandFor(lora, "transformers"), "none");
}

TEST(ServingCommandsTest, AWindowThatLlamaCppDoesNotKeepIsTold) {
  const auto window = [](uint32_t window, uint32_t context) {
    GgufBuilder builder;
    builder.String("general.architecture", "phi3").Int("phi3.context_length", context);
    const std::string bytes = builder.Int("phi3.attention.sliding_window", window).Build();
    return IgnoredWindow(*storage::Gguf::Parse(bytes, "model.gguf"));
  };
  EXPECT_EQ(window(2047, 4096), 2047);
  EXPECT_EQ(window(0, 4096), 0);
  EXPECT_EQ(window(262144, 4096), 0);
  EXPECT_EQ(IgnoredWindow(*storage::Gguf::Parse(GgufBuilder().Build(), "model.gguf")), 0);
  for (const int64_t ignored : {0, 2047}) {
    for (const ServingCommand& command :
         ServingCommands({.profile = "gguf", .folder = "/o", .ignored_window = ignored})) {
      const bool told = absl::StrContains(command.note, "beyond 2047 tokens");
      EXPECT_EQ(told, ignored > 0 && command.server != "transformers") << command.server;
    }
  }
}

TEST(ServingCommandsTest, WordsAreQuotedForAShell) {
  EXPECT_EQ(ShellWord("a-b/c.d"), "a-b/c.d");
  EXPECT_EQ(ShellWord("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellWord(""), "''");
}

}  // namespace
}  // namespace vernier::client
