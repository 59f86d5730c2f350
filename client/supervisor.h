// `vernier up`: vernierd and one agent on this machine, started, watched, restarted and stopped together.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace vernier::client {

struct SupervisorOptions {
  std::string data_dir;
  std::string binary_folder;           // vernierd, vernier-agent and vernier-trainer
  std::string listen = "127.0.0.1:0";  // port 0 = pick
  std::string metrics_listen = "127.0.0.1:0";
  std::vector<std::string> import_roots;
  std::vector<std::string> server_flags;          // further flags of vernierd, as they are
  int threads = 0;                                // for training; 0 = all
  absl::Duration stop_grace = absl::Seconds(60);  // for tasks to checkpoint
};

// What runs once `vernier up` is ready.
struct Started {
  std::string endpoint;
  pid_t pid = 0;  // of the supervisor, which stops everything on SIGTERM
};

// Runs until SIGTERM or SIGINT (a second one stops at once). Calls `ready` when the service answers and its
// agent is connected. Children that die are started again, with back-off; one that cannot start at all ends
// it, with the kind of error that its exit code says. FailedPrecondition: another `vernier up` runs on this
// data dir. Call from the main thread, before any
// other thread exists: signals are taken over.
absl::Status Supervise(const SupervisorOptions& options, const std::function<void(const Started&)>& ready);

// The same in a background process; returns when it is ready. Output goes to <data_dir>/logs/up.log.
absl::StatusOr<Started> SuperviseDetached(const SupervisorOptions& options);

// Stops the `vernier up` of this data dir and waits until it is gone. NotFound: none runs.
absl::Status StopSupervisor(const std::string& data_dir, absl::Duration timeout);

}  // namespace vernier::client
