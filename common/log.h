// VN_LOG(INFO) << "lease granted job=" << id: one event a line, past tense, then key=value with units.
// INFO: state changed. WARNING: degraded but handled. ERROR: someone must act. Thread-safe.
#pragma once

#include <sstream>

#include "absl/strings/string_view.h"

namespace vernier {

enum class LogLevel { kInfo, kWarning, kError };

// Where lines go: standard error, with time, level, process name. Call once in main.
void InitLogging(absl::string_view process);
// Lines below `level` are dropped from now on; default: none is.
void SetMinLogLevel(LogLevel level);
// Writes one line; line breaks in `line` are escaped so that one event stays one line.
void LogLine(LogLevel level, absl::string_view line);

class LogMessage {
 public:
  explicit LogMessage(LogLevel level) : level_(level) {}
  ~LogMessage() { LogLine(level_, stream_.str()); }
  std::ostringstream& stream() { return stream_; }

 private:
  const LogLevel level_;
  std::ostringstream stream_;
};

namespace log_internal {
inline constexpr LogLevel INFO = LogLevel::kInfo;
inline constexpr LogLevel WARNING = LogLevel::kWarning;
inline constexpr LogLevel ERROR = LogLevel::kError;
}  // namespace log_internal
}  // namespace vernier

#define VN_LOG(level) ::vernier::LogMessage(::vernier::log_internal::level).stream()
