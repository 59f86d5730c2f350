// Inner loops have fixed counts and no branches, so that compilers vectorise them. A product and a sum are
// rounded one by one, as ggml and the Python package do (see CMakeLists.txt: no contraction).
#include "storage/gguf_dequant_k.h"

#include <cstring>

#include "storage/half_float.h"

namespace vernier::storage {
namespace {

float HalfAt(const uint8_t* in) {
  uint16_t half;
  std::memcpy(&half, in, sizeof(half));
  return FloatOfHalf(half);
}

// The 6-bit scale and minimum of sub-block `i` in [0, 8) of Q4_K and Q5_K.
struct ScaleMin {
  int scale, minimum;
};
ScaleMin ScaleMinAt(const uint8_t* scales, int i) {
  if (i < 4) return {scales[i] & 0x3F, scales[i + 4] & 0x3F};
  return {(scales[i + 4] & 0x0F) | ((scales[i - 4] >> 6) << 4),
          (scales[i + 4] >> 4) | ((scales[i] >> 6) << 4)};
}

}  // namespace

void DequantizeBlockQ2K(const uint8_t* in, float* out) {
  const uint8_t* scales = in;
  const uint8_t* quants = in + 16;
  const float d = HalfAt(in + 80);
  const float d_min = HalfAt(in + 82);
  for (int half = 0; half < 2; ++half, quants += 32) {
    for (int part = 0; part < 8; ++part) {  // 16 values each
      const int scale = scales[8 * half + part];
      const float step = d * static_cast<float>(scale & 0x0F);
      const float minimum = d_min * static_cast<float>(scale >> 4);
      const int shift = 2 * (part / 2);
      const uint8_t* from = quants + 16 * (part % 2);
      for (int i = 0; i < 16; ++i) out[i] = step * static_cast<float>((from[i] >> shift) & 3) - minimum;
      out += 16;
    }
  }
}

void DequantizeBlockQ3K(const uint8_t* in, float* out) {
  const uint8_t* high = in;
  const uint8_t* quants = in + 32;
  const uint8_t* packed = in + 96;
  const float d = HalfAt(in + 108);
  for (int half = 0; half < 2; ++half, quants += 32) {
    for (int part = 0; part < 8; ++part) {
      const int at = 8 * half + part;
      const int low_bits = at < 8 ? packed[at] & 0x0F : packed[at - 8] >> 4;
      const int high_bits = (packed[8 + at % 4] >> (2 * (at / 4))) & 3;
      const float step = d * static_cast<float>((low_bits | high_bits << 4) - 32);
      const int shift = 2 * (part / 2);
      const int bit = 4 * half + part / 2;
      const uint8_t* from = quants + 16 * (part % 2);
      const uint8_t* mask = high + 16 * (part % 2);
      for (int i = 0; i < 16; ++i) {
        // A set bit stands for no offset.
        const int q = ((from[i] >> shift) & 3) - 4 + (((mask[i] >> bit) & 1) << 2);
        out[i] = step * static_cast<float>(q);
      }
      out += 16;
    }
  }
}

void DequantizeBlockQ4K(const uint8_t* in, float* out) {
  const float d = HalfAt(in);
  const float d_min = HalfAt(in + 2);
  const uint8_t* scales = in + 4;
  const uint8_t* quants = in + 16;
  for (int part = 0; part < 8; ++part) {  // 32 values each
    const ScaleMin sm = ScaleMinAt(scales, part);
    const float step = d * static_cast<float>(sm.scale);
    const float minimum = d_min * static_cast<float>(sm.minimum);
    const uint8_t* from = quants + 32 * (part / 2);
    const int shift = 4 * (part % 2);
    for (int i = 0; i < 32; ++i) out[i] = step * static_cast<float>((from[i] >> shift) & 0x0F) - minimum;
    out += 32;
  }
}

void DequantizeBlockQ5K(const uint8_t* in, float* out) {
  const float d = HalfAt(in);
  const float d_min = HalfAt(in + 2);
  const uint8_t* scales = in + 4;
  const uint8_t* high = in + 16;
  const uint8_t* quants = in + 48;
  for (int part = 0; part < 8; ++part) {
    const ScaleMin sm = ScaleMinAt(scales, part);
    const float step = d * static_cast<float>(sm.scale);
    const float minimum = d_min * static_cast<float>(sm.minimum);
    const uint8_t* from = quants + 32 * (part / 2);
    const int shift = 4 * (part % 2);
    for (int i = 0; i < 32; ++i) {
      const int q = ((from[i] >> shift) & 0x0F) | (((high[i] >> part) & 1) << 4);
      out[i] = step * static_cast<float>(q) - minimum;
    }
    out += 32;
  }
}

void DequantizeBlockQ6K(const uint8_t* in, float* out) {
  const auto* scales = reinterpret_cast<const int8_t*>(in + 192);
  const float d = HalfAt(in + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = in + 64 * half;
    const uint8_t* high = in + 128 + 32 * half;
    for (int part = 0; part < 8; ++part) {  // 16 values each
      const float step = d * static_cast<float>(scales[8 * half + part]);
      const int quarter = part / 2;
      const uint8_t* from = low + 32 * (quarter % 2) + 16 * (part % 2);
      const uint8_t* top = high + 16 * (part % 2);
      const int shift = 4 * (quarter / 2);
      for (int i = 0; i < 16; ++i) {
        const int q = (((from[i] >> shift) & 0x0F) | (((top[i] >> (2 * quarter)) & 3) << 4)) - 32;
        out[i] = step * static_cast<float>(q);
      }
      out += 16;
    }
  }
}

}  // namespace vernier::storage
