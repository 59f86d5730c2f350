// How fast one optimiser step of LoRA is, without the service around it: for finding what a step spends its
// time on. docs/performance.md; compare with others by bench/sft_vs_trl.
//   bench_train_step MODEL_FOLDER [--precision bf16|fp32] [--threads 2] [--steps 4] [--tokens 133] ...
// Rows are made up: speed depends on their lengths and on how many tokens train, not on which they are. The
// last line is JSON.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "adapters/adapter.h"
#include "common/file.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "worker/data/batch_plan.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"
#include "worker/trainer/lanes.h"
#include "worker/trainer/numeric_class.h"
#include "worker/trainer/process_setup.h"
#include "worker/trainer/run.h"

namespace vernier::bench {
namespace {

constexpr uint64_t kSeed = 20260101;

struct Options {
  std::string model;
  std::string precision = "auto";
  int threads = 2;
  int steps = 4;          // counted ones; one more warms up
  int rows = 16;          // a step
  double tokens = 133;    // mean length of a row
  double spread = 0.45;   // standard deviation of the logarithm of its length; 0: all alike
  double trained = 0.12;  // share of a row's tokens that train, its last
  int rank = 16;
  double dropout = 0.0;
  int shards = 4;
  bool lanes = true;
  int64_t micro_batch_tokens = 2048;
};

// Log-normal lengths by Box and Muller.
std::vector<int64_t> Lengths(const Options& options, int64_t count, int64_t longest) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) {
    const PhiloxCounter draw = Philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, PhiloxKeyOf(kSeed));
    const double normal = std::sqrt(-2.0 * std::log(1.0 - double{UnitFloat(draw[0])})) *
                          std::cos(2.0 * M_PI * double{UnitFloat(draw[1])});
    const double mean = std::log(options.tokens) - 0.5 * options.spread * options.spread;
    lengths.push_back(
        std::clamp<int64_t>(std::llround(std::exp(mean + options.spread * normal)), 2, longest));
  }
  return lengths;
}

objectives::LabelledBatch BatchOf(const data::MicroBatch& micro_batch, const Options& options, int64_t step,
                                  int64_t vocabulary) {
  objectives::LabelledBatch batch;
  std::vector<int64_t> ids;
  batch.tokens.row_offsets.push_back(0);
  for (const data::PlannedRow& row : micro_batch.rows) {
    const int64_t first_trained =
        row.length - std::max<int64_t>(1, std::llround(options.trained * row.length));
    for (int64_t t = 0; t < row.length; ++t) {
      ids.push_back((row.row * 7919 + t * 104729) % vocabulary);
      batch.weights.push_back(t >= first_trained ? 1.0f : 0.0f);
    }
    batch.tokens.row_offsets.push_back(static_cast<int64_t>(ids.size()));
    batch.tokens.global_rows.push_back(row.index_in_batch);
  }
  batch.tokens.ids_T = torch::tensor(ids, at::TensorOptions().dtype(at::kLong));
  batch.tokens.step = step;
  batch.tokens.training = true;
  return batch;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

absl::StatusOr<int64_t> StatusBytes(const std::string& field) {
  VN_ASSIGN_OR_RETURN(const std::string status, ReadFile("/proc/self/status", 1 << 20));
  const size_t at = status.find(field);
  if (at == std::string::npos) return absl::NotFoundError(absl::StrCat("/proc/self/status has no ", field));
  return std::strtoll(status.c_str() + at + field.size() + 1, nullptr, 10) * 1024;
}

absl::Status Main(const Options& options) {
  trainer::ConfigureTorch(options.threads);
  v1::Precision precision = v1::PRECISION_UNSPECIFIED;
  if (options.precision == "fp32") precision = v1::PRECISION_FP32;
  if (options.precision == "bf16") precision = v1::PRECISION_BF16;
  const absl::Time begin_load = absl::Now();
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<models::CausalLm> model,
                      models::LoadCausalLm(options.model, trainer::ChoosePrecision(precision).dtype));
  const double load_seconds = absl::ToDoubleSeconds(absl::Now() - begin_load);
  int64_t weight_bytes = 0;
  for (const models::Parameter& parameter : model->parameters()) weight_bytes += parameter.base.nbytes();
  v1::TrainStage stage;
  stage.mutable_tuning()->mutable_lora()->set_rank(options.rank);
  stage.mutable_tuning()->mutable_lora()->set_dropout(options.dropout);
  stage.mutable_objective()->mutable_causal_lm();
  stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(5e-4);
  VN_ASSIGN_OR_RETURN(std::unique_ptr<adapters::Tuning> tuning,
                      adapters::CreateTuning(*model, stage.tuning(), kSeed));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<trainer::Run> run,
                      trainer::Run::Create(*model, std::move(tuning), stage,
                                           options.lanes ? std::min(options.threads, options.shards) : 1));
  const std::vector<int64_t> lengths =
      Lengths(options, int64_t{options.rows} * (options.steps + 1), model->config().max_positions);
  VN_ASSIGN_OR_RETURN(const data::BatchPlan plan,
                      data::BatchPlan::Create(lengths, std::vector<double>(lengths.size(), 1.0),
                                              {.batch_rows = options.rows,
                                               .virtual_shards = options.shards,
                                               .micro_batch_tokens = options.micro_batch_tokens}));
  double seconds = 0, cpu_seconds = 0, loss = 0;
  int64_t tokens = 0;
  std::vector<double> rates;
  trainer::Lanes lanes;
  for (int step = 0; step <= options.steps; ++step) {
    const data::GlobalBatch batch = plan.Batch(step);
    const absl::Time begin = absl::Now();
    const double cpu = CpuSeconds();
    std::vector<std::vector<objectives::RowSums>> rows(options.shards);
    const auto leaf = [&](int lane, int shard, trainer::FlatGradient& gradient) -> absl::Status {
      std::vector<objectives::LabelledBatch> micro_batches;
      for (const data::MicroBatch& micro_batch : batch.shards[shard].micro_batches) {
        micro_batches.push_back(BatchOf(micro_batch, options, step, model->config().vocab_size));
      }
      return run->ForwardBackward(micro_batches, 1e-3, gradient, rows[shard], lane);
    };
    trainer::FlatGradient gradient;
    const int num_lanes = data::NumLanes(batch, run->num_lanes(), options.micro_batch_tokens);
    VN_RETURN_IF_ERROR(trainer::SumShardsInLanes(lanes, num_lanes, options.shards, leaf, gradient));
    const double norm = run->OptimStep(gradient, 1.0, 1.0);
    loss = 0;
    for (const auto& shard : rows) {
      for (const objectives::RowSums& row : shard) loss += row.nll;
    }
    const double wall = absl::ToDoubleSeconds(absl::Now() - begin);
    std::fprintf(stderr, "step %d: %lld tokens, %.3f s, %.1f tok/s, nll %.6f, norm %.6g\n", step,
                 static_cast<long long>(batch.num_tokens), wall, double(batch.num_tokens) / wall, loss, norm);
    if (step == 0) continue;
    seconds += wall;
    cpu_seconds += CpuSeconds() - cpu;
    tokens += batch.num_tokens;
    rates.push_back(double(batch.num_tokens) / wall);
  }
  std::sort(rates.begin(), rates.end());
  VN_ASSIGN_OR_RETURN(const int64_t peak, StatusBytes("VmHWM:"));
  std::cout << nlohmann::json{{"tokens_per_second", double(tokens) / seconds},
                              {"median_tokens_per_second", rates[rates.size() / 2]},
                              {"best_tokens_per_second", rates.back()},
                              {"tokens_per_cpu_second", double(tokens) / cpu_seconds},
                              {"load_seconds", load_seconds},
                              {"weight_mib", weight_bytes >> 20},
                              {"peak_mib", peak >> 20},
                              {"nll", loss}}
                   .dump()
            << "\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace vernier::bench

int main(int argc, char** argv) {
  vernier::bench::Options options;
  CLI::App app("Times optimiser steps of LoRA.", "bench_train_step");
  app.add_option("model", options.model, "Folder with config.json and *.safetensors")->required();
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"auto", "bf16", "fp32"}));
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 1024));
  app.add_option("--steps", options.steps)->check(CLI::Range(1, 100000));
  app.add_option("--rows", options.rows)->check(CLI::Range(1, 65536));
  app.add_option("--tokens", options.tokens)->check(CLI::Range(2.0, 1e6));
  app.add_option("--spread", options.spread)->check(CLI::Range(0.0, 3.0));
  app.add_option("--trained", options.trained)->check(CLI::Range(0.0, 1.0));
  app.add_option("--rank", options.rank)->check(CLI::Range(1, 512));
  app.add_option("--dropout", options.dropout)->check(CLI::Range(0.0, 0.99));
  app.add_option("--shards", options.shards);
  app.add_option("--micro-batch-tokens", options.micro_batch_tokens);
  app.add_option("--lanes", options.lanes, "Shards at once, each on a thread; 0: one after the other");
  CLI11_PARSE(app, argc, argv);
  vernier::trainer::EnsureNumericEnvironment(options.threads, argv);
  const absl::Status status = vernier::bench::Main(options);
  if (!status.ok()) std::cerr << "bench_train_step: " << status.ToString() << "\n";
  return status.ok() ? 0 : 1;
}
