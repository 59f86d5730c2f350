// Makes GGUF files, also unsound ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier {

// The bytes of a number or of several.
template <typename T>
std::string Raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
template <typename T>
std::string RawAll(const std::vector<T>& values) {
  std::string bytes;
  for (const T& value : values) bytes += Raw(value);
  return bytes;
}

class GgufBuilder {
 public:
  static std::string Text(absl::string_view text) { return Raw(uint64_t{text.size()}) + std::string(text); }

  // `value`: the bytes of the value after its type.
  GgufBuilder& Add(absl::string_view key, uint32_t type, const std::string& value) {
    keys_ += Text(key) + Raw(type) + value;
    ++num_keys;
    return *this;
  }
  GgufBuilder& Int(absl::string_view key, uint32_t value) { return Add(key, 4, Raw(value)); }
  GgufBuilder& Float(absl::string_view key, float value) { return Add(key, 6, Raw(value)); }
  GgufBuilder& Bool(absl::string_view key, bool value) { return Add(key, 7, Raw(uint8_t{value})); }
  GgufBuilder& String(absl::string_view key, absl::string_view value) { return Add(key, 8, Text(value)); }
  GgufBuilder& Strings(absl::string_view key, const std::vector<std::string>& values) {
    std::string bytes = Raw(uint32_t{8}) + Raw(uint64_t{values.size()});
    for (const std::string& value : values) bytes += Text(value);
    return Add(key, 9, bytes);
  }

  // `shape` row-major as ours; the file has it the other way round.
  GgufBuilder& Tensor(absl::string_view name, uint32_t type, const std::vector<int64_t>& shape,
                      const std::string& bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    TensorAt(name, type, shape, data_.size());
    data_ += bytes;
    return *this;
  }
  GgufBuilder& TensorAt(absl::string_view name, uint32_t type, const std::vector<int64_t>& shape,
                        uint64_t offset) {
    tensors_ += Text(name) + Raw(static_cast<uint32_t>(shape.size()));
    for (size_t i = shape.size(); i > 0; --i) tensors_ += Raw(static_cast<uint64_t>(shape[i - 1]));
    tensors_ += Raw(type) + Raw(offset);
    ++num_tensors;
    return *this;
  }
  GgufBuilder& Floats(absl::string_view name, const std::vector<int64_t>& shape,
                      const std::vector<float>& values) {
    return Tensor(name, 0, shape, RawAll(values));
  }
  GgufBuilder& Data(const std::string& bytes) {
    data_ += bytes;
    return *this;
  }

  std::string Build() const {
    std::string file = magic + Raw(version) + Raw(num_tensors) + Raw(num_keys) + keys_ + tensors_;
    if (num_tensors > 0) file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }

  // Set any of these before Build to lie.
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t num_tensors = 0;
  uint64_t num_keys = 0;
  size_t alignment = 32;

 private:
  std::string keys_, tensors_, data_;
};

}  // namespace vernier
