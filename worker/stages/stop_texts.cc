#include "worker/stages/stop_texts.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace vernier::stages {
namespace {

// Length of the longest end of `text` that a stop text begins with.
size_t LengthToHold(absl::string_view text, const std::vector<std::string>& stops) {
  size_t longest = 0;
  for (const std::string& stop : stops) {
    for (size_t size = std::min(text.size(), stop.size() - 1); size > longest; --size) {
      if (absl::StartsWith(stop, text.substr(text.size() - size))) longest = size;
    }
  }
  return longest;
}

}  // namespace

std::string StopTexts::Push(absl::string_view text) {
  if (stopped_) return "";
  waiting_.append(text.data(), text.size());
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) end = std::min(end, waiting_.find(stop));
  stopped_ = end != std::string::npos;
  if (!stopped_) end = waiting_.size() - LengthToHold(waiting_, stops_);
  std::string shown = waiting_.substr(0, end);
  waiting_.erase(0, stopped_ ? std::string::npos : end);
  return shown;
}

std::string StopTexts::Finish() { return std::exchange(waiting_, ""); }

}  // namespace vernier::stages
