#include "worker/trainer/torch_call.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/text.h"

namespace vernier::trainer {
namespace {

// "you tried to allocate 4096 bytes" (CPU), "Tried to allocate 2.00 GiB" (CUDA); 0 when it does not say.
int64_t RequestedBytes(absl::string_view message) {
  constexpr absl::string_view kBefore = "ried to allocate ";
  const size_t at = message.find(kBefore);
  if (at == absl::string_view::npos) return 0;
  message.remove_prefix(at + kBefore.size());
  size_t end = 0;
  while (end < message.size() && (absl::ascii_isdigit(message[end]) || message[end] == '.')) ++end;
  double number = 0;
  if (!absl::SimpleAtod(message.substr(0, end), &number)) return 0;
  const absl::string_view unit = absl::StripLeadingAsciiWhitespace(message.substr(end));
  for (const auto& [name, factor] : {std::pair{"bytes", 1.0}, std::pair{"KiB", 1024.0},
                                     std::pair{"MiB", 1048576.0}, std::pair{"GiB", 1073741824.0}}) {
    if (absl::StartsWith(unit, name)) return static_cast<int64_t>(number * factor);
  }
  return 0;
}

}  // namespace

absl::Status OutOfMemory(absl::string_view what, absl::string_view message, absl::string_view remedy) {
  const int64_t bytes = RequestedBytes(message);
  return absl::ResourceExhaustedError(absl::StrCat(
      what, ": out of memory", bytes > 0 ? absl::StrCat(", ", HumanBytes(bytes), " more were asked for") : "",
      "; ", remedy));
}

}  // namespace vernier::trainer
