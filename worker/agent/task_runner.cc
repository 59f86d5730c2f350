#include "worker/agent/task_runner.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/unwritable.h"
#include "storage/registry.h"
#include "worker/data/prepare.h"

namespace vernier::agent {
namespace {

v1::TaskEvent Finished(const absl::Status& status) {
  v1::TaskEvent event;
  v1::TaskFinished& finished = *event.mutable_finished();
  finished.set_code(static_cast<int>(status.code()));
  finished.set_message(std::string(status.message()));
  finished.set_cause(v1::TaskFinished::CAUSE_RAISED);
  // Preparing goes on with the chunks that are finished, a trainer that cannot start has no state: done again
  // when asked to stop, and when a disk is full once it is not.
  finished.set_stopped(absl::IsCancelled(status) || IsUnwritable(status));
  return event;
}

// "jobs/7f3a" -> "7f3a", "generations/1" -> "generations-1".
std::string FileName(absl::string_view job) {
  return absl::StrReplaceAll(absl::StripPrefix(job, "jobs/"), {{"/", "-"}});
}

// With all that is in it; a link to a folder loses the link alone.
void RemoveTree(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) {
    VN_LOG(WARNING) << "temporary folder not removed path=" << path.string() << " error=" << error.message();
  }
}

// What somebody who reads "killed by signal 9" needs to know next.
std::string WhyKilled(const std::string& how, bool trains, const std::string& log_path) {
  const std::string message = absl::StrCat("the trainer ", how);
  if (how.find("signal 9 ") != std::string::npos) {
    // Nobody has last words about this one.
    return absl::StrCat(
        message, " from outside; when the machine ran out of memory (see dmesg), ",
        trains ? "lower micro_batch_tokens or data.max_tokens" : "use a machine with more memory");
  }
  const std::string last = LastLogLine(log_path);
  return last.empty() ? message : absl::StrCat(message, "; its last words: ", last);
}

}  // namespace

TaskRunner::TaskRunner(Options options, Callbacks callbacks)
    : options_(std::move(options)), callbacks_(std::move(callbacks)) {}

absl::StatusOr<std::unique_ptr<TaskRunner>> TaskRunner::Create(Options options, Callbacks callbacks) {
  std::unique_ptr<TaskRunner> runner(new TaskRunner(std::move(options), std::move(callbacks)));
  if (::access(runner->options_.trainer_path.c_str(), X_OK) != 0) {
    return ErrnoStatus(errno, absl::StrCat("--trainer ", runner->options_.trainer_path));
  }
  VN_RETURN_IF_ERROR(MakeDirs(runner->options_.log_folder, 0700));
  VN_RETURN_IF_ERROR(MakeDirs(runner->options_.temp_folder, 0700));
  // Trainers die with their agent: what is there belongs to nobody.
  std::error_code error;
  for (const auto& left : std::filesystem::directory_iterator(runner->options_.temp_folder, error)) {
    RemoveTree(left.path());
  }
  VN_ASSIGN_OR_RETURN(runner->host_,
                      TrainerHost::Create(runner->options_.run_folder, runner->callbacks_.event));
  return runner;
}

TaskRunner::~TaskRunner() {
  std::vector<std::string> leases;
  for (const auto& [lease, running] : running_) leases.push_back(lease);
  for (const std::string& lease : leases) Kill(lease);
  for (const std::string& lease : leases) Reap(lease);
}

void TaskRunner::Start(const std::string& lease, const v1::Task& task) {
  Running& running = running_[lease];
  if (task.has_prepare()) {
    StartPreparation(lease, task, running);
  } else {
    StartTrainer(lease, task, running);
  }
}

absl::StatusOr<pid_t> TaskRunner::Spawn(ChildOptions child, std::string* temp_folder) const {
  std::string folder = absl::StrCat(options_.temp_folder, "/trainer-XXXXXX");
  if (::mkdtemp(folder.data()) == nullptr) return WriteErrnoStatus(errno, folder);
  child.environment.push_back(absl::StrCat("TMPDIR=", folder));
  const absl::StatusOr<pid_t> pid = SpawnChild(child);
  if (!pid.ok()) RemoveTree(folder);
  *temp_folder = std::move(folder);
  return pid;
}

void TaskRunner::StartTrainer(const std::string& lease, const v1::Task& task, Running& running) {
  RemoveOldLogs();
  ChildOptions child;
  child.log_path = absl::StrCat(options_.log_folder, "/", FileName(task.job()), "-", task.stage(), "-",
                                task.attempt(), ".log");
  child.arguments = {
      options_.trainer_path,       "--socket", host_->socket_path(), "--lease", lease, "--threads",
      absl::StrCat(task.threads())};
  // Fixed threads and code paths: part of the numeric class (design 0001, section 5).
  child.environment = {
      absl::StrCat("OMP_NUM_THREADS=", task.threads()), absl::StrCat("MKL_NUM_THREADS=", task.threads()),
      "OMP_DYNAMIC=FALSE", "MKL_DYNAMIC=FALSE", "MKL_CBWR=AUTO",
      // A thread that waits sleeps almost at once: spinning makes a busy machine many times slower.
      "GOMP_SPINCOUNT=2000",
      // Activations of a step are freed and taken again in the next: keep the pages instead of faulting them
      // in anew. Threads that compute at once share one heap: each its own would hold 60 MiB more, no faster.
      "MALLOC_ARENA_MAX=1", "MALLOC_MMAP_THRESHOLD_=1073741824", "MALLOC_TRIM_THRESHOLD_=4294967296",
      "MALLOC_TOP_PAD_=67108864"};
  child.parent_death_signal = SIGKILL;
  host_->Expect(lease, task);
  std::string temp_folder;
  const absl::StatusOr<pid_t> pid = Spawn(child, &temp_folder);
  if (!pid.ok()) {
    running.thread = std::jthread([this, lease, status = pid.status()] {
      callbacks_.event(lease, Finished(status));
      callbacks_.exit(lease, {std::string(status.message())});
    });
    return;
  }
  running.pid = *pid;
  running.thread = std::jthread(
      [this, lease, pid = *pid, log_path = child.log_path, temp_folder, trains = task.has_train()] {
        int exit_code = 0;
        const std::string how = WaitChild(pid, &exit_code);
        RemoveTree(temp_folder);  // one that was killed could not
        // What it said before it died still counts: a checkpoint reported with its last breath saves steps.
        host_->WaitDetached(lease, absl::Now() + absl::Seconds(5));
        callbacks_.exit(lease, {exit_code == 0 ? "the trainer left without saying how its task ended"
                                               : WhyKilled(how, trains, log_path)});
      });
}

void TaskRunner::StartPreparation(const std::string& lease, const v1::Task& task, Running& running) {
  running.thread = std::jthread([this, lease, task, stop = running.stop] {
    v1::TaskEvent started;
    started.mutable_started()->set_pid(::getpid());
    callbacks_.event(lease, std::move(started));
    const auto progress = [&](const data::PrepareProgress& now) {
      v1::TaskEvent event;
      v1::Progress& said = *event.mutable_progress();
      said.set_phase(std::string(now.phase));
      said.set_rows(now.rows);
      said.set_bytes(now.bytes);
      said.set_total_bytes(now.total_bytes);
      said.set_eta_seconds(now.eta_seconds);
      callbacks_.event(lease, std::move(event));
    };
    absl::StatusOr<v1::PreparedData> prepared = absl::InternalError("");
    try {
      auto store = storage::OpenObjectStore(task.store());
      prepared = store.ok() ? data::RunPrepare(task, **store, progress, stop.get())
                            : absl::StatusOr<v1::PreparedData>(store.status());
    } catch (const std::bad_alloc&) {
      prepared = absl::ResourceExhaustedError("preparing the data: out of memory; split the dataset");
    }
    if (prepared.ok()) {
      v1::TaskEvent event;
      *event.mutable_prepared() = *std::move(prepared);
      callbacks_.event(lease, std::move(event));
      callbacks_.event(lease, Finished(absl::OkStatus()));
    } else {
      callbacks_.event(lease, Finished(prepared.status()));
    }
    callbacks_.exit(lease, {"the preparation ended"});
  });
}

void TaskRunner::Stop(const std::string& lease, const std::string& reason) {
  const auto it = running_.find(lease);
  if (it == running_.end()) return;
  it->second.stop->store(true);
  host_->Stop(lease, reason);
}

void TaskRunner::Tell(const std::string& lease, const v1::GenerateMore& more) { host_->Tell(lease, more); }

void TaskRunner::Kill(const std::string& lease) {
  const auto it = running_.find(lease);
  if (it == running_.end()) return;
  it->second.stop->store(true);
  if (it->second.pid > 0) ::kill(it->second.pid, SIGKILL);
}

void TaskRunner::Reap(const std::string& lease) {
  const auto it = running_.find(lease);
  if (it == running_.end()) return;
  if (it->second.thread.joinable()) it->second.thread.join();
  if (it->second.pid > 0) ReapChild(it->second.pid);
  running_.erase(it);
  host_->Forget(lease);
}

void TaskRunner::RemoveOldLogs() const {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> logs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.log_folder, error)) {
    std::error_code gone;
    const auto time = entry.last_write_time(gone);
    if (!gone) logs.emplace_back(time, entry.path());
  }
  std::sort(logs.begin(), logs.end());
  for (size_t i = 0; i + options_.keep_logs < logs.size(); ++i) {
    std::error_code failed;
    std::filesystem::remove(logs[i].second, failed);
    if (failed)
      VN_LOG(WARNING) << "old log not removed path=" << logs[i].second << " error=" << failed.message();
  }
}

}  // namespace vernier::agent
