// vernier generate: text from a model, or from a job's adapter on its base.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/cli.h"
#include "client/model_files.h"
#include "common/status_macros.h"

namespace vernier::cli {
namespace {

struct GenerateOptions {
  std::string model, adapter, system;
  std::vector<std::string> prompts;
  bool raw = false;
  int max_new_tokens = 128;
  double temperature = 0, top_p = 1;
  int top_k = 0;
  uint64_t seed = 0;
};

// The base that a job trained: the prompt is rendered with its template.
absl::StatusOr<std::string> BaseOf(client::Client& client, const std::string& job) {
  v1::GetJobRequest request;
  request.set_name(job);
  VN_ASSIGN_OR_RETURN(const v1::GetJobResponse response, client.Call(&v1::JobService::Stub::GetJob, request));
  const v1::JobSpec& spec = response.job().spec();
  if (!spec.model().base().empty()) return spec.model().base();
  for (const v1::Stage& stage : spec.stages()) {
    if (stage.has_train() && !stage.train().model().base().empty()) return stage.train().model().base();
  }
  return absl::InvalidArgumentError(absl::StrCat(job, " names no base model; say which with --model"));
}

absl::Status Run(Cli& cli, const GenerateOptions& options) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::GenerateRequest request;
  std::string model = options.model;
  if (!options.adapter.empty()) {
    if (absl::StartsWith(options.adapter, "adapters/")) {
      request.mutable_adapter()->set_adapter(options.adapter);
      if (model.empty())
        return absl::InvalidArgumentError("--adapter adapters/...: say its base with --model");
    } else {
      request.mutable_adapter()->set_job(options.adapter);
      if (model.empty()) {
        VN_ASSIGN_OR_RETURN(model,
                            BaseOf(*client, options.adapter.substr(0, options.adapter.find("/stages/"))));
      }
    }
  }
  if (model.empty())
    return absl::InvalidArgumentError("say what to generate with: --model, or --adapter JOB");
  request.set_model(model);
  client::CodecRequest codec_request;
  codec_request.model = model;
  std::unique_ptr<data::Codec> codec;
  if (!options.raw) {
    VN_ASSIGN_OR_RETURN(codec, client::OpenCodec(codec_request, [&cli] { return cli.client(); }));
  }
  for (const std::string& prompt : options.prompts) {
    if (options.raw) {
      request.add_prompts(prompt);
      continue;
    }
    data::Json messages = data::Json::array();
    if (!options.system.empty()) messages.push_back({{"role", "system"}, {"content", options.system}});
    messages.push_back({{"role", "user"}, {"content", prompt}});
    VN_ASSIGN_OR_RETURN(std::string rendered, codec->RenderPrompt(messages));
    request.add_prompts(std::move(rendered));
  }
  v1::Decoding& decoding = *request.mutable_decoding();
  decoding.set_max_new_tokens(options.max_new_tokens);
  decoding.set_temperature(options.temperature);
  decoding.set_top_p(options.top_p);
  decoding.set_top_k(options.top_k);
  decoding.set_seed(options.seed);
  return client->Generate(request, [&](const v1::GenerateResponse& piece) {
    if (cli.json()) {
      PrintJson(piece);
      return;
    }
    std::cout << piece.text() << std::flush;
    if (piece.done()) std::cout << "\n";
  });
}

}  // namespace

void AddGenerateCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand("generate", "Ask a model, or the adapter that a job trained");
  const auto options = std::make_shared<GenerateOptions>();
  command->add_option("prompt", options->prompts, "What to say to it (several: one answer each)")->required();
  command->add_option("--model,-m", options->model, "Base model in the service");
  command->add_option("--adapter,-a", options->adapter, "Job (or jobs/ID/stages/STAGE, or adapters/DIGEST)");
  command->add_option("--system", options->system, "System prompt");
  command->add_flag("--raw", options->raw, "Continue the text as it is, without the chat template");
  command->add_option("--max-new-tokens", options->max_new_tokens, "At most so many")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0 = greedy")->check(CLI::Range(0.0, 10.0));
  command->add_option("--top-p", options->top_p, "Nucleus")->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", options->top_k, "0 = off")->check(CLI::Range(0, 1 << 30));
  command->add_option("--seed", options->seed, "Same seed, same text");
  command->callback([&cli, options] { cli.run = [&cli, options] { return Run(cli, *options); }; });
}

}  // namespace vernier::cli
