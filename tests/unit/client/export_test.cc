#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/export_job.h"
#include "client/serving_commands.h"

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

std::string CommandFor(const Exported& exported, const std::string& server) {
  for (const ServingCommand& command : ServingCommands(exported)) {
    if (command.server == server) return command.command.empty() ? "# " + command.note : command.command;
  }
  return "none";
}

TEST(ServingCommandsTest, AdaptersSayTheirRankToVllm) {
  Exported exported = {.profile = "serving", .folder = "/out/tone", .base = "smollm2", .name = "tone"};
  exported.adapter_config = R"({"r": 12, "lora_alpha": 12, "rank_pattern": {}, "alpha_pattern": {}})";
  EXPECT_EQ(CommandFor(exported, "first"),
            "vernier export models/smollm2 --profile merged --to /out/tone/base");
  EXPECT_EQ(CommandFor(exported, "vLLM"),
            "vllm serve /out/tone/base --enable-lora --max-lora-rank 16 --lora-modules tone=/out/tone");
  EXPECT_THAT(CommandFor(exported, "transformers"), HasSubstr("PeftModel.from_pretrained"));
}

TEST(ServingCommandsTest, WhatVllmWouldReadWronglyIsNotServedWithIt) {
  Exported exported = {.profile = "peft", .folder = "/out", .base = "b", .name = "n"};
  for (const char* config :
       {R"({"r": 8, "rank_pattern": {"q_proj": 2}})", R"({"r": 8, "alpha_pattern": {"q_proj": 2}})",
        R"({"r": 8, "use_rslora": true})"}) {
    exported.adapter_config = config;
    EXPECT_THAT(CommandFor(exported, "vLLM"), HasSubstr("export with --profile serving")) << config;
  }
}

TEST(ServingCommandsTest, GgufFilesRunInLlamaCppAndOllama) {
  const Exported model = {.profile = "gguf", .folder = "/a b", .base = "base", .name = "a b"};
  EXPECT_EQ(CommandFor(model, "llama.cpp"), "llama-server -m '/a b/model.gguf' --alias 'a b' --jinja");
  EXPECT_EQ(CommandFor(model, "Ollama"), "ollama create 'a b' -f '/a b/Modelfile' && ollama run 'a b'");
  const Exported lora = {.profile = "gguf", .lora = true, .folder = "/o", .base = "base", .name = "o"};
  EXPECT_EQ(CommandFor(lora, "first"), "vernier export models/base --profile gguf --to /o/base");
  EXPECT_EQ(CommandFor(lora, "llama.cpp"),
            "llama-server -m /o/base/model.gguf --lora /o/adapter.gguf --alias o --jinja");
  EXPECT_EQ(CommandFor(lora, "transformers"), "none");
}

TEST(ServingCommandsTest, WordsAreQuotedForAShell) {
  EXPECT_EQ(ShellWord("a-b/c.d"), "a-b/c.d");
  EXPECT_EQ(ShellWord("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellWord(""), "''");
}

}  // namespace
}  // namespace vernier::client
