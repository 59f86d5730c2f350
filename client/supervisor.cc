#include "client/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "client/restart_backoff.h"
#include "common/child_process.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/file_lock.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace vernier::client {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(30);

// How a child ended.
struct End {
  std::string words;
  int exit_code = 0;
};

// One supervised process.
struct Child {
  std::string name;
  ChildOptions options;
  pid_t pid = -1;
  int pid_fd = -1;  // readable when it ends
  absl::Time started;
  absl::Time restart_at = absl::InfiniteFuture();
  RestartBackoff backoff;
  bool running() const { return pid > 0; }
};

class Supervisor {
 public:
  Supervisor(const SupervisorOptions& options, const std::function<void(const Started&)>& ready)
      : options_(options), ready_(ready) {
    server_.name = "vernierd";
    agent_.name = "vernier-agent";
  }

  absl::Status Run() {
    VN_RETURN_IF_ERROR(TakeSignals());
    VN_RETURN_IF_ERROR(MakeDirs(options_.data_dir, 0700));
    VN_RETURN_IF_ERROR(MakeDirs(Path("logs"), 0700));
    if (::unlink(Path("endpoint").c_str()) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, Path("endpoint"));
    DescribeServer(options_.listen);
    absl::Status status = Start(server_);
    if (status.ok()) status = StartUp();
    if (status.ok() && !stopping_) status = Watch();
    StopAll();
    return status;
  }

 private:
  std::string Path(absl::string_view name) const { return absl::StrCat(options_.data_dir, "/", name); }

  absl::Status TakeSignals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return ErrnoStatus(errno, "signals");
    signal_fd_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
    return signal_fd_ < 0 ? ErrnoStatus(errno, "signals") : absl::OkStatus();
  }

  void DescribeServer(const std::string& listen) {
    server_.options.arguments = {options_.binary_folder + "/vernierd",
                                 "--data-dir",
                                 options_.data_dir,
                                 "--listen",
                                 listen,
                                 "--metrics-listen",
                                 options_.metrics_listen};
    for (const std::string& root : options_.import_roots) {
      server_.options.arguments.insert(server_.options.arguments.end(), {"--import-root", root});
    }
    server_.options.arguments.insert(server_.options.arguments.end(), options_.server_flags.begin(),
                                     options_.server_flags.end());
    server_.options.log_path = Path("logs/vernierd.log");
  }

  void DescribeAgent() {
    agent_.options.arguments = {options_.binary_folder + "/vernier-agent",
                                "--server",
                                endpoint_,
                                "--token-file",
                                Path("token"),
                                "--data-dir",
                                Path("agent"),
                                "--threads",
                                absl::StrCat(options_.threads),
                                "--stop-grace",
                                absl::StrCat(absl::ToDoubleSeconds(options_.stop_grace))};
    agent_.options.log_path = Path("logs/vernier-agent.log");
  }

  absl::Status Start(Child& child) {
    // Nothing outlives the supervisor, and a child that it lost can be stopped by its own signal handling.
    child.options.parent_death_signal = SIGTERM;
    VN_ASSIGN_OR_RETURN(child.pid, SpawnChild(child.options));
    child.pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0));
    if (child.pid_fd < 0) return ErrnoStatus(errno, "pidfd_open");
    child.started = absl::Now();
    child.restart_at = absl::InfiniteFuture();
    VN_LOG(INFO) << "started process=" << child.name << " pid=" << child.pid;
    return absl::OkStatus();
  }

  // Waits for a signal, an ended child or `deadline`; true when something happened.
  bool Wait(absl::Time deadline) {
    pollfd fds[3] = {{signal_fd_, POLLIN, 0}, {server_.pid_fd, POLLIN, 0}, {agent_.pid_fd, POLLIN, 0}};
    const absl::Duration left = std::clamp(deadline - absl::Now(), absl::ZeroDuration(), absl::Hours(1));
    const int count =
        ::poll(fds, 3, static_cast<int>(absl::ToInt64Milliseconds(left + absl::Milliseconds(1))));
    if (count <= 0) return false;
    if (fds[0].revents != 0) {
      signalfd_siginfo info;
      if (::read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
        hurry_ = stopping_;
        stopping_ = true;
        VN_LOG(INFO) << "stopping signal=" << info.ssi_signo;
      }
    }
    return true;
  }

  // Nothing while it runs.
  std::optional<End> Ended(Child& child) {
    if (!child.running()) return std::nullopt;
    siginfo_t info = {};
    if (::waitid(P_PID, child.pid, &info, WEXITED | WNOWAIT | WNOHANG) != 0 || info.si_pid == 0)
      return std::nullopt;
    End end;
    end.words = WaitChild(child.pid, &end.exit_code);
    ReapChild(child.pid);
    ::close(child.pid_fd);
    child.pid = child.pid_fd = -1;
    return end;
  }

  static absl::Status CannotStart(const Child& child, const End& end) {
    const std::string last = LastLogLine(child.options.log_path);
    // One that leaves before it was ready has not done what it is for, whatever it says.
    const absl::StatusCode code =
        end.exit_code == 0 ? absl::StatusCode::kInternal : StatusCodeOfExit(end.exit_code);
    return absl::Status(
        code, absl::StrCat(child.name, " ", end.words, " at start: ", last.empty() ? "it said nothing" : last,
                           " (log ", child.options.log_path, ")"));
  }

  // vernierd answers, then the agent is connected.
  absl::Status StartUp() {
    const absl::Time deadline = absl::Now() + kStartTimeout;
    while (!stopping_ && endpoint_.empty()) {
      Wait(absl::Now() + absl::Milliseconds(10));
      if (const auto end = Ended(server_)) return CannotStart(server_, *end);
      if (auto text = ReadFile(Path("endpoint"), 4096); text.ok())
        endpoint_ = std::string(absl::StripAsciiWhitespace(*text));
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("vernierd was not ready within ",
                                                        absl::FormatDuration(kStartTimeout), " (log ",
                                                        server_.options.log_path, ")"));
      }
    }
    if (stopping_) return absl::OkStatus();
    DescribeServer(endpoint_);  // a restarted vernierd is found at the same place
    DescribeAgent();
    VN_RETURN_IF_ERROR(Start(agent_));
    VN_ASSIGN_OR_RETURN(Endpoint found, FindLocal());
    Client client(std::move(found));
    while (!stopping_) {
      const auto agents =
          client.Call(&v1::AdminService::Stub::ListAgents, v1::ListAgentsRequest(), absl::Seconds(5));
      if (agents.ok() && std::any_of(agents->agents().begin(), agents->agents().end(),
                                     [](const v1::Agent& agent) { return agent.connected(); })) {
        ready_({.endpoint = endpoint_, .pid = ::getpid()});
        return absl::OkStatus();
      }
      Wait(absl::Now() + absl::Milliseconds(20));
      if (const auto end = Ended(server_)) return CannotStart(server_, *end);
      if (const auto end = Ended(agent_)) return CannotStart(agent_, *end);
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("the agent did not connect within ",
                                                        absl::FormatDuration(kStartTimeout), " (log ",
                                                        agent_.options.log_path, ")"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Endpoint> FindLocal() const {
    VN_ASSIGN_OR_RETURN(const std::string token, ReadFile(Path("token"), 4096));
    return Endpoint{endpoint_, std::string(absl::StripAsciiWhitespace(token))};
  }

  absl::Status Watch() {
    while (!stopping_) {
      Wait(std::min(server_.restart_at, agent_.restart_at));
      if (stopping_) break;
      for (Child* child : {&server_, &agent_}) {
        if (const auto end = Ended(*child)) {
          const absl::Duration wait =
              child->backoff.AfterExit(absl::Now() - child->started, end->exit_code == 0);
          child->restart_at = absl::Now() + wait;
          VN_LOG(WARNING) << "process ended name=" << child->name << " how=\"" << end->words
                          << "\" restart_in=" << wait << " last_words=\""
                          << LastLogLine(child->options.log_path) << "\"";
        }
        if (!child->running() && absl::Now() >= child->restart_at) {
          if (const absl::Status status = Start(*child); !status.ok()) {
            VN_LOG(ERROR) << "process not started name=" << child->name << " status=\"" << status << "\"";
            child->restart_at = absl::Now() + absl::Seconds(5);
          }
        }
      }
    }
    return absl::OkStatus();
  }

  void StopOne(Child& child, absl::Duration grace) {
    if (!child.running()) return;
    ::kill(child.pid, SIGTERM);
    const absl::Time deadline = absl::Now() + grace;
    while (child.running()) {
      if (Ended(child)) return;
      if (hurry_ || absl::Now() > deadline) {
        ::kill(child.pid, SIGKILL);
        VN_LOG(WARNING) << "process killed name=" << child.name;
        int exit_code = 0;
        WaitChild(child.pid, &exit_code);
        continue;
      }
      Wait(deadline);
    }
  }

  // The agent first: its tasks checkpoint and vernierd takes note.
  void StopAll() {
    stopping_ = true;
    StopOne(agent_, options_.stop_grace + absl::Seconds(5));
    StopOne(server_, absl::Seconds(15));
    if (signal_fd_ >= 0) ::close(signal_fd_);
  }

  const SupervisorOptions& options_;
  const std::function<void(const Started&)>& ready_;
  Child server_, agent_;
  std::string endpoint_;
  int signal_fd_ = -1;
  bool stopping_ = false;
  bool hurry_ = false;
};

std::string LockPath(const std::string& data_dir) { return data_dir + "/up.lock"; }

absl::StatusOr<FileLock> Lock(const SupervisorOptions& options) {
  VN_RETURN_IF_ERROR(MakeDirs(options.data_dir, 0700));
  absl::StatusOr<FileLock> lock = FileLock::Acquire(LockPath(options.data_dir), "another `vernier up`");
  if (!absl::IsFailedPrecondition(lock.status())) return lock;
  return absl::FailedPreconditionError(absl::StrCat(
      lock.status().message(), "; use it, stop it with `vernier down`, or choose another --data-dir"));
}

// Writes all of it; the reader is our own parent.
void Tell(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(fd, text.data() + done, text.size() - done);
    if (written <= 0) return;  // the parent is gone: there is nobody to tell
    done += static_cast<size_t>(written);
  }
}

}  // namespace

absl::Status Supervise(const SupervisorOptions& options, const std::function<void(const Started&)>& ready) {
  VN_ASSIGN_OR_RETURN(const FileLock lock, Lock(options));
  return Supervisor(options, ready).Run();
}

absl::StatusOr<Started> SuperviseDetached(const SupervisorOptions& options) {
  VN_ASSIGN_OR_RETURN(const FileLock lock, Lock(options));
  VN_RETURN_IF_ERROR(MakeDirs(options.data_dir + "/logs", 0700));
  const std::string log_path = options.data_dir + "/logs/up.log";
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDONLY);
    const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (null >= 0) ::dup2(null, STDIN_FILENO);
    if (log >= 0) {
      ::dup2(log, STDOUT_FILENO);
      ::dup2(log, STDERR_FILENO);
    }
    ::close(report[0]);
    absl::Status status = lock.WritePid();  // the lock is this process's now
    if (status.ok()) {
      status = Supervisor(options, [&](const Started& started) {
                 Tell(report[1], "+" + started.endpoint);
                 ::close(report[1]);
               }).Run();
    }
    if (!status.ok()) {
      VN_LOG(ERROR) << "vernier up ended status=\"" << status << "\"";
      Tell(report[1], absl::StrCat(status.raw_code(), " ", status.message()));
    }
    ::_exit(ExitCodeOf(status));
  }
  ::close(report[1]);
  std::string said;
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(report[0], buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(buffer, static_cast<size_t>(got));
  }
  ::close(report[0]);
  if (absl::StartsWith(said, "+")) return Started{.endpoint = said.substr(1), .pid = pid};
  const std::pair<std::string, std::string> error = absl::StrSplit(said, absl::MaxSplits(' ', 1));
  int code = 0;
  if (!absl::SimpleAtoi(error.first, &code)) {
    return absl::InternalError(absl::StrCat("it ended without a word (log ", log_path, ")"));
  }
  return absl::Status(static_cast<absl::StatusCode>(code), error.second);
}

absl::Status StopSupervisor(const std::string& data_dir, absl::Duration timeout) {
  const absl::StatusOr<pid_t> pid = FileLock::Holder(LockPath(data_dir));
  if (absl::IsNotFound(pid.status())) {
    return absl::NotFoundError(absl::StrCat("no `vernier up` runs with data dir ", data_dir));
  }
  if (!pid.ok()) return pid.status();
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0));
  if (pid_fd < 0)
    return errno == ESRCH ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("process ", *pid));
  absl::Status status;
  if (::kill(*pid, SIGTERM) != 0 && errno != ESRCH) {
    status = ErrnoStatus(errno, absl::StrCat("process ", *pid));
  } else {
    pollfd gone = {pid_fd, POLLIN, 0};
    if (::poll(&gone, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) == 0) {
      status = absl::DeadlineExceededError(
          absl::StrCat("process ", *pid, " did not stop within ", absl::FormatDuration(timeout)));
    }
  }
  ::close(pid_fd);
  return status;
}

}  // namespace vernier::client
