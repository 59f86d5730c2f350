// VN_CHECK: an invariant of our own code. Stays on in release; prints what failed and aborts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace vernier {
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* what, const std::string& detail) {
  std::fprintf(stderr, "%s:%d: check failed: %s %s\n", file, line, what, detail.c_str());
  std::abort();
}
}  // namespace vernier

#define VN_CHECK(condition)                                                       \
  do {                                                                            \
    if (!(condition)) ::vernier::CheckFailed(__FILE__, __LINE__, #condition, ""); \
  } while (false)
#define VN_CHECK_OK(expr)                                                                            \
  do {                                                                                               \
    if (const auto& vn_check_status_ = (expr); !vn_check_status_.ok())                               \
      ::vernier::CheckFailed(__FILE__, __LINE__, #expr, std::string(vn_check_status_.ToString()));   \
  } while (false)
