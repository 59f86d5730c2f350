#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/store_io.h"

namespace vernier::data {

absl::StatusOr<std::string> ReadWhole(Blobs& blobs, const std::string& key, int64_t max_bytes) {
  VN_ASSIGN_OR_RETURN(const int64_t size, blobs.Size(key));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, ": ", HumanBytes(size), " is more than the limit of ", HumanBytes(max_bytes)));
  }
  VN_ASSIGN_OR_RETURN(std::string bytes, blobs.ReadAt(key, 0, size));
  if (static_cast<int64_t>(bytes.size()) != size) {
    return absl::DataLossError(absl::StrCat(key, ": ", bytes.size(), " bytes came of ", size));
  }
  return bytes;
}

}  // namespace vernier::data
