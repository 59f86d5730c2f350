// VN_RETURN_IF_ERROR and VN_ASSIGN_OR_RETURN: leave the function with the error of a Status or StatusOr.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vernier {

// The same code with `context` in front of the message ("context: message"); an OK status stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace vernier

#define VN_CONCAT_INNER_(a, b) a##b
#define VN_CONCAT_(a, b) VN_CONCAT_INNER_(a, b)

#define VN_RETURN_IF_ERROR(expr)                                   \
  do {                                                             \
    if (::absl::Status vn_status_ = (expr); !vn_status_.ok()) return vn_status_; \
  } while (false)

#define VN_ASSIGN_OR_RETURN(lhs, expr) VN_ASSIGN_OR_RETURN_IMPL_(VN_CONCAT_(vn_statusor_, __LINE__), lhs, expr)
#define VN_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return tmp.status();             \
  lhs = std::move(tmp).value()
