#include "storage/gguf_quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "storage/gguf_dequant.h"
#include "storage/half_float.h"

namespace vernier::storage {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

constexpr float kLargestHalf = 65504.0F;
constexpr size_t kBlock = 32;

// Where values stop being finite and at most `limit` in size; the count when all are.
size_t FirstOutside(absl::Span<const float> values, float limit) {
  size_t at = 0;
  while (at < values.size() && std::fabs(values[at]) <= limit) ++at;
  return at;
}

absl::Status CheckSizes(absl::Span<const float> values, float limit, absl::string_view type) {
  const size_t at = FirstOutside(values, limit);
  if (at == values.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("value ", at, " is ", values[at], ", which ", type,
                                                 " cannot hold; the largest is ", limit));
}

void AppendHalf(float value, std::string* bytes) {
  const uint16_t half = HalfOfFloat(value);
  bytes->append(reinterpret_cast<const char*>(&half), sizeof(half));
}

void AppendQ8Block(const float* values, std::string* bytes) {
  float largest = 0;
  for (size_t i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(values[i]));
  const float scale = largest / 127.0F;
  const float inverse = scale == 0 ? 0.0F : 1.0F / scale;
  AppendHalf(scale, bytes);
  char quants[kBlock];
  for (size_t i = 0; i < kBlock; ++i) {
    // A scale so small that its inverse is infinite stands for zeros: as a half it is zero too.
    const float quotient = std::isinf(inverse) ? 0.0F : values[i] * inverse;
    quants[i] = static_cast<char>(static_cast<int8_t>(std::round(quotient)));
  }
  bytes->append(quants, kBlock);
}

}  // namespace

absl::Status Quantize(uint32_t type, absl::Span<const float> values, std::string* bytes) {
  const GgmlType* known = FindGgmlType(type);
  if (known == nullptr || (known->name != "F32" && known->name != "F16" && known->name != "Q8_0")) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor type ", known == nullptr ? absl::StrCat("number ", type) : known->name,
                     " is not written; written are: F32, F16, Q8_0"));
  }
  if (values.size() % static_cast<size_t>(known->block_elements) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(values.size(), " values do not fill whole blocks of ",
                                                   known->block_elements, " of type ", known->name));
  }
  bytes->reserve(bytes->size() + values.size() / static_cast<size_t>(known->block_elements) *
                                     static_cast<size_t>(known->block_bytes));
  if (known->name == "F32") {
    if (absl::Status status = CheckSizes(values, std::numeric_limits<float>::max(), "F32"); !status.ok())
      return status;
    bytes->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    return absl::OkStatus();
  }
  if (known->name == "F16") {
    if (absl::Status status = CheckSizes(values, kLargestHalf, "F16"); !status.ok()) return status;
    for (const float value : values) AppendHalf(value, bytes);
    return absl::OkStatus();
  }
  if (absl::Status status = CheckSizes(values, kLargestHalf * 127.0F, "Q8_0"); !status.ok()) return status;
  for (size_t at = 0; at < values.size(); at += kBlock) AppendQ8Block(&values[at], bytes);
  return absl::OkStatus();
}

}  // namespace vernier::storage
