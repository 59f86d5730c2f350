// A child process: started with its output in a log file, waited for, described in words when it ends.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier {

struct ChildOptions {
  std::vector<std::string> arguments;    // [0] is the program's path
  std::vector<std::string> environment;  // "NAME=value", replacing those of this process
  std::string log_path;                  // standard output and error are appended here; created 0600
  // Signal that the child gets when the thread that started it ends (0 = none): nothing outlives its
  // supervisor.
  int parent_death_signal = 0;
};

// Starts the child; its standard input is empty and no signal is blocked or ignored. Call from a thread that
// lives as long as the process does. NotFound and so on name the program or the log.
absl::StatusOr<pid_t> SpawnChild(const ChildOptions& options);

// Blocks until the child ended. Its pid stays taken until ReapChild, so that it can be signalled without
// hitting another. How it ended, in words: "exited with code 1", "was killed by signal 9 (Killed)".
// *exit_code: what it exited with, 128 + the signal that killed it, -1 when that is not known.
std::string WaitChild(pid_t pid, int* exit_code);
void ReapChild(pid_t pid);

// The last line of a log file that says something, at most 300 bytes; "" when there is none.
std::string LastLogLine(const std::string& log_path);

}  // namespace vernier
