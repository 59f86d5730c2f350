// Compiled for AVX-512 and AMX as a whole: as in kernel_loops.h nothing here may call a function of another
// header that is not inlined into one of this file.
#define VN_INSTRUCTION_SET amx_loops
#include "worker/models/common/attention_amx.h"

#include "worker/models/common/kernel_loops.h"

namespace vernier::models::amx {
namespace {

namespace loops = kernels::amx_loops;

constexpr int64_t kBlock = 32;           // queries and keys of a block: 2 x 2 tiles
constexpr int64_t kBlockSize = 16 * 16;  // of pairs, of a right-hand side
constexpr int64_t kStrip = 128;          // queries whose weights are kept at a time
constexpr int64_t kPairs = kBlock / 2;   // of a block's rows
constexpr int64_t kAlign = 64;

inline int64_t Up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
inline int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Greatest(int64_t a, int64_t b) { return a > b ? a : b; }

// First block of keys that a block of queries sees, and one past the last block of queries that see a key.
inline int64_t FirstKeys(int64_t queries, int64_t window) {
  return window == 0 ? 0 : Greatest(0, queries * kBlock - window + 1) / kBlock;
}
inline int64_t EndQueries(int64_t keys, int64_t window, int64_t end) {
  return window == 0 ? end : Least(end, (keys * kBlock + kBlock - 1 + window - 1) / kBlock + 1);
}

// Sizes of the scratch memory. Rows of matrices that tiles are read from are not multiples of a page.
struct Sizes {
  int64_t tokens = 0;   // L up to whole blocks
  int64_t keys = 0;     // that a strip of queries sees at most
  int64_t key_row = 0;  // between rows of the weights
  int64_t sum_row = 0;  // between rows of the sums
};
inline Sizes SizesOf(int64_t num_tokens, int64_t window) {
  Sizes sizes;
  sizes.tokens = Up(num_tokens, kBlock);
  sizes.keys = window == 0 ? sizes.tokens : Least(sizes.tokens, Up(window, kBlock) + kStrip + kBlock);
  sizes.key_row = sizes.keys + kBlock;
  sizes.sum_row = sizes.tokens + kTile;
  return sizes;
}

struct Scratch {
  Half *padded, *k_turned, *v_turned, *k_pairs;  // [L, C]
  Half *q, *grad, *q_turned, *grad_turned;       // [strip, C], [C, strip]
  float *log_sum, *dot;                          // [strip]
  float *scores, *grad_p;                        // [block, block]
  Half* grad_scores;                             // [strip, keys]
  uint32_t *grad_scores_pairs, *p_pairs;         // [strip / 2, keys]
  float *k_sums, *v_sums;                        // [C, L]
};

struct Taker {
  char* at = nullptr;
  int64_t taken = 0;
  template <typename T>
  void Take(T*& part, int64_t count) {
    part = reinterpret_cast<T*>(at + taken);
    taken += Up(count * static_cast<int64_t>(sizeof(T)), kAlign);
  }
};

inline int64_t Divide(Taker taker, const Sizes& sizes, int64_t c, Scratch& scratch) {
  for (Half** part : {&scratch.padded, &scratch.k_turned, &scratch.v_turned, &scratch.k_pairs}) {
    taker.Take(*part, sizes.tokens * c);
  }
  for (Half** part : {&scratch.q, &scratch.grad, &scratch.q_turned, &scratch.grad_turned}) {
    taker.Take(*part, kStrip * c);
  }
  for (float** part : {&scratch.log_sum, &scratch.dot}) taker.Take(*part, kStrip);
  for (float** part : {&scratch.scores, &scratch.grad_p}) taker.Take(*part, kBlock * kBlock);
  taker.Take(scratch.grad_scores, kStrip * sizes.key_row);
  for (uint32_t** part : {&scratch.grad_scores_pairs, &scratch.p_pairs}) {
    taker.Take(*part, kStrip / 2 * sizes.key_row);
  }
  for (float** part : {&scratch.k_sums, &scratch.v_sums}) taker.Take(*part, c * sizes.sum_row);
  return taker.taken;
}

inline __m512i Load(const void* p) { return _mm512_loadu_si512(p); }
inline void Store(void* p, __m512i v) { _mm512_storeu_si512(p, v); }

// 16 x 16 words, turned in place.
inline void Turn(__m512i (&rows)[kTile]) {
  __m512i other[kTile];
  for (int i = 0; i < 16; i += 2) {
    other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(other[i], other[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(other[i], other[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(other[i + 1], other[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(other[i + 1], other[i + 3]);
  }
  // rows[4 r + j]: in lane group g, word j + 4 g of the rows 4 r .. 4 r + 3.
  for (int j = 0; j < 4; ++j) {
    const __m512i low = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0x88);
    const __m512i high = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0xdd);
    const __m512i low2 = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0x88);
    const __m512i high2 = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0xdd);
    other[j] = _mm512_shuffle_i32x4(low, low2, 0x88);
    other[8 + j] = _mm512_shuffle_i32x4(low, low2, 0xdd);
    other[4 + j] = _mm512_shuffle_i32x4(high, high2, 0x88);
    other[12 + j] = _mm512_shuffle_i32x4(high, high2, 0xdd);
  }
  for (int i = 0; i < 16; ++i) rows[i] = other[i];
}

// Rows [begin, begin + count) of the head, zeros behind them up to `padded_count`.
inline void CopyRows(const HeadRows& from, int64_t begin, int64_t count, int64_t padded_count, int64_t c,
                     Half* to) {
  for (int64_t t = 0; t < count; ++t) {
    const Half* const row = from.data + (begin + t) * from.stride;
    for (int64_t i = 0; i < c; i += kBlock) Store(to + t * c + i, Load(row + i));
  }
  for (int64_t i = count * c; i < padded_count * c; i += kBlock) Store(to + i, _mm512_setzero_si512());
}

// Rows [num_rows, C] as right-hand sides of products that sum over C: for each 16 rows and each 32 of C a
// block whose row p holds numbers 2 p and 2 p + 1 of each row.
inline void PackTurned(const Half* rows, int64_t num_rows, int64_t c, Half* out) {
  for (int64_t r = 0; r < num_rows; r += kTile) {
    for (int64_t i = 0; i < c; i += kBlock) {
      __m512i block[kTile];
      for (int64_t j = 0; j < kTile; ++j) block[j] = Load(rows + (r + j) * c + i);
      Turn(block);
      for (int64_t j = 0; j < kTile; ++j, out += kBlock) Store(out, block[j]);
    }
  }
}

// Words of (even, odd) for numbers [0, 16) and [16, 32) of two rows.
struct TwoRows {
  __m512i low, high;
};
inline TwoRows Interleave(const Half* even, const Half* odd) {
  alignas(64) static constexpr uint16_t kLow[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                    37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                    11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(kLow);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  const __m512i a = Load(even), b = Load(odd);
  return {_mm512_permutex2var_epi16(a, low, b), _mm512_permutex2var_epi16(a, high, b)};
}

// Rows [num_rows, C] as right-hand sides of products that sum over rows: for each 32 rows and each 16 of C a
// block whose row p holds rows 2 p and 2 p + 1.
inline void PackPairs(const Half* rows, int64_t num_rows, int64_t c, Half* out) {
  for (int64_t r = 0; r < num_rows; r += kBlock) {
    for (int64_t i = 0; i < c; i += kBlock, out += 4 * kBlockSize) {
      for (int64_t p = 0; p < kPairs; ++p) {
        const Half* const even = rows + (r + 2 * p) * c + i;
        const TwoRows pairs = Interleave(even, even + c);
        Store(out + p * kBlock, pairs.low);
        Store(out + 2 * kBlockSize + p * kBlock, pairs.high);
      }
    }
  }
}

// Rows [num_rows, C], num_rows at most a strip, as [C, strip].
inline void TurnStrip(const Half* rows, int64_t num_rows, int64_t c, Half* out) {
  for (int64_t r = 0; r < num_rows; r += kBlock) {
    for (int64_t i = 0; i < c; i += kBlock) {
      __m512i low[kTile], high[kTile];
      for (int64_t p = 0; p < kPairs; ++p) {
        const Half* const even = rows + (r + 2 * p) * c + i;
        const TwoRows pairs = Interleave(even, even + c);
        low[p] = pairs.low;
        high[p] = pairs.high;
      }
      Turn(low);
      Turn(high);
      for (int64_t j = 0; j < kTile; ++j) {
        Store(out + (i + j) * kStrip + r, low[j]);
        Store(out + (i + kTile + j) * kStrip + r, high[j]);
      }
    }
  }
}

// [32, 32] = rows [32, C] times 32 packed ones.
inline void Scores(const Half* rows, const Half* packed, int64_t c, float* out) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t next = c / kBlock * 2 * kBlockSize;  // of the second 16 packed rows
  for (int64_t i = 0; i < c; i += kBlock, packed += 2 * kBlockSize) {
    _tile_loadd(4, rows + i, 2 * c);
    _tile_loadd(5, rows + kTile * c + i, 2 * c);
    _tile_loadd(6, packed, 64);
    _tile_loadd(7, packed + next, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  constexpr int64_t kRowBytes = kBlock * sizeof(float);
  _tile_stored(0, out, kRowBytes);
  _tile_stored(1, out + kTile, kRowBytes);
  _tile_stored(2, out + kTile * kBlock, kRowBytes);
  _tile_stored(3, out + kTile * kBlock + kTile, kRowBytes);
}

// Lanes of keys [first, first + 16) that a query sees.
inline __mmask16 SeenBy(int64_t query, int64_t first, int64_t window) {
  const int64_t up_to = Least(Greatest(query + 1 - first, 0), kTile);
  const int64_t from = window == 0 ? 0 : Least(Greatest(query + 1 - window - first, 0), kTile);
  return static_cast<__mmask16>(((1u << up_to) - 1u) & ~((1u << from) - 1u));
}

struct Weights {
  __m512 p, grad_score;
};
inline Weights WeightsOf(const HeadAttention& head, const Scratch& scratch, int64_t row, int64_t lane,
                         int64_t strip_row, __mmask16 seen) {
  const loops::Floats score = loops::Load(scratch.scores + row * kBlock + lane);
  const loops::Floats grad = loops::Load(scratch.grad_p + row * kBlock + lane);
  const loops::Floats p = loops::Exp(score * head.scale - scratch.log_sum[strip_row]);
  const loops::Floats grad_score = p * (grad - scratch.dot[strip_row]) * head.scale;
  return {_mm512_maskz_mov_ps(seen, reinterpret_cast<__m512>(p)),
          _mm512_maskz_mov_ps(seen, reinterpret_cast<__m512>(grad_score))};
}

// Weights and gradients to the scores of a block: rows from `strip_row` of the strip that begins at token
// `strip`, keys from `keys`, which the strip keeps at `column`.
inline void FillWeights(const HeadAttention& head, const Sizes& sizes, const Scratch& scratch, int64_t strip,
                        int64_t strip_row, int64_t keys, int64_t column) {
  for (int64_t p = 0; p < kPairs; ++p) {
    const int64_t row = strip_row + 2 * p;
    for (int64_t lane = 0; lane < kBlock; lane += kTile) {
      Weights weights[2];
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t query = strip + row + i;
        const __mmask16 seen =
            query < head.num_tokens ? SeenBy(query, keys + lane, head.window) : static_cast<__mmask16>(0);
        weights[i] = WeightsOf(head, scratch, 2 * p + i, lane, row + i, seen);
        StoreHalves(scratch.grad_scores + (row + i) * sizes.key_row + column + lane, weights[i].grad_score);
      }
      const int64_t at = row / 2 * sizes.key_row + column + lane;
      Store(scratch.p_pairs + at, Pairs(weights[0].p, weights[1].p));
      Store(scratch.grad_scores_pairs + at, Pairs(weights[0].grad_score, weights[1].grad_score));
    }
  }
}

// Rows [strip_row, strip_row + 32) of the gradient to q; `queries` is their block.
inline void QueryGradients(const HeadAttention& head, const Sizes& sizes, const Scratch& scratch,
                           int64_t queries, int64_t strip_row, int64_t first_keys, Half* grad_q,
                           int64_t grad_q_stride) {
  const int64_t c = head.head_dim;
  const int64_t row_bytes = sizes.key_row * static_cast<int64_t>(sizeof(Half));
  for (int64_t i = 0; i < c; i += kBlock) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t keys = FirstKeys(queries, head.window); keys <= queries; ++keys) {
      const Half* const left = scratch.grad_scores + strip_row * sizes.key_row + (keys - first_keys) * kBlock;
      const Half* const right = scratch.k_pairs + keys * kBlock * c + i / kBlock * 4 * kBlockSize;
      _tile_loadd(4, left, row_bytes);
      _tile_loadd(5, left + kTile * sizes.key_row, row_bytes);
      _tile_loadd(6, right, 64);
      _tile_loadd(7, right + 2 * kBlockSize, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    constexpr int64_t kRowBytes = kBlock * sizeof(float);
    float* const sums = scratch.scores;  // a block of its size
    _tile_stored(0, sums, kRowBytes);
    _tile_stored(1, sums + kTile, kRowBytes);
    _tile_stored(2, sums + kTile * kBlock, kRowBytes);
    _tile_stored(3, sums + kTile * kBlock + kTile, kRowBytes);
    Settle();
    const int64_t rows = Least(kBlock, head.num_tokens - queries * kBlock);
    for (int64_t r = 0; r < rows; ++r) {
      Half* const to = grad_q + (queries * kBlock + r) * grad_q_stride + i;
      StoreHalves(to, _mm512_loadu_ps(sums + r * kBlock));
      StoreHalves(to + kTile, _mm512_loadu_ps(sums + r * kBlock + kTile));
    }
  }
}

// sums [C, keys of a block] += turned [C, strip] times the rows of `pairs` that see those keys.
inline void AddKeyGradients(const Sizes& sizes, const Half* turned, const uint32_t* pairs, int64_t c,
                            int64_t first_query, int64_t end_query, float* sums) {
  const int64_t sum_bytes = sizes.sum_row * static_cast<int64_t>(sizeof(float));
  const int64_t pair_bytes = sizes.key_row * static_cast<int64_t>(sizeof(uint32_t));
  for (int64_t i = 0; i < c; i += kBlock) {
    float* const to = sums + i * sizes.sum_row;
    _tile_loadd(0, to, sum_bytes);
    _tile_loadd(1, to + kTile, sum_bytes);
    _tile_loadd(2, to + kTile * sizes.sum_row, sum_bytes);
    _tile_loadd(3, to + kTile * sizes.sum_row + kTile, sum_bytes);
    for (int64_t q = first_query; q < end_query; ++q) {
      const Half* const left = turned + i * kStrip + q * kBlock;
      const uint32_t* const right = pairs + q * kPairs * sizes.key_row;
      _tile_loadd(4, left, 2 * kStrip);
      _tile_loadd(5, left + kTile * kStrip, 2 * kStrip);
      _tile_loadd(6, right, pair_bytes);
      _tile_loadd(7, right + kTile, pair_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, to, sum_bytes);
    _tile_stored(1, to + kTile, sum_bytes);
    _tile_stored(2, to + kTile * sizes.sum_row, sum_bytes);
    _tile_stored(3, to + kTile * sizes.sum_row + kTile, sum_bytes);
  }
}

// sums [C, L] -> out [L, C].
inline void TurnSums(const float* sums, const Sizes& sizes, int64_t num_tokens, int64_t c, float* out) {
  for (int64_t t = 0; t < num_tokens; t += kTile) {
    const int64_t rows = Least(kTile, num_tokens - t);
    for (int64_t i = 0; i < c; i += kTile) {
      __m512i block[kTile];
      for (int64_t j = 0; j < kTile; ++j) block[j] = Load(sums + (i + j) * sizes.sum_row + t);
      Turn(block);
      for (int64_t j = 0; j < rows; ++j) Store(out + (t + j) * c + i, block[j]);
    }
  }
}

}  // namespace

int64_t ScratchBytes(int64_t num_tokens, int64_t head_dim, int64_t window) {
  Scratch scratch;
  return Divide(Taker(), SizesOf(num_tokens, window), head_dim, scratch);
}

void Backward(const HeadAttention& head, void* memory, Half* grad_q, int64_t grad_q_stride, float* grad_k_LC,
              float* grad_v_LC) {
  const int64_t c = head.head_dim, tokens = head.num_tokens;
  const Sizes sizes = SizesOf(tokens, head.window);
  Scratch scratch;
  Divide({static_cast<char*>(memory)}, sizes, c, scratch);
  const Tiles tiles(kBlock, /*left=*/2);

  CopyRows(head.v, 0, tokens, sizes.tokens, c, scratch.padded);
  PackTurned(scratch.padded, sizes.tokens, c, scratch.v_turned);
  CopyRows(head.k, 0, tokens, sizes.tokens, c, scratch.padded);
  PackTurned(scratch.padded, sizes.tokens, c, scratch.k_turned);
  PackPairs(scratch.padded, sizes.tokens, c, scratch.k_pairs);
  for (int64_t i = 0; i < c * sizes.sum_row; i += kTile) {
    Store(scratch.k_sums + i, _mm512_setzero_si512());
    Store(scratch.v_sums + i, _mm512_setzero_si512());
  }

  for (int64_t strip = 0; strip < tokens; strip += kStrip) {
    const int64_t rows = Least(kStrip, tokens - strip);
    const int64_t padded_rows = Up(rows, kBlock);
    CopyRows(head.q, strip, rows, padded_rows, c, scratch.q);
    CopyRows(head.grad, strip, rows, padded_rows, c, scratch.grad);
    TurnStrip(scratch.q, padded_rows, c, scratch.q_turned);
    TurnStrip(scratch.grad, padded_rows, c, scratch.grad_turned);
    for (int64_t r = 0; r < padded_rows; ++r) {
      loops::Floats dots = {};
      if (r < rows) {
        const Half* const out = head.out.data + (strip + r) * head.out.stride;
        for (int64_t i = 0; i < c; i += kTile) {
          dots += reinterpret_cast<loops::Floats>(
              _mm512_mul_ps(ToFloats(out + i), ToFloats(scratch.grad + r * c + i)));
        }
      }
      scratch.dot[r] = loops::Sum(dots);
      scratch.log_sum[r] = r < rows ? head.log_sum[(strip + r) * head.log_sum_stride] : 0.0f;
    }

    const int64_t first_queries = strip / kBlock, end_queries = first_queries + padded_rows / kBlock;
    const int64_t first_keys = FirstKeys(first_queries, head.window);
    for (int64_t queries = first_queries; queries < end_queries; ++queries) {
      const int64_t row = (queries - first_queries) * kBlock;
      for (int64_t keys = FirstKeys(queries, head.window); keys <= queries; ++keys) {
        Settle();
        Scores(scratch.q + row * c, scratch.k_turned + keys * kBlock * c, c, scratch.scores);
        Scores(scratch.grad + row * c, scratch.v_turned + keys * kBlock * c, c, scratch.grad_p);
        Settle();
        FillWeights(head, sizes, scratch, strip, row, keys * kBlock, (keys - first_keys) * kBlock);
      }
      Settle();
      QueryGradients(head, sizes, scratch, queries, row, first_keys, grad_q, grad_q_stride);
    }
    for (int64_t keys = first_keys; keys < end_queries; ++keys) {
      const int64_t from = Greatest(keys, first_queries) - first_queries;
      const int64_t to = EndQueries(keys, head.window, end_queries) - first_queries;
      const int64_t column = (keys - first_keys) * kBlock;
      AddKeyGradients(sizes, scratch.q_turned, scratch.grad_scores_pairs + column, c, from, to,
                      scratch.k_sums + keys * kBlock);
      AddKeyGradients(sizes, scratch.grad_turned, scratch.p_pairs + column, c, from, to,
                      scratch.v_sums + keys * kBlock);
    }
  }
  Settle();
  TurnSums(scratch.k_sums, sizes, tokens, c, grad_k_LC);
  TurnSums(scratch.v_sums, sizes, tokens, c, grad_v_LC);
}

}  // namespace vernier::models::amx
