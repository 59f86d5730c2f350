// `vernier up`: vernierd and one agent on this machine, started, watched, restarted and stopped together.
#pragma once

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

// Runs until SIGTERM or SIGINT (a second one stops at once). Calls `ready` when the service answers and its
// agent is connected. Children that die are started again, with back-off; one that cannot start at all ends
// it. FailedPrecondition: another `vernier up` runs on this data dir. Call from the main thread, before any
// other thread exists: signals are taken over.
absl::Status Supervise(const SupervisorOptions& options,
                       const std::function<void(const std::string& endpoint)>& ready);

// The same in a background process; returns when it is ready, with its endpoint. Output goes to
// <data_dir>/logs/up.log.
absl::StatusOr<std::string> SuperviseDetached(const SupervisorOptions& options);

// Stops the `vernier up` of this data dir and waits until it is gone. NotFound: none runs.
absl::Status StopSupervisor(const std::string& data_dir, absl::Duration timeout);

}  // namespace vernier::client
