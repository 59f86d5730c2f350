#include "tests/testing/process.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace vernier {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(5);

}  // namespace

absl::Status AwaitCondition(absl::string_view what, const std::function<bool()>& condition,
                            absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (!condition()) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(what, ": not within ", absl::FormatDuration(patience)));
    }
    absl::SleepFor(kLook);  // the condition lies in another process
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TestProcess>> TestProcess::Start(std::vector<std::string> arguments,
                                                                std::string log_path,
                                                                std::vector<std::string> environment) {
  VN_ASSIGN_OR_RETURN(const pid_t pid, SpawnChild({.arguments = std::move(arguments),
                                                   .environment = std::move(environment),
                                                   .log_path = log_path,
                                                   .parent_death_signal = SIGKILL}));
  return std::unique_ptr<TestProcess>(new TestProcess(pid, std::move(log_path)));
}

TestProcess::TestProcess(pid_t pid, std::string log_path) : pid_(pid), log_path_(std::move(log_path)) {}

TestProcess::~TestProcess() {
  if (!Running()) return;
  Signal(SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool TestProcess::Running() {
  if (exit_code_) return false;
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0) return true;
  exit_code_ = ended < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

void TestProcess::Signal(int signal) {
  if (!exit_code_) ::kill(pid_, signal);  // not reaped: the pid is still its own
}

absl::StatusOr<int> TestProcess::AwaitExit(absl::Duration patience) {
  const absl::Status status = AwaitCondition(
      "exit of the process", [this] { return !Running(); }, patience);
  if (!status.ok()) return absl::DeadlineExceededError(absl::StrCat(status.message(), "\n", Output()));
  return *exit_code_;
}

absl::StatusOr<std::string> TestProcess::AwaitFile(const std::string& path, absl::Duration patience) {
  absl::StatusOr<std::string> text;
  const absl::Status status = AwaitCondition(
      path,
      [&] {
        text = ReadFile(path);
        return (text.ok() && !text->empty()) || !Running();
      },
      patience);
  if (!status.ok()) return absl::DeadlineExceededError(absl::StrCat(status.message(), "\n", Output()));
  if (!text.ok() || text->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the process ended first\n", Output()));
  }
  return text;
}

absl::Status TestProcess::AwaitOutput(absl::string_view text, absl::Duration patience) {
  bool found = false;
  const absl::Status status = AwaitCondition(
      absl::StrCat("output \"", text, "\""),
      [&] {
        const bool running = Running();  // before reading: nothing is written after the end
        found = absl::StrContains(Output(), text);
        return found || !running;
      },
      patience);
  if (found) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(status.ok() ? "the process ended first" : status.message(), "\n", Output()));
}

std::string TestProcess::Output() const {
  const absl::StatusOr<std::string> text = ReadFile(log_path_);
  return text.ok() ? *text : "";
}

}  // namespace vernier
