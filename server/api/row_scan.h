// A first look at uploaded rows while they stream by: how many there are, and in which format. The full check
// is the prepare task's, and `vernier datasets check`'s.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::server {

// Thread-compatible.
class RowScan {
 public:
  void Update(absl::string_view bytes);

  struct Result {
    int64_t num_rows = 0;  // lines that are not blank
    std::string format;    // messages | prompt_completion | text
  };
  // Call once, last. InvalidArgument: no rows, or none of the first is one (why, and of which line).
  absl::StatusOr<Result> Finish();

 private:
  void EndLine();
  void Sniff();

  int64_t line_ = 1;
  int64_t num_rows_ = 0;
  bool blank_ = true;  // the current line so far
  int num_sniffed_ = 0;
  std::string row_;  // the current line, while the format is not known
  bool row_too_long_ = false;
  std::string format_;
  absl::Status first_problem_;
};

}  // namespace vernier::server
