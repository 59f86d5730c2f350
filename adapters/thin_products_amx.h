// The kernels of thin_products.h for processors with AMX: tiles of 16 x 16 sums of bf16 products in fp32.
// Ranks are in tiles of 16; what a rank lacks to whole tiles is zeros. Compiled without torch.
//
// Letters   T tokens, K / N features (multiples of 32), R ranks in whole tiles.
// Bits      A token's result depends on that token alone, a sum over tokens on their order alone: neither the
//           number of threads nor how a range is cut changes a bit.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/models/common/amx.h"

namespace vernier::adapters::amx {

using models::amx::Available;
using models::amx::Half;
using models::amx::kTile;

// `rows` x `columns` numbers in fp32: row r, column c at data[r * row_stride + c * column_stride]; one of the
// strides is 1.
struct Matrix {
  const float* data = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0, column_stride = 0;
};

// The right-hand side W [S, C] of a product that sums over S: in blocks of `depth` (16 or 32) of S and 16 of
// C, the order tiles want. What W lacks to whole blocks is zeros.
class Packed {
 public:
  Packed(int64_t sum_size, int64_t columns, int64_t depth);
  // Puts scale * part at (row, column), both multiples of the block.
  void Put(const Matrix& part, int64_t row, int64_t column, float scale);
  const Half* Block(int64_t sum_block, int64_t column_block) const {
    return data_.data() + (sum_block * num_column_blocks_ + column_block) * depth_ * kTile;
  }
  int64_t num_sum_blocks() const { return num_sum_blocks_; }
  int64_t num_column_blocks() const { return num_column_blocks_; }

 private:
  int64_t depth_, num_sum_blocks_, num_column_blocks_;
  std::vector<Half> data_;
};

// Rows [begin, end) of h [T, R] = x [T, K] W; W is K x R with depth 32. Strides count numbers between rows.
void Project(const Half* x, int64_t x_stride, const Packed& weight, Half* h, int64_t h_stride, int64_t begin,
             int64_t end);

// Rows [begin, end) of y [T, N] += h [T, R] W; W is R x N with depth 16. Reads h up to whole tiles of rows.
void AddProduct(const Half* h, int64_t h_stride, const Packed& weight, Half* y, int64_t y_stride,
                int64_t begin, int64_t end);

// h [T, R] turned: [R, T up to a multiple of 32, zeros behind].
std::vector<Half> Turned(const Half* h, int64_t h_stride, int64_t num_tokens, int64_t ranks);

// Columns [32 * begin, 32 * end) of g [R, N] = h^T y, fp32; `turned_h` from Turned().
void TurnedProduct(const Half* turned_h, int64_t ranks, const Half* y, int64_t y_stride, int64_t num_tokens,
                   float* g, int64_t g_stride, int64_t begin, int64_t end);

}  // namespace vernier::adapters::amx
