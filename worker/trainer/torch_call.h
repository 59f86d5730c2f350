// LibTorch throws; we return Status. Exceptions stop here.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vernier::trainer {

// What to do when memory could not be had: of what no setting makes smaller, and of a training step.
inline constexpr absl::string_view kNeedsMoreMemory = "use a machine with more memory";
inline constexpr absl::string_view kLowerMicroBatches = "lower micro_batch_tokens or data.max_tokens";

// One sentence for memory that could not be had: how much, where the allocator's own words (`message`) say
// so, and what to do (`remedy`). ResourceExhausted.
absl::Status OutOfMemory(absl::string_view what, absl::string_view message, absl::string_view remedy);

// Runs `body` (which returns absl::Status or absl::StatusOr<T>) and turns what it throws into a Status whose
// message starts with `what`. ResourceExhausted: memory could not be allocated; the message ends with
// `remedy`. Internal: any other exception.
template <typename Body>
auto TorchCall(absl::string_view what, Body&& body, absl::string_view remedy = kNeedsMoreMemory)
    -> std::invoke_result_t<Body> {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return OutOfMemory(what, "", remedy);
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    // The allocators of CPU and devices say it in their own words.
    if (absl::StrContains(message, "can't allocate memory") || absl::StrContains(message, "out of memory")) {
      return OutOfMemory(what, message, remedy);
    }
    return absl::InternalError(absl::StrCat(what, ": ", message));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(what, ": ", error.what()));
  }
}

}  // namespace vernier::trainer
