// Making a content-addressed thing known, against deletions of the same content at the same time.
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "server/api/calls.h"

namespace vernier::server {

// Stores the bytes, then registers them: `store() -> absl::Status` puts everything below `prefix` (ends with
// '/'), create-if-absent; `add(core, now) -> StatusOr<T>` registers it, on the strand; `key()` is an object
// that must be there. A deletion of the same content may come between the two: then both are done again. Once
// registered the content is live, and no deletion begins. Blocks: for the worker pool. Aborted: it is deleted
// again and again.
template <typename StoreBytes, typename Add, typename Key>
std::invoke_result_t<Add, Core&, absl::Time> Keep(ApiContext& api, const std::string& prefix,
                                                  StoreBytes store, Add add, Key key) {
  using Result = std::invoke_result_t<Add, Core&, absl::Time>;
  constexpr int kMaxTries = 5;
  for (int i = 0; i < kMaxTries; ++i) {
    VN_RETURN_IF_ERROR(api.deletions.AwaitNone(prefix, absl::Now() + absl::Minutes(1)));
    VN_RETURN_IF_ERROR(store());
    Result added = api.strand.Call([&](Core& core, absl::Time now) -> Result {
      if (api.deletions.Overlap(prefix)) return absl::AbortedError(prefix);
      return add(core, now);
    });
    if (absl::IsAborted(added.status())) continue;
    if (!added.ok()) return added;
    const absl::Status there = api.store.Head(key()).status();
    if (there.ok()) return added;
    if (!absl::IsNotFound(there)) return there;
  }
  return absl::AbortedError(absl::StrCat(prefix, ": the same content is being deleted; try again"));
}

}  // namespace vernier::server
