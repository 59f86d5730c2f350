#include "storage/gguf_dequant.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "storage/gguf_dequant_k.h"
#include "storage/half_float.h"

namespace vernier::storage {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

enum : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30
};
constexpr int64_t kBlock = 32;

// Sizes: ggml's GGML_QUANT_SIZES. Ids without a row are retired types.
constexpr GgmlType kTypes[] = {
    {kF32, "F32", 1, 4, true},
    {kF16, "F16", 1, 2, true},
    {kQ4_0, "Q4_0", kBlock, 2 + 16, true},
    {kQ4_1, "Q4_1", kBlock, 2 + 2 + 16, true},
    {kQ5_0, "Q5_0", kBlock, 2 + 4 + 16, true},
    {kQ5_1, "Q5_1", kBlock, 2 + 2 + 4 + 16, true},
    {kQ8_0, "Q8_0", kBlock, 2 + 32, true},
    {9, "Q8_1", 32, 4 + 4 + 32, false},
    {kQ2_K, "Q2_K", kSuperBlock, 2 + 2 + 16 + 64, true},
    {kQ3_K, "Q3_K", kSuperBlock, 2 + 64 + 32 + 12, true},
    {kQ4_K, "Q4_K", kSuperBlock, 2 + 2 + 128 + 12, true},
    {kQ5_K, "Q5_K", kSuperBlock, 2 + 2 + 128 + 32 + 12, true},
    {kQ6_K, "Q6_K", kSuperBlock, 2 + 128 + 64 + 16, true},
    {15, "Q8_K", 256, 4 + 256 + 32, false},
    {16, "IQ2_XXS", 256, 2 + 64, false},
    {17, "IQ2_XS", 256, 2 + 64 + 8, false},
    {18, "IQ3_XXS", 256, 2 + 64 + 32, false},
    {19, "IQ1_S", 256, 2 + 32 + 16, false},
    {20, "IQ4_NL", 32, 2 + 16, false},
    {21, "IQ3_S", 256, 2 + 64 + 32 + 8 + 4, false},
    {22, "IQ2_S", 256, 2 + 64 + 16, false},
    {23, "IQ4_XS", 256, 2 + 2 + 128 + 4, false},
    {24, "I8", 1, 1, false},
    {25, "I16", 1, 2, false},
    {26, "I32", 1, 4, false},
    {27, "I64", 1, 8, false},
    {28, "F64", 1, 8, false},
    {29, "IQ1_M", 256, 32 + 16 + 8, false},
    {kBF16, "BF16", 1, 2, true},
    {34, "TQ1_0", 256, 2 + 52, false},
    {35, "TQ2_0", 256, 2 + 64, false},
    {39, "MXFP4", 32, 1 + 16, false},
    {40, "NVFP4", 64, 4 + 32, false},
    {41, "Q1_0", 128, 2 + 16, false},
};

uint16_t LoadU16(const char* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

void DequantizeF16(const char* in, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = FloatOfHalf(LoadU16(in + 2 * i));
}

void DequantizeBF16(const char* in, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::bit_cast<float>(uint32_t{LoadU16(in + 2 * i)} << 16);
}

void DequantizeQ8_0(const char* in, absl::Span<float> out) {
  for (size_t at = 0; at < out.size(); at += kBlock, in += 2 + kBlock) {
    const float scale = FloatOfHalf(LoadU16(in));
    for (int i = 0; i < kBlock; ++i) {
      out[at + i] = scale * static_cast<float>(static_cast<signed char>(in[2 + i]));
    }
  }
}

// The two halves of a 4-bit block: `value(q)` of a number q in [0, 16).
template <typename Value>
void UnpackNibbles(const char* in, float* out, const Value& value) {
  for (int i = 0; i < kBlock / 2; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    out[i] = value(byte & 0x0F);
    out[i + kBlock / 2] = value(byte >> 4);
  }
}

void DequantizeQ4_0(const char* in, absl::Span<float> out) {
  for (size_t at = 0; at < out.size(); at += kBlock, in += 2 + kBlock / 2) {
    const float scale = FloatOfHalf(LoadU16(in));
    UnpackNibbles(in + 2, &out[at], [=](int q) { return scale * static_cast<float>(q - 8); });
  }
}

void DequantizeQ4_1(const char* in, absl::Span<float> out) {
  for (size_t at = 0; at < out.size(); at += kBlock, in += 4 + kBlock / 2) {
    const float scale = FloatOfHalf(LoadU16(in));
    const float minimum = FloatOfHalf(LoadU16(in + 2));
    UnpackNibbles(in + 4, &out[at], [=](int q) { return scale * static_cast<float>(q) + minimum; });
  }
}

// The 5-bit types: the four low bits as in the 4-bit types, then the bit `i` of `high` for value i.
template <typename Value>
void UnpackFiveBits(const char* in, uint32_t high, float* out, const Value& value) {
  for (int i = 0; i < kBlock / 2; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    out[i] = value(static_cast<int>((byte & 0x0FU) | ((high >> i) & 1U) << 4));
    out[i + kBlock / 2] = value(static_cast<int>((byte >> 4) | ((high >> (i + kBlock / 2)) & 1U) << 4));
  }
}

uint32_t LoadU32(const char* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

void DequantizeQ5_0(const char* in, absl::Span<float> out) {
  for (size_t at = 0; at < out.size(); at += kBlock, in += 2 + 4 + kBlock / 2) {
    const float scale = FloatOfHalf(LoadU16(in));
    UnpackFiveBits(in + 6, LoadU32(in + 2), &out[at],
                   [=](int q) { return scale * static_cast<float>(q - 16); });
  }
}

void DequantizeQ5_1(const char* in, absl::Span<float> out) {
  for (size_t at = 0; at < out.size(); at += kBlock, in += 4 + 4 + kBlock / 2) {
    const float scale = FloatOfHalf(LoadU16(in));
    const float minimum = FloatOfHalf(LoadU16(in + 2));
    UnpackFiveBits(in + 8, LoadU32(in + 4), &out[at],
                   [=](int q) { return scale * static_cast<float>(q) + minimum; });
  }
}

void DequantizeSuperBlocks(const char* in, int64_t block_bytes, void (*one)(const uint8_t*, float*),
                           absl::Span<float> out) {
  for (size_t at = 0; at < out.size(); at += kSuperBlock, in += block_bytes) {
    one(reinterpret_cast<const uint8_t*>(in), &out[at]);
  }
}

std::string ReadableTypes() {
  std::string names;
  for (const GgmlType& type : kTypes) {
    if (type.readable) absl::StrAppend(&names, names.empty() ? "" : ", ", type.name);
  }
  return names;
}

}  // namespace

const GgmlType* FindGgmlType(uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

absl::Status Dequantize(uint32_t type, absl::string_view bytes, absl::Span<float> out) {
  const GgmlType* known = FindGgmlType(type);
  if (known == nullptr || !known->readable) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor type ", known == nullptr ? absl::StrCat("number ", type) : known->name,
                     " is not supported; supported: ", ReadableTypes()));
  }
  const auto count = static_cast<int64_t>(out.size());
  if (count % known->block_elements != 0) {
    return absl::InvalidArgumentError(absl::StrCat(count, " values do not fill whole blocks of ",
                                                   known->block_elements, " of type ", known->name));
  }
  const int64_t needed = count / known->block_elements * known->block_bytes;
  if (static_cast<int64_t>(bytes.size()) < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " values of type ", known->name, " need ", needed, " bytes, got ", bytes.size()));
  }
  if (count == 0) return absl::OkStatus();
  switch (type) {
    case kF32:
      std::memcpy(out.data(), bytes.data(), needed);
      break;
    case kF16:
      DequantizeF16(bytes.data(), out);
      break;
    case kBF16:
      DequantizeBF16(bytes.data(), out);
      break;
    case kQ8_0:
      DequantizeQ8_0(bytes.data(), out);
      break;
    case kQ4_0:
      DequantizeQ4_0(bytes.data(), out);
      break;
    case kQ4_1:
      DequantizeQ4_1(bytes.data(), out);
      break;
    case kQ5_0:
      DequantizeQ5_0(bytes.data(), out);
      break;
    case kQ5_1:
      DequantizeQ5_1(bytes.data(), out);
      break;
    case kQ2_K:
      DequantizeSuperBlocks(bytes.data(), known->block_bytes, DequantizeBlockQ2K, out);
      break;
    case kQ3_K:
      DequantizeSuperBlocks(bytes.data(), known->block_bytes, DequantizeBlockQ3K, out);
      break;
    case kQ4_K:
      DequantizeSuperBlocks(bytes.data(), known->block_bytes, DequantizeBlockQ4K, out);
      break;
    case kQ5_K:
      DequantizeSuperBlocks(bytes.data(), known->block_bytes, DequantizeBlockQ5K, out);
      break;
    case kQ6_K:
      DequantizeSuperBlocks(bytes.data(), known->block_bytes, DequantizeBlockQ6K, out);
      break;
  }
  return absl::OkStatus();
}

}  // namespace vernier::storage
