// CSV and TSV: the first byte chooses how it is forced.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vernier::data::FileFormat;
  if (size == 0) return 0;
  vernier::data::RowOptions options;
  constexpr FileFormat kFormats[] = {FileFormat::kCsv, FileFormat::kTsv, FileFormat::kLines};
  options.format.file = kFormats[data[0] % 3];
  if (data[0] % 2 == 1 && options.format.file != FileFormat::kLines) options.columns = {{"text", "a"}};
  vernier::data::FuzzRows({reinterpret_cast<const char*>(data) + 1, size - 1}, options,
                          /*records_are_json=*/true);
  return 0;
}
