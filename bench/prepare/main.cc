// How fast, and in how much memory, rows are prepared: parsed, rendered by a real chat template, tokenised,
// masked, compared and written. docs/performance.md.
//   bench_prepare [--megabytes 256] [--threads 1,2] [--deduplicate none|exact|near] [--keep DIR]
// Each thread count is a process of its own, so that its peak memory is its own. The last line is JSON.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "bench/prepare/rows.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "storage/folder_store.h"
#include "storage/gguf.h"
#include "storage/model_import.h"
#include "tests/testing/cached_inputs.h"
#include "vernier/v1/task.pb.h"
#include "worker/data/prepare.h"
#include "worker/data/text/gguf_tokenizer.h"

namespace vernier::bench {
namespace {

constexpr char kDatasetKey[] = "rows";
constexpr char kModelKey[] = "model";
constexpr uint64_t kSeed = 20260101;

struct Options {
  int64_t megabytes = 256;
  std::vector<int> threads = {1, static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
  std::string deduplicate = "none";
  std::string keep;    // folder to work in; "" = a temporary one
  bool child = false;  // prepare once in `keep`, with threads[0]
};

absl::StatusOr<std::unique_ptr<storage::FolderStore>> OpenStore(const std::string& folder) {
  return storage::FolderStore::Open({.root = folder});
}

absl::Status WriteModel(storage::ObjectStore& store) {
  const std::string path = CachedInput(kSmolLm2Gguf);
  if (path.empty()) return absl::NotFoundError("the SmolLM2 GGUF is not in the cache; run tools/setup");
  VN_ASSIGN_OR_RETURN(const storage::Gguf gguf, storage::Gguf::Open(path));
  VN_ASSIGN_OR_RETURN(const std::string tokenizer, data::TokenizerJsonFromGguf(gguf));
  VN_ASSIGN_OR_RETURN(const std::string config, storage::TokenizerConfigFromGguf(gguf));
  VN_RETURN_IF_ERROR(store.Put(absl::StrCat(kModelKey, "/tokenizer.json"), tokenizer));
  return store.Put(absl::StrCat(kModelKey, "/tokenizer_config.json"), config);
}

double CpuSeconds(const struct rusage& usage) {
  const auto seconds = [](const struct timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// One preparation; prints what it took as JSON.
absl::Status RunOnce(const Options& options) {
  VN_ASSIGN_OR_RETURN(const auto store, OpenStore(options.keep));
  v1::Task task;
  task.set_tenant("bench");
  task.set_threads(options.threads[0]);
  v1::PrepareTask& prepare = *task.mutable_prepare();
  prepare.set_dataset_key(kDatasetKey);
  prepare.set_model_key(kModelKey);
  prepare.set_validation_fraction(0.05);
  v1::DuplicateKind kind = v1::DUPLICATE_KIND_NONE;
  v1::DuplicateKind_Parse("DUPLICATE_KIND_" + absl::AsciiStrToUpper(options.deduplicate), &kind);
  prepare.mutable_data()->mutable_deduplicate()->set_kind(kind);
  const absl::Time start = absl::Now();
  VN_ASSIGN_OR_RETURN(const v1::PreparedData prepared, data::RunPrepare(task, *store, nullptr));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  struct rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const v1::DataReport& report = prepared.report();
  nlohmann::json out;
  out["threads"] = options.threads[0];
  out["seconds"] = seconds;
  out["cpu_seconds"] = CpuSeconds(usage);
  out["rows_per_second"] = static_cast<double>(report.num_rows_read()) / seconds;
  out["mb_per_second"] = static_cast<double>(report.num_bytes_read()) / 1e6 / seconds;
  out["tokens_per_second"] =
      static_cast<double>(report.num_tokens() + report.num_validation_tokens()) / seconds;
  out["peak_rss"] = int64_t{usage.ru_maxrss} * 1024;
  out["rows"] = report.num_rows_read();
  out["duplicates"] = report.num_duplicate_rows();
  out["near_duplicates"] = report.num_near_duplicate_rows();
  out["digest"] = prepared.key().substr(prepared.key().rfind('/') + 1);
  std::cout << out.dump() << "\n";
  VN_ASSIGN_OR_RETURN(const std::string manifest, store->Get(absl::StrCat(prepared.key(), "/manifest.json")));
  std::cerr << "threads " << options.threads[0] << ": manifest " << Sha256Hex(manifest).substr(0, 12) << "\n";
  return storage::DeletePrefix(*store, "tenants/").status();
}

// Runs this program again for one thread count; the JSON that it prints.
absl::StatusOr<nlohmann::json> RunChild(const std::string& program, const Options& options, int threads) {
  const std::string command = absl::StrCat("'", program, "' --child --keep '", options.keep, "' --threads ",
                                           threads, " --deduplicate ", options.deduplicate);
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("popen failed");
  std::string text;
  char buffer[4096];
  while (const size_t size = std::fread(buffer, 1, sizeof(buffer), pipe)) text.append(buffer, size);
  if (::pclose(pipe) != 0)
    return absl::InternalError(absl::StrCat("the run with ", threads, " threads failed"));
  nlohmann::json out = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!out.is_object()) return absl::InternalError(absl::StrCat("unexpected output: ", text));
  return out;
}

absl::Status RunAll(const std::string& program, Options options) {
  const bool temporary = options.keep.empty();
  if (temporary) {
    options.keep =
        (std::filesystem::temp_directory_path() / absl::StrCat("bench_prepare_", RandomHex(6))).string();
  }
  std::filesystem::create_directories(options.keep);
  const std::string rows_path = absl::StrCat(options.keep, "/", kDatasetKey);
  VN_ASSIGN_OR_RETURN(const WrittenRows rows, WriteRows(rows_path, options.megabytes * 1'000'000, kSeed));
  VN_ASSIGN_OR_RETURN(const auto store, OpenStore(options.keep));
  VN_RETURN_IF_ERROR(WriteModel(*store));
  std::cout << absl::StrFormat("%d rows, %.1f MB\n", rows.num_rows,
                               static_cast<double>(rows.num_bytes) / 1e6);
  nlohmann::json all;
  all["rows"] = rows.num_rows;
  all["megabytes"] = static_cast<double>(rows.num_bytes) / 1e6;
  all["deduplicate"] = options.deduplicate;
  all["runs"] = nlohmann::json::array();
  for (const int threads : options.threads) {
    VN_ASSIGN_OR_RETURN(const nlohmann::json run, RunChild(program, options, threads));
    std::cout << absl::StrFormat(
        "%2d threads: %7.1f s (%.1f CPU-s), %8.0f rows/s, %6.2f MB/s, %9.0f tokens/s, peak %5.0f MB\n", threads,
        run["seconds"].get<double>(), run["cpu_seconds"].get<double>(), run["rows_per_second"].get<double>(),
        run["mb_per_second"].get<double>(), run["tokens_per_second"].get<double>(),
        static_cast<double>(run["peak_rss"].get<int64_t>()) / 1e6);
    all["runs"].push_back(run);
  }
  if (temporary) std::filesystem::remove_all(options.keep);
  std::cout << all.dump() << "\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace vernier::bench

int main(int argc, char** argv) {
  vernier::bench::Options options;
  CLI::App app("Speed and memory of preparing rows");
  app.add_option("--megabytes", options.megabytes)->check(CLI::Range(1, 100'000));
  app.add_option("--threads", options.threads)->delimiter(',')->check(CLI::Range(1, 256));
  app.add_option("--deduplicate", options.deduplicate)->check(CLI::IsMember({"none", "exact", "near"}));
  app.add_option("--keep", options.keep, "Works in this folder and leaves its files there");
  app.add_flag("--child", options.child)->group("");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status =
      options.child ? vernier::bench::RunOnce(options) : vernier::bench::RunAll(argv[0], options);
  if (!status.ok()) std::cerr << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
