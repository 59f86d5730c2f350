// Parquet: our checks in front of Arrow, and Arrow behind them.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vernier::data::RowOptions options;
  options.format.file = vernier::data::FileFormat::kParquet;
  vernier::data::FuzzRows({reinterpret_cast<const char*>(data), size}, options, /*records_are_json=*/true);
  return 0;
}
