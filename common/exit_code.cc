#include "common/exit_code.h"

namespace vernier {

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 2;
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 4;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return 5;
    case absl::StatusCode::kResourceExhausted:
      return 6;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
      return 7;
    default:
      return 1;
  }
}

absl::StatusCode StatusCodeOfExit(int exit_code) {
  switch (exit_code) {
    case 0:
      return absl::StatusCode::kOk;
    case 2:
      return absl::StatusCode::kInvalidArgument;
    case 3:
      return absl::StatusCode::kNotFound;
    case 4:
      return absl::StatusCode::kUnavailable;
    case 5:
      return absl::StatusCode::kPermissionDenied;
    case 6:
      return absl::StatusCode::kResourceExhausted;
    case 7:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace vernier
