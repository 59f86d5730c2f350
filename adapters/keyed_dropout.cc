#include "adapters/keyed_dropout.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "adapters/dropout_bits.h"
#include "common/check.h"
#include "common/philox.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

// Keeps dropout apart from every other use of the seed.
constexpr uint64_t kDropoutTag = 0x64726f70;  // "drop"

// Tokens a thread takes at least.
constexpr int64_t kGrain = 16;

// 8 zeros and ones for each byte of keep bits.
template <typename T>
struct ByteTable {
  T values[256][8];
  ByteTable() {
    for (int byte = 0; byte < 256; ++byte) {
      for (int i = 0; i < 8; ++i) values[byte][i] = T(static_cast<float>((byte >> i) & 1));
    }
  }
};

// The mask as zeros and ones, [T, I].
template <typename T>
at::Tensor Expand(const at::Tensor& keep_bits, int64_t features, const at::TensorOptions& options) {
  static const ByteTable<T>* const table = new ByteTable<T>();
  const int64_t num_tokens = keep_bits.size(0);
  const int64_t row_bytes = keep_bits.size(1);
  at::Tensor mask = at::empty({num_tokens, features}, options);
  const uint8_t* const bits = keep_bits.const_data_ptr<uint8_t>();
  T* const out = mask.mutable_data_ptr<T>();
  at::parallel_for(0, num_tokens, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      T* const row = out + t * features;
      for (int64_t b = 0; b < features / 8; ++b) {
        std::memcpy(row + 8 * b, table->values[bits[t * row_bytes + b]], sizeof(table->values[0]));
      }
      if (const int64_t rest = features % 8; rest > 0) {
        std::memcpy(row + features - rest, table->values[bits[t * row_bytes + row_bytes - 1]],
                    rest * sizeof(T));
      }
    }
  });
  return mask;
}

}  // namespace

at::Tensor DropoutMask::Apply(const at::Tensor& x_TI) const {
  if (!keep_bits.defined()) return x_TI;
  const int64_t features = x_TI.size(1);
  VN_CHECK(keep_bits.size(0) == x_TI.size(0) && keep_bits.size(1) == (features + 7) / 8);
  return x_TI * (x_TI.scalar_type() == at::kBFloat16
                     ? Expand<at::BFloat16>(keep_bits, features, x_TI.options())
                     : Expand<float>(keep_bits, features, x_TI.options()));
}

KeyedDropout::KeyedDropout(double rate, uint64_t seed)
    : threshold_(std::min<uint32_t>(65535, static_cast<uint32_t>(std::lround(rate * 65536.0)))), seed_(seed) {
  VN_CHECK(rate >= 0.0 && rate < 1.0);
}

DropoutMask KeyedDropout::Draw(const models::LinearSite& site, const models::TokenBatch& batch) const {
  if (threshold_ == 0 || !batch.training || batch.global_rows.empty()) return {};
  VN_CHECK(batch.global_rows.size() + 1 == batch.row_offsets.size());
  struct Place {
    uint32_t row, position;
  };
  std::vector<Place> places;
  for (size_t r = 0; r < batch.global_rows.size(); ++r) {
    for (int64_t t = batch.row_offsets[r]; t < batch.row_offsets[r + 1]; ++t) {
      places.push_back(
          {static_cast<uint32_t>(batch.global_rows[r]), static_cast<uint32_t>(t - batch.row_offsets[r])});
    }
  }
  const int64_t num_tokens = static_cast<int64_t>(places.size());
  const int64_t blocks = (site.in_features + 7) / 8;
  DropoutMask mask;
  mask.keep_bits = at::empty({num_tokens, blocks}, at::TensorOptions().dtype(at::kByte));
  mask.scale = 65536.0 / static_cast<double>(65536 - threshold_);
  uint8_t* const out = mask.keep_bits.mutable_data_ptr<uint8_t>();
  const PhiloxKey key = PhiloxKeyOf(DeriveSeed(seed_, kDropoutTag, static_cast<uint64_t>(site.index)));
  const uint32_t step = static_cast<uint32_t>(batch.step);
  at::parallel_for(0, num_tokens, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      DrawKeepBits(key, {0, places[t].position, places[t].row, step}, threshold_, blocks, out + t * blocks);
    }
  });
  return mask;
}

}  // namespace vernier::adapters
