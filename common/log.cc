#include "common/log.h"

#include <memory>
#include <string>

#include "absl/strings/str_replace.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace vernier {
namespace {
std::shared_ptr<spdlog::logger>& Logger() {
  static auto* const logger =
      new std::shared_ptr<spdlog::logger>(std::make_shared<spdlog::logger>(
          "vernier", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  return *logger;
}

spdlog::level::level_enum SpdLevel(LogLevel level) {
  return level == LogLevel::kInfo      ? spdlog::level::info
         : level == LogLevel::kWarning ? spdlog::level::warn
                                       : spdlog::level::err;
}
}  // namespace

void InitLogging(absl::string_view process) {
  Logger()->set_pattern("%Y-%m-%dT%H:%M:%S.%e %L " + std::string(process) + " %v");
  Logger()->flush_on(spdlog::level::info);
}

void SetMinLogLevel(LogLevel level) { Logger()->set_level(SpdLevel(level)); }

void LogLine(LogLevel level, absl::string_view line) {
  const std::string one_line = absl::StrReplaceAll(line, {{"\n", "\\n"}, {"\r", "\\r"}});
  Logger()->log(SpdLevel(level), "{}", one_line);
}

}  // namespace vernier
