// Generated text that ends before the first of some stop texts.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::stages {

// Thread-compatible.
class StopTexts {
 public:
  // None of `stops` is empty.
  explicit StopTexts(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Whole characters in; out comes what may be shown now. What could be the beginning of a stop text waits.
  std::string Push(absl::string_view text);
  // What still waits, now that nothing follows.
  std::string Finish();
  // A stop text came: it and everything after it is left out.
  bool stopped() const { return stopped_; }

 private:
  const std::vector<std::string> stops_;
  std::string waiting_;
  bool stopped_ = false;
};

}  // namespace vernier::stages
