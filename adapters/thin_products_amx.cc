#include "adapters/thin_products_amx.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace vernier::adapters::amx {
namespace {

using models::amx::Pairs;
using models::amx::Settle;
using models::amx::StoreHalves;
using models::amx::Tiles;
using models::amx::ToFloats;

constexpr int64_t kTokens = 64;  // a block of Project: four tiles of sums hide each other's latency
constexpr int64_t kColumns = 4;  // tiles of a block of AddProduct

VN_AMX inline __m512 LoadUpTo(const float* p, int64_t count) {
  const auto mask = static_cast<__mmask16>(count >= kTile ? 0xffff : (1u << std::max<int64_t>(count, 0)) - 1);
  return _mm512_maskz_loadu_ps(mask, p);
}

// One block of a matrix whose columns are adjacent: row p of the block holds rows 2p and 2p + 1.
VN_AMX void PackByRows(const Matrix& part, int64_t row, int64_t column, int64_t depth, float scale,
                       Half* out) {
  const __m512 factor = _mm512_set1_ps(scale);
  const auto load = [&](int64_t r) VN_AMX {
    if (r >= part.rows) return _mm512_setzero_ps();
    return _mm512_mul_ps(factor, LoadUpTo(part.data + r * part.row_stride + column, part.columns - column));
  };
  for (int64_t p = 0; p < depth / 2; ++p) {
    _mm512_storeu_si512(out + p * 2 * kTile, Pairs(load(row + 2 * p), load(row + 2 * p + 1)));
  }
}

// One block of a matrix whose rows (what is summed over) are adjacent.
VN_AMX void PackByColumns(const Matrix& part, int64_t row, int64_t column, int64_t depth, float scale,
                          Half* out) {
  alignas(64) Half block[kTile][2 * kTile] = {};
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t c = 0; c < std::min(kTile, part.columns - column); ++c) {
    const float* const from = part.data + (column + c) * part.column_stride + row;
    for (int64_t d = 0; d < depth; d += kTile) {
      StoreHalves(block[c] + d, _mm512_mul_ps(factor, LoadUpTo(from + d, part.rows - row - d)));
    }
  }
  uint32_t pairs[kTile][kTile];
  std::memcpy(pairs, block, sizeof(pairs));
  auto* const to = reinterpret_cast<uint32_t*>(out);
  for (int64_t p = 0; p < depth / 2; ++p) {
    for (int64_t c = 0; c < kTile; ++c) to[p * kTile + c] = pairs[c][p];
  }
}

}  // namespace

Packed::Packed(int64_t sum_size, int64_t columns, int64_t depth)
    : depth_(depth),
      num_sum_blocks_((sum_size + depth - 1) / depth),
      num_column_blocks_((columns + kTile - 1) / kTile),
      data_(num_sum_blocks_ * num_column_blocks_ * depth * kTile) {}

void Packed::Put(const Matrix& part, int64_t row, int64_t column, float scale) {
  for (int64_t r = 0; r < part.rows; r += depth_) {
    for (int64_t c = 0; c < part.columns; c += kTile) {
      Half* const out = const_cast<Half*>(Block((row + r) / depth_, (column + c) / kTile));
      if (part.column_stride == 1) {
        PackByRows(part, r, c, depth_, scale, out);
      } else {
        PackByColumns(part, r, c, depth_, scale, out);
      }
    }
  }
}

VN_AMX void Project(const Half* x, int64_t x_stride, const Packed& weight, Half* h, int64_t h_stride,
                    int64_t begin, int64_t end) {
  const Tiles tiles(2 * kTile, /*left=*/1);
  const int64_t depth = weight.num_sum_blocks() * 2 * kTile;
  alignas(64) float sums[kTokens][kTile];
  std::vector<Half> padded;  // of the last tokens, up to whole tiles
  for (int64_t t = begin; t < end; t += kTokens) {
    const int64_t count = std::min(kTokens, end - t);
    const Half* from = x + t * x_stride;
    int64_t stride = x_stride;
    if (count < kTokens) {
      padded.assign(kTokens * depth, 0);
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(padded.data() + i * depth, from + i * x_stride, depth * sizeof(Half));
      }
      from = padded.data();
      stride = depth;
      Settle();
    }
    const int64_t bytes = stride * static_cast<int64_t>(sizeof(Half));
    for (int64_t r = 0; r < weight.num_column_blocks(); ++r) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t k = 0; k < weight.num_sum_blocks(); ++k) {
        const Half* const at = from + k * 2 * kTile;
        _tile_loadd(5, weight.Block(k, r), 64);
        _tile_loadd(4, at, bytes);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(4, at + kTile * stride, bytes);
        _tile_dpbf16ps(1, 4, 5);
        _tile_loadd(4, at + 2 * kTile * stride, bytes);
        _tile_dpbf16ps(2, 4, 5);
        _tile_loadd(4, at + 3 * kTile * stride, bytes);
        _tile_dpbf16ps(3, 4, 5);
      }
      _tile_stored(0, sums[0], 64);
      _tile_stored(1, sums[kTile], 64);
      _tile_stored(2, sums[2 * kTile], 64);
      _tile_stored(3, sums[3 * kTile], 64);
      Settle();
      for (int64_t i = 0; i < count; ++i) {
        StoreHalves(h + (t + i) * h_stride + r * kTile, _mm512_load_ps(sums[i]));
      }
    }
  }
}

VN_AMX void AddProduct(const Half* h, int64_t h_stride, const Packed& weight, Half* y, int64_t y_stride,
                       int64_t begin, int64_t end) {
  const Tiles tiles(kTile, /*left=*/1);
  const int64_t h_bytes = h_stride * static_cast<int64_t>(sizeof(Half));
  const int64_t num_columns = weight.num_column_blocks();
  alignas(64) float sums[kColumns][kTile][kTile];
  for (int64_t t = begin; t < end; t += kTile) {
    const int64_t count = std::min(kTile, end - t);
    for (int64_t c = 0; c < num_columns; c += kColumns) {
      const int64_t blocks = std::min(kColumns, num_columns - c);
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t r = 0; r < weight.num_sum_blocks(); ++r) {
        _tile_loadd(4, h + t * h_stride + r * kTile, h_bytes);
        _tile_loadd(5, weight.Block(r, c), 64);
        _tile_dpbf16ps(0, 4, 5);
        _tile_loadd(6, weight.Block(r, std::min(c + 1, num_columns - 1)), 64);
        _tile_dpbf16ps(1, 4, 6);
        _tile_loadd(5, weight.Block(r, std::min(c + 2, num_columns - 1)), 64);
        _tile_dpbf16ps(2, 4, 5);
        _tile_loadd(6, weight.Block(r, std::min(c + 3, num_columns - 1)), 64);
        _tile_dpbf16ps(3, 4, 6);
      }
      _tile_stored(0, sums[0], 64);
      _tile_stored(1, sums[1], 64);
      _tile_stored(2, sums[2], 64);
      _tile_stored(3, sums[3], 64);
      Settle();
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t b = 0; b < blocks; ++b) {
          Half* const at = y + (t + i) * y_stride + (c + b) * kTile;
          StoreHalves(at, _mm512_add_ps(ToFloats(at), _mm512_load_ps(sums[b][i])));
        }
      }
    }
  }
}

std::vector<Half> Turned(const Half* h, int64_t h_stride, int64_t num_tokens, int64_t ranks) {
  const int64_t padded = (num_tokens + 31) / 32 * 32;
  std::vector<Half> turned(ranks * padded);
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t r = 0; r < ranks; ++r) turned[r * padded + t] = h[t * h_stride + r];
  }
  return turned;
}

VN_AMX void TurnedProduct(const Half* turned_h, int64_t ranks, const Half* y, int64_t y_stride,
                          int64_t num_tokens, float* g, int64_t g_stride, int64_t begin, int64_t end) {
  const Tiles tiles(2 * kTile, /*left=*/1);
  const int64_t padded = (num_tokens + 31) / 32 * 32;
  const int64_t h_bytes = padded * static_cast<int64_t>(sizeof(Half));
  // Two tiles of the right-hand side: pairs of tokens of 32 columns.
  alignas(64) Half right[2][kTile][2 * kTile];
  alignas(64) float sums[4][kTile][kTile];
  for (int64_t panel = begin; panel < end; ++panel) {
    const Half* const columns = y + panel * 2 * kTile;
    for (int64_t r = 0; r < ranks; r += 2 * kTile) {
      const bool two = r + kTile < ranks;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t t = 0; t < num_tokens; t += 2 * kTile) {
        for (int64_t p = 0; p < kTile; ++p) {
          const auto load = [&](int64_t token) VN_AMX {
            return token < num_tokens ? _mm512_loadu_si512(columns + token * y_stride)
                                      : _mm512_setzero_si512();
          };
          const __m512i even = load(t + 2 * p), odd = load(t + 2 * p + 1);
          _mm512_store_si512(right[0][p], _mm512_unpacklo_epi16(even, odd));
          _mm512_store_si512(right[1][p], _mm512_unpackhi_epi16(even, odd));
        }
        Settle();
        _tile_loadd(5, right[0], 64);
        _tile_loadd(6, right[1], 64);
        _tile_loadd(4, turned_h + r * padded + t, h_bytes);
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 6);
        if (!two) continue;
        _tile_loadd(4, turned_h + (r + kTile) * padded + t, h_bytes);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 6);
      }
      _tile_stored(0, sums[0], 64);
      _tile_stored(1, sums[1], 64);
      _tile_stored(2, sums[2], 64);
      _tile_stored(3, sums[3], 64);
      Settle();
      // Unpacking took columns in turns of four: the low half of each eight, and the high one.
      for (int64_t part = 0; part < (two ? 4 : 2); ++part) {
        for (int64_t i = 0; i < kTile; ++i) {
          float* const to = g + (r + part / 2 * kTile + i) * g_stride + panel * 2 * kTile + part % 2 * 4;
          for (int64_t four = 0; four < 4; ++four) {
            std::memcpy(to + 8 * four, sums[part][i] + 4 * four, 4 * sizeof(float));
          }
        }
      }
    }
  }
}

}  // namespace vernier::adapters::amx
