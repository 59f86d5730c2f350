// Sizes of a model as GGUF files have them. Internal to import and export.
#pragma once

#include <cstdint>

namespace vernier::storage {

struct LlamaLikeSizes {
  int64_t num_layers = 0;
  int64_t width = 0;
  int64_t hidden = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_size = 0;
  int64_t rotated = 0;  // numbers of a head that turn
  int64_t vocab_size = 0;
  int64_t context_length = 0;
};

}  // namespace vernier::storage
