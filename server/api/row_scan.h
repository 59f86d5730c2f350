// A first look at uploaded rows while they stream by: how the file is written, in which form its rows are,
// and how many lines of JSON it has. The full check is the prepare task's, and `vernier datasets check`'s.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/formats/recognise.h"

namespace vernier::server {

// Thread-compatible.
class RowScan {
 public:
  void Update(absl::string_view bytes);

  struct Result {
    int64_t num_rows = 0;  // lines that are not blank; 0: not counted, the file is no plain JSON lines
    std::string format;    // v1::Dataset.format
  };
  // Call once, last. InvalidArgument: no rows, no file of rows, or none of the first is one (why, and of
  // which line).
  absl::StatusOr<Result> Finish();

 private:
  // What the file is, once enough of it is there.
  void Recognise(bool whole);
  void Count(absl::string_view bytes);
  void EndLine();
  void Sniff();

  std::string head_;  // until the file is recognised
  std::optional<absl::StatusOr<data::Recognition>> file_;

  // Of JSON lines.
  int64_t line_ = 1;
  int64_t num_rows_ = 0;
  bool blank_ = true;  // the current line so far
  int num_sniffed_ = 0;
  std::string row_;  // the current line, while the format is not known
  bool row_too_long_ = false;
  bool any_object_ = false;  // a row that is JSON, if of no known form
  std::string format_;
  absl::Status first_problem_;
};

}  // namespace vernier::server
