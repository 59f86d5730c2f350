#include "server/api/status.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace vernier::server {
namespace {

// Trailers hold other things too, and every byte outside printable ASCII costs three on the wire.
constexpr size_t kMaxWireBytes = 6'000;

size_t WireBytes(absl::string_view text) {
  size_t bytes = 0;
  for (const char c : text) bytes += c >= ' ' && c <= '~' && c != '%' ? 1 : 3;
  return bytes;
}

std::string Fit(absl::string_view message) {
  if (WireBytes(message) <= kMaxWireBytes) return std::string(message);
  std::string kept(message.substr(0, kMaxWireBytes));
  while (WireBytes(kept) > kMaxWireBytes) kept.resize(kept.size() * 9 / 10);
  const size_t line_end = kept.rfind('\n');
  if (line_end != std::string::npos) {
    kept.resize(line_end);
    const auto missing = std::count(message.begin() + line_end + 1, message.end(), '\n') + 1;
    return absl::StrCat(kept, "\n(", missing, " more lines)");
  }
  // Do not end inside a UTF-8 sequence.
  while (!kept.empty() && (static_cast<unsigned char>(kept.back()) & 0xC0) == 0x80) kept.pop_back();
  if (!kept.empty() && static_cast<unsigned char>(kept.back()) >= 0xC0) kept.pop_back();
  return absl::StrCat(kept, " ...");
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), Fit(status.message()));
}

absl::string_view CodeName(grpc::StatusCode code) {
  static constexpr std::array<absl::string_view, 17> kNames = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const int index = static_cast<int>(code);
  return index >= 0 && index < static_cast<int>(kNames.size()) ? kNames[index] : "UNKNOWN";
}

}  // namespace vernier::server
