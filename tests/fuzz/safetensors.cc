// Safetensors: what is accepted lies inside the file.
#include "storage/safetensors.h"

#include <cstddef>
#include <cstdint>

#include "common/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = vernier::storage::SafetensorsFile::Parse(bytes, "fuzzed");
  if (!file.ok()) {
    VN_CHECK(absl::IsInvalidArgument(file.status()));
    return 0;
  }
  for (const vernier::storage::TensorView& tensor : file->tensors()) {
    VN_CHECK(static_cast<int64_t>(tensor.bytes.size()) == tensor.NumBytes());
    VN_CHECK(tensor.bytes.data() >= bytes.data() &&
             tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + size);
    VN_CHECK(file->Find(tensor.name).ok());
  }
  return 0;
}
