// GGUF: what is accepted lies inside the file; its tokenizer is read too.
#include "storage/gguf.h"

#include <cstddef>
#include <cstdint>

#include "common/check.h"
#include "worker/data/text/gguf_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = vernier::storage::Gguf::Parse(bytes, "fuzzed");
  if (!file.ok()) {
    VN_CHECK(absl::IsInvalidArgument(file.status()));
    return 0;
  }
  for (const vernier::storage::GgufTensor& tensor : file->tensors()) {
    VN_CHECK(tensor.bytes.empty() || (tensor.bytes.data() >= bytes.data() &&
                                      tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + size));
    VN_CHECK(tensor.NumElements() >= 0);
  }
  const auto tokenizer = vernier::data::TokenizerJsonFromGguf(*file);
  VN_CHECK(tokenizer.ok() || absl::IsInvalidArgument(tokenizer.status()));
  return 0;
}
