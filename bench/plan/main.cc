// The plan of a stage against what the stage then takes: memory at the peak and time, on SmolLM2, through the
// whole service. docs/performance.md.
//   bench_plan [--only NAME[,NAME..]] [--threads N] [--steps 20] [--keep DIR]
// The first configuration of each precision and tuning method has nothing to predict its time from: it is
// where the rate comes from. The last line is JSON.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "tests/testing/cached_inputs.h"
#include "tests/testing/service.h"

namespace vernier::bench {
namespace {

struct Options {
  std::vector<std::string> only;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  int steps = 20;
  std::string keep;  // folder to work in; "" = a temporary one
};

struct Configuration {
  std::string name;
  bool full = false;
  bool bf16 = true;
  int row_tokens = 256;
  int batch_rows = 16;
  int checkpointed_layers = 0;
  int steps = 0;  // 0 = Options::steps
};

std::vector<Configuration> Configurations() {
  return {
      {"lora-bf16-256", false, true, 256, 16, 0},
      {"lora-bf16-256-ckpt", false, true, 256, 16, 30},
      {"lora-bf16-1024", false, true, 1024, 4, 0},
      {"lora-bf16-1024-ckpt15", false, true, 1024, 4, 15},
      {"lora-bf16-4096", false, true, 4096, 1, 0, 6},
      {"lora-bf16-4096-ckpt", false, true, 4096, 1, 30, 6},
      {"lora-fp32-256", false, false, 256, 8, 0, 10},
      {"lora-fp32-1024", false, false, 1024, 2, 0, 10},
      {"lora-fp32-4096-ckpt", false, false, 4096, 1, 30, 4},
      {"full-bf16-256", true, true, 256, 4, 0, 10},
      {"full-bf16-1024", true, true, 1024, 2, 0, 10},
      {"full-bf16-2048-ckpt", true, true, 2048, 1, 30, 8},
      {"full-fp32-512", true, false, 512, 2, 0, 6},
      {"full-fp32-1024-ckpt", true, false, 1024, 1, 30, 6},
  };
}

struct Outcome {
  Configuration configuration;
  v1::StagePlan plan;
  double peak_bytes = 0;
  double seconds = 0;

  double MemoryError() const {
    return std::abs(static_cast<double>(plan.peak_bytes()) - peak_bytes) / peak_bytes;
  }
  bool HasTime() const { return plan.devices(0).seconds() > 0; }
  double TimeError() const { return std::abs(plan.devices(0).seconds() - seconds) / seconds; }
};

// Rows of about `tokens` tokens, half of them trained: a word is a token.
std::string WriteRows(const std::string& folder, int tokens) {
  const std::string path = absl::StrCat(folder, "/rows", tokens, ".jsonl");
  std::ofstream file(path);
  const std::vector<std::string> words = {" the", " of", " and", " to", " in", " is", " for", " that"};
  for (int row = 0; row < 64; ++row) {
    std::string halves[2];
    for (std::string& half : halves) {
      for (int i = 0; i < tokens / 2 - 2; ++i) half += words[(row + 3 * i + i / 7) % words.size()];
    }
    file << nlohmann::json{{"prompt", halves[0]}, {"completion", halves[1]}}.dump() << "\n";
  }
  return path;
}

absl::StatusOr<v1::JobSpec> SpecOf(const Configuration& configuration, const Options& options,
                                   const std::string& dataset) {
  v1::JobSpec spec;
  spec.mutable_model()->set_base("smollm2");
  spec.mutable_data()->set_source(dataset);
  spec.set_name(configuration.name);
  v1::TrainStage& train = *spec.mutable_train();
  if (configuration.full) {
    train.mutable_tuning()->mutable_full();
  } else {
    train.mutable_tuning()->mutable_lora()->set_rank(16);
  }
  train.mutable_batch()->set_rows(configuration.batch_rows);
  train.set_max_steps(configuration.steps > 0 ? configuration.steps : options.steps);
  train.set_precision(configuration.bf16 ? v1::PRECISION_BF16 : v1::PRECISION_FP32);
  train.set_micro_batch_tokens(std::max(2048, configuration.row_tokens));
  train.set_checkpointed_layers(configuration.checkpointed_layers);
  return spec;
}

absl::StatusOr<Outcome> RunOne(Service& service, const Configuration& configuration, const Options& options,
                               const std::string& folder) {
  const std::string path = WriteRows(folder, configuration.row_tokens);
  VN_ASSIGN_OR_RETURN(const v1::UploadDatasetResponse uploaded,
                      service.client().UploadDataset(path, absl::StrCat("rows", configuration.row_tokens)));
  VN_ASSIGN_OR_RETURN(const v1::JobSpec spec, SpecOf(configuration, options, uploaded.dataset().digest()));
  Outcome outcome{.configuration = configuration};
  // Lengths are known once somebody has prepared the rows: a job that trains one step on them does it.
  v1::JobSpec first = spec;
  first.mutable_train()->set_max_steps(1);
  VN_ASSIGN_OR_RETURN(const std::string preparing, service.Submit(first));
  VN_ASSIGN_OR_RETURN(const v1::Job prepared, service.AwaitEnd(preparing, absl::Minutes(9)));
  if (prepared.state() != v1::JOB_STATE_SUCCEEDED) return absl::InternalError(prepared.state_reason());
  v1::PlanJobRequest request;
  *request.mutable_spec() = spec;
  VN_ASSIGN_OR_RETURN(const v1::PlanJobResponse planned,
                      service.client().Call(&v1::JobService::Stub::PlanJob, request));
  outcome.plan = planned.stages(0);
  if (!outcome.plan.unknown().empty()) return absl::InternalError(outcome.plan.unknown());
  VN_ASSIGN_OR_RETURN(const std::string name, service.Submit(spec));
  VN_ASSIGN_OR_RETURN(const v1::Job job, service.AwaitEnd(name, absl::Minutes(9)));
  if (job.state() != v1::JOB_STATE_SUCCEEDED) return absl::InternalError(job.state_reason());
  const auto& results = job.stages(0).results();
  outcome.peak_bytes = results.at("peak_memory_bytes");
  outcome.seconds = results.at("train_seconds") + results.at("validation_seconds");
  return outcome;
}

void Print(const Outcome& outcome) {
  std::cout << absl::StrFormat(
      "%-24s %5d tokens  %2d layers  planned %9s  took %9s  %+5.1f %%   ", outcome.configuration.name,
      outcome.plan.micro_batch_tokens(), outcome.plan.checkpointed_layers(),
      HumanBytes(outcome.plan.peak_bytes()), HumanBytes(static_cast<int64_t>(outcome.peak_bytes)),
      100 * (static_cast<double>(outcome.plan.peak_bytes()) / outcome.peak_bytes - 1));
  if (outcome.HasTime()) {
    std::cout << absl::StrFormat("planned %6.1f s  took %6.1f s  %+5.1f %%\n",
                                 outcome.plan.devices(0).seconds(), outcome.seconds,
                                 100 * (outcome.plan.devices(0).seconds() / outcome.seconds - 1));
  } else {
    std::cout << absl::StrFormat("took %6.1f s: nothing was measured before\n", outcome.seconds);
  }
  std::cout << "   ";
  for (const v1::MemoryPart& part : outcome.plan.memory()) {
    std::cout << " " << part.name() << " " << HumanBytes(part.bytes());
  }
  std::cout << " (" << outcome.plan.peak_phase() << ")" << std::endl;
}

absl::Status CheckNames(const std::vector<std::string>& only) {
  std::vector<std::string> known;
  for (const Configuration& configuration : Configurations()) known.push_back(configuration.name);
  for (const std::string& name : only) {
    if (absl::c_linear_search(known, name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--only ", name, ": no such configuration; there are ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  VN_RETURN_IF_ERROR(CheckNames(options.only));
  const std::string gguf = CachedInput(kSmolLm2Gguf);
  if (gguf.empty()) return absl::NotFoundError("the SmolLM2 GGUF is not in the cache; run tools/setup");
  const std::string folder =
      options.keep.empty() ? absl::StrCat("/tmp/vernier-bench-plan-", RandomHex(4)) : options.keep;
  std::filesystem::create_directories(folder);
  Service::Options service_options;
  service_options.data_dir = folder + "/service";
  service_options.import_roots = {std::filesystem::path(gguf).parent_path().string()};
  service_options.threads = options.threads;
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<Service> service, Service::Start(service_options));
  VN_RETURN_IF_ERROR(service->client().ImportModel(gguf, "smollm2", nullptr).status());
  double memory_error = 0, time_error = 0;
  int with_time = 0;
  for (const Configuration& configuration : Configurations()) {
    if (!options.only.empty() && !absl::c_linear_search(options.only, configuration.name)) continue;
    VN_ASSIGN_OR_RETURN(const Outcome outcome, RunOne(*service, configuration, options, folder));
    Print(outcome);
    memory_error = std::max(memory_error, outcome.MemoryError());
    if (!outcome.HasTime()) continue;
    time_error = std::max(time_error, outcome.TimeError());
    ++with_time;
  }
  VN_RETURN_IF_ERROR(service->Stop().status());
  if (options.keep.empty()) std::filesystem::remove_all(folder);
  std::cout << nlohmann::json{{"memory_error_max", memory_error},
                              {"time_error_max", time_error},
                              {"configurations_with_time", with_time}}
                   .dump()
            << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace vernier::bench

int main(int argc, char** argv) {
  vernier::bench::Options options;
  CLI::App app("Plans against what jobs then take.", "bench_plan");
  app.add_option("--only", options.only, "Configurations, with commas")->delimiter(',');
  app.add_option("--threads", options.threads, "CPU threads")->check(CLI::Range(1, 256));
  app.add_option("--steps", options.steps, "Of a configuration that names none")->check(CLI::Range(3, 1000));
  app.add_option("--keep", options.keep, "Folder to work in, and to leave as it is");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = vernier::bench::Run(options);
  if (status.ok()) return 0;
  std::cerr << "bench_plan: " << status << "\n";
  return 1;
}
