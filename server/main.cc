// vernierd: the control plane. See server/api/control_plane.h for what it is made of.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/log.h"
#include "common/metrics_http.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "server/api/control_plane.h"
#include "server/data_dir.h"
#include "server/jobs/sqlite_job_store.h"
#include "storage/registry.h"
#include "worker/data/text/folder_tokenizer.h"
#include "worker/data/text/gguf_tokenizer.h"

namespace vernier::server {
namespace {

// After SIGTERM: for calls in progress, then for uploads and deletions.
constexpr absl::Duration kStopGrace = absl::Seconds(2);

struct Flags {
  std::string data_dir;
  std::string listen = "127.0.0.1:0";
  std::string metrics_listen = "127.0.0.1:0";
  std::string store;
  std::vector<std::string> import_roots;
  std::string lease_ttl = "15s";
  std::string heartbeat = "5s";
  std::string gc_grace = "24h";
  int64_t max_upload_bytes = int64_t{16} << 30;
};

absl::StatusOr<absl::Duration> ParseFlag(absl::string_view flag, const std::string& text,
                                         absl::Duration least, absl::Duration most) {
  absl::Duration value;
  if (!absl::ParseDuration(text, &value) || value < least || value > most) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " ", text, " is not a duration in [",
                                                   absl::FormatDuration(least), ", ",
                                                   absl::FormatDuration(most), "]; write e.g. 15s or 2m"));
  }
  return value;
}

// The folders themselves, links followed, so that what lies below them can be compared.
absl::StatusOr<std::vector<std::string>> ResolveRoots(const std::vector<std::string>& roots) {
  std::vector<std::string> resolved;
  for (const std::string& root : roots) {
    std::error_code error;
    const std::filesystem::path path = std::filesystem::canonical(root, error);
    if (error) return ErrnoStatus(error.value(), absl::StrCat("--import-root ", root));
    if (!std::filesystem::is_directory(path, error)) {
      return absl::InvalidArgumentError(absl::StrCat("--import-root ", root, ": is not a folder"));
    }
    resolved.push_back(path.string());
  }
  return resolved;
}

absl::StatusOr<ControlPlane::Options> MakeOptions(const Flags& flags, const DataDir& dir) {
  ControlPlane::Options options;
  VN_ASSIGN_OR_RETURN(options.core.lease.ttl,
                      ParseFlag("--lease-ttl", flags.lease_ttl, absl::Milliseconds(300), absl::Hours(1)));
  VN_ASSIGN_OR_RETURN(options.core.heartbeat,
                      ParseFlag("--heartbeat", flags.heartbeat, absl::Milliseconds(50), absl::Minutes(10)));
  if (options.core.heartbeat * 2 > options.core.lease.ttl) {
    return absl::InvalidArgumentError(absl::StrCat("--heartbeat ", flags.heartbeat,
                                                   " is more than half of --lease-ttl ", flags.lease_ttl,
                                                   ": one lost heartbeat would end every lease"));
  }
  options.core.lease.margin = options.core.lease.ttl / 3;
  VN_ASSIGN_OR_RETURN(options.grpc.admin.garbage_grace,
                      ParseFlag("--gc-grace", flags.gc_grace, absl::ZeroDuration(), absl::Hours(24 * 365)));
  if (flags.max_upload_bytes < 1) return absl::InvalidArgumentError("--max-upload-bytes is less than 1");
  options.max_upload_bytes = flags.max_upload_bytes;
  options.spool_dir = dir.spool();
  options.grpc.listen = flags.listen;
  options.grpc.token = dir.token();
  options.grpc.token_where = dir.token_path();
  VN_ASSIGN_OR_RETURN(options.grpc.models.import_roots, ResolveRoots(flags.import_roots));
  options.grpc.models.tokenizer_from_gguf = data::TokenizerJsonFromGguf;
  options.grpc.models.tokenizer_from_folder = data::TokenizerJsonFromFolder;
  options.grpc.admin.data_dir = dir.path();
  options.grpc.admin.import_root = absl::StrJoin(options.grpc.models.import_roots, ":");
  options.grpc.admin.start_time = absl::Now();
  return options;
}

// SIGTERM and SIGINT are taken by sigwait alone: call before any thread starts.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

absl::Status Run(const Flags& flags) {
  const absl::Time start = absl::Now();
  const sigset_t signals = BlockStopSignals();
  VN_RETURN_IF_ERROR(CheckLoopback("--listen", flags.listen));
  VN_RETURN_IF_ERROR(CheckLoopback("--metrics-listen", flags.metrics_listen));
  VN_ASSIGN_OR_RETURN(DataDir dir, DataDir::Open(flags.data_dir));
  VN_ASSIGN_OR_RETURN(ControlPlane::Options options, MakeOptions(flags, dir));
  VN_ASSIGN_OR_RETURN(std::unique_ptr<JobStore> jobs, OpenSqliteJobStore(dir.Below("vernierd.db")));
  VN_ASSIGN_OR_RETURN(std::unique_ptr<storage::ObjectStore> objects,
                      storage::OpenObjectStore(
                          flags.store.empty() ? absl::StrCat("file://", dir.Below("objects")) : flags.store));
  if (objects->Uri() == "memory:") {
    return absl::InvalidArgumentError(
        "--store memory: lives in one process, where no agent reaches it; use a file:// URI");
  }
  const auto metrics = std::make_shared<Metrics>();
  VN_ASSIGN_OR_RETURN(
      std::unique_ptr<ControlPlane> plane,
      ControlPlane::Start(std::move(options), std::move(jobs), std::move(objects), metrics, RealClock()));
  VN_ASSIGN_OR_RETURN(std::unique_ptr<MetricsHttp> http, MetricsHttp::Start(flags.metrics_listen, metrics));
  VN_RETURN_IF_ERROR(dir.WriteEndpoints(plane->endpoint(), http->endpoint()));
  VN_LOG(INFO) << "vernierd ready endpoint=" << plane->endpoint() << " metrics=" << http->endpoint()
               << " data_dir=" << dir.path() << " version=\"" << Version() << "\" after="
               << absl::FormatDuration(absl::Trunc(absl::Now() - start, absl::Milliseconds(1)));

  int signal = 0;
  sigwait(&signals, &signal);
  VN_LOG(INFO) << "vernierd stopping signal=" << strsignal(signal);
  // A second signal ends the process at once.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  http.reset();
  if (!plane->Stop(kStopGrace)) {
    // An import still runs. Its objects appear whole or not at all, and everything answered is stored.
    VN_LOG(WARNING) << "vernierd left work unfinished; importing again continues it";
    dir.RemoveEndpoints();
    _exit(0);
  }
  plane.reset();
  VN_LOG(INFO) << "vernierd stopped";
  return absl::OkStatus();
}

}  // namespace
}  // namespace vernier::server

int main(int argc, char** argv) {
  vernier::server::Flags flags;
  CLI::App app("Vernier's control plane: jobs, scheduling, datasets and models over gRPC.", "vernierd");
  app.set_version_flag("--version", absl::StrCat("vernierd ", vernier::Version()));
  app.add_option("--data-dir", flags.data_dir, "Folder for the job store, token and endpoint files")
      ->required();
  app.add_option("--listen", flags.listen, "Loopback address and port for gRPC; port 0 = any free one")
      ->capture_default_str();
  app.add_option("--metrics-listen", flags.metrics_listen, "Loopback address and port for GET /metrics")
      ->capture_default_str();
  app.add_option("--store", flags.store, "Object store: a file:// URI (default: objects/ in the data dir)");
  app.add_option("--import-root", flags.import_roots,
                 "Folder below which `models import` may read (repeatable; default: none)");
  app.add_option("--lease-ttl", flags.lease_ttl,
                 "How long an agent may be silent before its work is given away")
      ->capture_default_str();
  app.add_option("--heartbeat", flags.heartbeat, "How often agents report")->capture_default_str();
  app.add_option("--gc-grace", flags.gc_grace, "Objects younger than this are never garbage")
      ->capture_default_str();
  app.add_option("--max-upload-bytes", flags.max_upload_bytes, "Largest dataset or adapter file")
      ->capture_default_str();
  // One line: `vernier up` shows the last words of a vernierd that does not start.
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return absl::StrCat("vernierd: ", error.what(), "; --help explains every flag\n");
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : vernier::ExitCodeOf(absl::InvalidArgumentError(""));
  }
  vernier::InitLogging("vernierd");
  const absl::Status status = vernier::server::Run(flags);
  if (!status.ok()) std::cerr << "vernierd: " << status.message() << "\n";
  return vernier::ExitCodeOf(status);
}
