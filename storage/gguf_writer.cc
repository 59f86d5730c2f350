#include "storage/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_dequant.h"

namespace vernier::storage {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

constexpr uint32_t kVersion = 3;
constexpr int64_t kAlignment = 32;
constexpr size_t kMaxDimensions = 4;
constexpr uint32_t kArrayType = 9;

// The number that the format has for a value of C++ type T.
template <typename T>
constexpr uint32_t TypeOf() {
  if constexpr (std::is_same_v<T, uint8_t>) return 0;
  if constexpr (std::is_same_v<T, uint32_t>) return 4;
  if constexpr (std::is_same_v<T, int32_t>) return 5;
  if constexpr (std::is_same_v<T, float>) return 6;
  if constexpr (std::is_same_v<T, bool>) return 7;
  if constexpr (std::is_same_v<T, std::string>) return 8;
}

template <typename T>
void AppendNumber(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendText(absl::string_view text, std::string& out) {
  AppendNumber(uint64_t{text.size()}, out);
  out.append(text.data(), text.size());
}

template <typename T>
void AppendOne(const T& value, std::string& out) {
  if constexpr (std::is_same_v<T, std::string>) {
    AppendText(value, out);
  } else if constexpr (std::is_same_v<T, bool>) {
    AppendNumber(uint8_t{value}, out);
  } else {
    AppendNumber(value, out);
  }
}

template <typename T>
void AppendTyped(const T& value, std::string& out) {
  AppendNumber(TypeOf<T>(), out);
  AppendOne(value, out);
}

template <typename T>
void AppendTyped(const std::vector<T>& values, std::string& out) {
  AppendNumber(kArrayType, out);
  AppendNumber(TypeOf<T>(), out);
  AppendNumber(uint64_t{values.size()}, out);
  for (const T& value : values) AppendOne(value, out);
}

int64_t PaddingAfter(int64_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

absl::StatusOr<int64_t> BytesOf(const GgufTensorSpec& spec) {
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", Excerpt(spec.name), "\" of shape [",
                                                   absl::StrJoin(spec.shape, ", "), "] ", what));
  };
  const GgmlType* type = FindGgmlType(spec.type);
  if (type == nullptr) return bad(absl::StrCat("has the unknown type ", spec.type));
  if (spec.shape.empty() || spec.shape.size() > kMaxDimensions) {
    return bad(absl::StrCat("must have 1 to ", kMaxDimensions, " dimensions"));
  }
  int64_t count = 1;
  for (const int64_t size : spec.shape) {
    if (size < 1 || __builtin_mul_overflow(count, size, &count)) return bad("is empty or overflows");
  }
  if (spec.shape.back() % type->block_elements != 0) {
    return bad(absl::StrCat("has rows that do not fill whole blocks of ", type->block_elements, " of type ",
                            type->name));
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count / type->block_elements, type->block_bytes, &bytes))
    return bad("overflows");
  return bytes;
}

}  // namespace

int64_t GgufTensorSpec::NumElements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

absl::StatusOr<GgufWriter> GgufWriter::Create(ByteSink& sink, const GgufMetadata& metadata,
                                              std::vector<GgufTensorSpec> tensors) {
  std::string header("GGUF");
  AppendNumber(kVersion, header);
  AppendNumber(uint64_t{tensors.size()}, header);
  AppendNumber(uint64_t{metadata.size()}, header);
  absl::flat_hash_set<absl::string_view> seen;
  for (const GgufEntry& entry : metadata) {
    if (entry.key.empty() || !seen.insert(entry.key).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("metadata \"", Excerpt(entry.key), "\" has no name, or stands there twice"));
    }
    AppendText(entry.key, header);
    std::visit([&](const auto& value) { AppendTyped(value, header); }, entry.value);
  }
  seen.clear();
  std::vector<Place> places;
  int64_t offset = 0;
  for (const GgufTensorSpec& spec : tensors) {
    VN_ASSIGN_OR_RETURN(const int64_t bytes, BytesOf(spec));
    if (spec.name.empty() || !seen.insert(spec.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", Excerpt(spec.name), "\" has no name, or stands there twice"));
    }
    AppendText(spec.name, header);
    AppendNumber(static_cast<uint32_t>(spec.shape.size()), header);
    // The file names the fastest dimension first.
    for (auto size = spec.shape.rbegin(); size != spec.shape.rend(); ++size) {
      AppendNumber(static_cast<uint64_t>(*size), header);
    }
    AppendNumber(spec.type, header);
    AppendNumber(static_cast<uint64_t>(offset), header);
    offset += bytes + PaddingAfter(bytes);
    places.push_back({spec.name, bytes});
  }
  if (!places.empty())
    header.append(static_cast<size_t>(PaddingAfter(static_cast<int64_t>(header.size()))), '\0');
  VN_RETURN_IF_ERROR(sink.Append(header));
  return GgufWriter(sink, std::move(places));
}

absl::Status GgufWriter::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    if (at_ == places_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(bytes.size(), " bytes more than the tensors of the file have"));
    }
    const Place& place = places_[at_];
    const auto count = std::min(bytes.size(), static_cast<size_t>(place.size_bytes - written_bytes_));
    VN_RETURN_IF_ERROR(sink_->Append(bytes.substr(0, count)));
    bytes.remove_prefix(count);
    written_bytes_ += static_cast<int64_t>(count);
    if (written_bytes_ < place.size_bytes) break;
    const std::string padding(static_cast<size_t>(PaddingAfter(place.size_bytes)), '\0');
    if (!padding.empty()) VN_RETURN_IF_ERROR(sink_->Append(padding));
    ++at_;
    written_bytes_ = 0;
  }
  return absl::OkStatus();
}

absl::Status GgufWriter::Finish() {
  if (at_ == places_.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor \"", Excerpt(places_[at_].name), "\" has ",
                                                 written_bytes_, " of its ", places_[at_].size_bytes,
                                                 " bytes"));
}

}  // namespace vernier::storage
