#include "scheduler/lease_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace vernier::scheduler {

void LeaseTable::Grant(absl::string_view id, absl::Time now) {
  expiry_[id] = now + options_.ttl + options_.margin;
}

absl::StatusOr<absl::Time> LeaseTable::Renew(absl::string_view id, absl::Time now) {
  const auto it = expiry_.find(id);
  if (it == expiry_.end() || it->second <= now) {
    return absl::NotFoundError(absl::StrCat("lease ", id, " lapsed or never was; stop what runs under it"));
  }
  it->second = now + options_.ttl + options_.margin;
  return it->second;
}

void LeaseTable::Release(absl::string_view id) { expiry_.erase(id); }

std::vector<std::string> LeaseTable::Lapsed(absl::Time now) const {
  std::vector<std::string> lapsed;
  for (const auto& [id, expiry] : expiry_) {
    if (expiry <= now) lapsed.push_back(id);
  }
  std::sort(lapsed.begin(), lapsed.end());
  return lapsed;
}

absl::Time LeaseTable::NextLapse() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [id, expiry] : expiry_) next = std::min(next, expiry);
  return next;
}

}  // namespace vernier::scheduler
