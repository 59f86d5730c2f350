// absl::Status at the wire.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vernier::server {

// The same code. A status travels in HTTP/2 trailers, of which clients take 8 KiB: a longer message is cut at
// the end of a line, and its last line says how many are missing.
grpc::Status ToGrpcStatus(const absl::Status& status);

// "NOT_FOUND" for kNotFound, and so on: a label of metrics.
absl::string_view CodeName(grpc::StatusCode code);

}  // namespace vernier::server
