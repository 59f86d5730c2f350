#include "common/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/text.h"
#include "common/unwritable.h"

extern char** environ;

namespace vernier {
namespace {

absl::string_view NameOf(absl::string_view assignment) { return assignment.substr(0, assignment.find('=')); }

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& overrides) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    bool replaced = false;
    for (const std::string& mine : overrides) replaced = replaced || NameOf(mine) == NameOf(*entry);
    if (!replaced) merged.emplace_back(*entry);
  }
  merged.insert(merged.end(), overrides.begin(), overrides.end());
  return merged;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Where a start failed, sent from the child to its parent.
struct StartError {
  int code = 0;
  bool of_log = false;
};

// In the child of a fork: only async-signal-safe calls.
[[noreturn]] void BecomeProgram(const char* log_path, int parent_death_signal, pid_t parent, int report,
                                char* const* argv, char* const* envp) {
  StartError error;
  const int null = ::open("/dev/null", O_RDONLY);
  const int log = ::open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (null < 0 || log < 0) {
    error = {errno, true};
  } else {
    ::dup2(null, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    for (int signal_number = 1; signal_number < 32; ++signal_number) ::signal(signal_number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (parent_death_signal != 0) {
      ::prctl(PR_SET_PDEATHSIG, parent_death_signal);
      if (::getppid() != parent) ::_exit(127);  // it died before the line above
    }
    ::execve(argv[0], argv, envp);
    error = {errno, false};
  }
  const ssize_t written = ::write(report, &error, sizeof(error));
  ::_exit(written == sizeof(error) ? 127 : 126);
}

}  // namespace

absl::StatusOr<pid_t> SpawnChild(const ChildOptions& options) {
  std::vector<std::string> arguments = options.arguments;
  std::vector<std::string> environment = MergedEnvironment(options.environment);
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    BecomeProgram(options.log_path.c_str(), options.parent_death_signal, parent, report[1], argv.data(),
                  envp.data());
  }
  const int fork_error = errno;
  ::close(report[1]);
  StartError error;
  ssize_t got = 0;
  if (pid > 0) {
    do {
      got = ::read(report[0], &error, sizeof(error));  // ends at once when the program has started
    } while (got < 0 && errno == EINTR);
  }
  ::close(report[0]);
  if (pid < 0) return ErrnoStatus(fork_error, "fork");
  if (got == 0) return pid;
  ReapChild(pid);
  if (!error.of_log) return ErrnoStatus(error.code, absl::StrCat("cannot start ", arguments[0]));
  return WriteErrnoStatus(error.code, options.log_path);
}

std::string WaitChild(pid_t pid, int* exit_code) {
  *exit_code = -1;
  siginfo_t info = {};
  while (::waitid(P_PID, pid, &info, WEXITED | WNOWAIT) != 0) {
    if (errno != EINTR) return absl::StrCat("was lost: ", std::strerror(errno));
  }
  *exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  if (info.si_code == CLD_EXITED) return absl::StrCat("exited with code ", info.si_status);
  return absl::StrCat("was killed by signal ", info.si_status, " (", ::strsignal(info.si_status), ")");
}

void ReapChild(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string LastLogLine(const std::string& log_path) {
  std::ifstream file(log_path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const std::streamoff size = file.tellg();
  const std::streamoff from = size > 8192 ? size - 8192 : 0;
  file.seekg(from);
  std::string tail(size - from, '\0');
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  const std::vector<absl::string_view> lines = absl::StrSplit(tail, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (const absl::string_view text = absl::StripAsciiWhitespace(*line); !text.empty())
      return Excerpt(text, 300);
  }
  return "";
}

}  // namespace vernier
