// The whole service as a user starts it: `vernier up` on a folder of the test's own, stopped when the test
// ends.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client.h"
#include "tests/testing/process.h"
#include "vernier/v1/job.pb.h"

namespace vernier {

// Thread-compatible.
class Service {
 public:
  struct Options {
    std::string data_dir;
    std::vector<std::string> import_roots;
    std::vector<std::string> up_flags;     // further flags of `vernier up`
    std::vector<std::string> environment;  // of every process
    int threads = 1;
    std::string log_dir;  // for what `vernier up` says; default: data_dir
  };

  // Returns once it is ready.
  static absl::StatusOr<std::unique_ptr<Service>> Start(Options options);

  client::Client& client() { return *client_; }
  // SIGTERM, and waits until everything is gone. Its exit code.
  absl::StatusOr<int> Stop();

  // The running process of this service with that name (vernierd, vernier-agent, vernier-trainer); NotFound:
  // none.
  absl::StatusOr<pid_t> FindProcess(absl::string_view name) const;

  // Creates the job and waits for its end, through restarts of every process. `patience` is for the whole
  // job.
  absl::StatusOr<std::string> Submit(const v1::JobSpec& spec);
  absl::StatusOr<v1::Job> GetJob(const std::string& name);
  absl::StatusOr<v1::Job> AwaitEnd(const std::string& name, absl::Duration patience = absl::Minutes(2));

  // What `vernier up` said so far.
  std::string Output() const { return up_->Output(); }
  // What the other processes logged, for failure messages.
  std::string Logs() const;

 private:
  explicit Service(Options options) : options_(std::move(options)) {}
  const Options options_;
  std::unique_ptr<TestProcess> up_;
  std::unique_ptr<client::Client> client_;
};

// SHA-256 of a file of a job's artifact. NotFound: it has published no such file.
absl::StatusOr<std::string> ArtifactDigest(client::Client& client, const std::string& job,
                                           absl::string_view file);

}  // namespace vernier
