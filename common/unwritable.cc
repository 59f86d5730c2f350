#include "common/unwritable.h"

#include <cerrno>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace vernier {
namespace {

constexpr absl::string_view kMark = "vernier/unwritable";

}  // namespace

bool IsUnwritable(const absl::Status& status) { return status.GetPayload(kMark).has_value(); }

absl::Status MarkUnwritable(absl::Status status) {
  status.SetPayload(kMark, absl::Cord());
  return status;
}

absl::Status WriteErrnoStatus(int error, absl::string_view what) {
  absl::Status status = ErrnoStatus(error, what);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return MarkUnwritable(
          absl::Status(status.code(), absl::StrCat(status.message(), "; free some space there")));
    case EROFS:
      return MarkUnwritable(
          absl::Status(status.code(), absl::StrCat(status.message(), "; make its disk writable")));
    case EACCES:
    case EPERM:
      return MarkUnwritable(absl::Status(
          status.code(), absl::StrCat(status.message(), "; let the service's user write there")));
    default:
      return status;
  }
}

}  // namespace vernier
