// Which lease runs until when. Thread-compatible: only the state machine calls it.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vernier::scheduler {

class LeaseTable {
 public:
  struct Options {
    absl::Duration ttl = absl::Seconds(15);  // three missed heartbeats
    // On top of the ttl before a lease may be given away. Agents that hear no renewal stop its ranks at the ttl and
    // kill them a fifth of it later: at least a quarter of the ttl, for clock rates and scheduling.
    absl::Duration margin = absl::Seconds(5);
  };
  explicit LeaseTable(Options options) : options_(options) {}

  // Starts (or restarts, after the server did) a lease at `now`.
  void Grant(absl::string_view id, absl::Time now);
  // Extends the lease and returns its new expiry.
  // NotFound: it lapsed and may run elsewhere by now; the caller must stop its ranks.
  absl::StatusOr<absl::Time> Renew(absl::string_view id, absl::Time now);
  void Release(absl::string_view id);
  // Those not renewed for ttl + margin, in order of id.
  std::vector<std::string> Lapsed(absl::Time now) const;
  // When the next one may lapse; InfiniteFuture when there is none.
  absl::Time NextLapse() const;

 private:
  const Options options_;
  absl::flat_hash_map<std::string, absl::Time> expiry_;
};

}  // namespace vernier::scheduler
