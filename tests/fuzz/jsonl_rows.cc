// Files of rows as they are recognised: JSON lines, JSON arrays, either compressed.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vernier::data::FuzzRows({reinterpret_cast<const char*>(data), size}, {}, /*records_are_json=*/false);
  return 0;
}
