// A real process under test: started, waited for, signalled, and never left behind.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vernier {

// How long a test waits for what should take milliseconds, on a machine under load and sanitizers.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// Looks again and again until `condition` holds. DeadlineExceeded, "what: ...": it did not.
absl::Status AwaitCondition(absl::string_view what, const std::function<bool()>& condition,
                            absl::Duration patience = kPatience);

// Thread-compatible.
class TestProcess {
 public:
  // arguments[0] is the program. Its output goes to `log_path`, appended. It dies with the test.
  static absl::StatusOr<std::unique_ptr<TestProcess>> Start(std::vector<std::string> arguments,
                                                            std::string log_path,
                                                            std::vector<std::string> environment = {});
  ~TestProcess();  // kills it

  pid_t pid() const { return pid_; }
  bool Running();
  void Signal(int signal);
  // Its exit code, or 128 + the signal that killed it. DeadlineExceeded: it still runs; the message holds its
  // log.
  absl::StatusOr<int> AwaitExit(absl::Duration patience = kPatience);
  // The whole text of `path` once it exists and is not empty. FailedPrecondition: the process ended before
  // that.
  absl::StatusOr<std::string> AwaitFile(const std::string& path, absl::Duration patience = kPatience);
  // Until its output holds `text`.
  absl::Status AwaitOutput(absl::string_view text, absl::Duration patience = kPatience);
  // All it wrote so far.
  std::string Output() const;

 private:
  TestProcess(pid_t pid, std::string log_path);

  const pid_t pid_;
  const std::string log_path_;
  std::optional<int> exit_code_;
};

}  // namespace vernier
