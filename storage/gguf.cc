#include "storage/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_dequant.h"

namespace vernier::storage {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

constexpr absl::string_view kMagic = "GGUF";
constexpr uint64_t kMaxKeys = 65'536;
constexpr uint64_t kMaxTensors = 100'000;
constexpr uint64_t kMaxKeyBytes = 65'535;
constexpr uint64_t kMaxNameBytes = 1024;
constexpr uint32_t kMaxDimensions = 4;
constexpr int kMaxArrayDepth = 4;
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = int64_t{1} << 20;
// Elements of all arrays together. A vocabulary has a few hundred thousand; each takes up to 16 bytes in
// memory.
constexpr uint64_t kMaxArrayElements = uint64_t{1} << 24;
constexpr absl::string_view kAlignmentKey = "general.alignment";

enum ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Takes numbers and texts off the front of the file, never past its end.
class Cursor {
 public:
  Cursor(absl::string_view file, absl::string_view name) : file_(file), name_(name) {}

  int64_t offset() const { return offset_; }
  uint64_t left() const { return file_.size() - static_cast<size_t>(offset_); }

  // `what` is being read, for the message.
  template <typename T>
  absl::StatusOr<T> Number(absl::string_view what) {
    VN_ASSIGN_OR_RETURN(const absl::string_view bytes, Bytes(sizeof(T), what));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

  absl::StatusOr<absl::string_view> Text(absl::string_view what,
                                         uint64_t max_bytes = std::numeric_limits<uint64_t>::max()) {
    VN_ASSIGN_OR_RETURN(const uint64_t length, Number<uint64_t>(what));
    if (length > max_bytes) {
      return Bad(absl::StrCat(what, " of ", length, " bytes is above the limit of ", max_bytes));
    }
    return Bytes(length, what);
  }

  absl::StatusOr<absl::string_view> Bytes(uint64_t count, absl::string_view what) {
    if (count > left()) {
      return Bad(absl::StrCat(what, " at byte ", offset_, " needs ", count, " bytes, but only ", left(),
                              " are left; the file is cut off or damaged: copy it again"));
    }
    const absl::string_view bytes = file_.substr(offset_, count);
    offset_ += static_cast<int64_t>(count);
    return bytes;
  }

  absl::Status Bad(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", what));
  }

 private:
  const absl::string_view file_;
  const absl::string_view name_;
  int64_t offset_ = 0;
};

// Reads metadata values; counts array elements over the whole file.
class ValueReader {
 public:
  explicit ValueReader(Cursor& cursor) : cursor_(cursor) {}

  absl::StatusOr<GgufValue> Read(absl::string_view key) {
    const std::string what = absl::StrCat("metadata \"", Excerpt(key), "\"");
    VN_ASSIGN_OR_RETURN(const uint32_t type, cursor_.Number<uint32_t>(what));
    if (type == kArray) return ReadArray(what, 1);
    return ReadOne(type, what);
  }

 private:
  template <typename T>
  absl::StatusOr<int64_t> Integer(absl::string_view what) {
    VN_ASSIGN_OR_RETURN(const T value, cursor_.Number<T>(what));
    if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>) {
      if (value > static_cast<T>(std::numeric_limits<int64_t>::max())) {
        return cursor_.Bad(absl::StrCat(what, ": ", value, " is above 2^63 - 1"));
      }
    }
    return static_cast<int64_t>(value);
  }

  absl::StatusOr<int64_t> ReadInteger(uint32_t type, absl::string_view what) {
    switch (type) {
      case kU8:
        return Integer<uint8_t>(what);
      case kI8:
        return Integer<int8_t>(what);
      case kU16:
        return Integer<uint16_t>(what);
      case kI16:
        return Integer<int16_t>(what);
      case kU32:
        return Integer<uint32_t>(what);
      case kI32:
        return Integer<int32_t>(what);
      case kU64:
        return Integer<uint64_t>(what);
      default:
        return Integer<int64_t>(what);
    }
  }

  absl::StatusOr<double> ReadDouble(uint32_t type, absl::string_view what) {
    if (type == kF64) return cursor_.Number<double>(what);
    VN_ASSIGN_OR_RETURN(const float value, cursor_.Number<float>(what));
    return static_cast<double>(value);
  }

  absl::StatusOr<bool> ReadBool(absl::string_view what) {
    VN_ASSIGN_OR_RETURN(const uint8_t value, cursor_.Number<uint8_t>(what));
    if (value > 1) return cursor_.Bad(absl::StrCat(what, ": the byte ", value, " is neither false nor true"));
    return value == 1;
  }

  static bool IsInteger(uint32_t type) { return type <= kI32 || type == kU64 || type == kI64; }
  static bool IsFloat(uint32_t type) { return type == kF32 || type == kF64; }

  absl::Status UnknownType(uint32_t type, absl::string_view what) const {
    return cursor_.Bad(absl::StrCat(what, " has the unknown type ", type));
  }

  absl::StatusOr<GgufValue> ReadOne(uint32_t type, absl::string_view what) {
    if (IsInteger(type)) return Wrap(ReadInteger(type, what));
    if (IsFloat(type)) return Wrap(ReadDouble(type, what));
    if (type == kBool) return Wrap(ReadBool(what));
    if (type == kString) return Wrap(cursor_.Text(what));
    return UnknownType(type, what);
  }

  template <typename T>
  static absl::StatusOr<GgufValue> Wrap(absl::StatusOr<T> value) {
    if (!value.ok()) return value.status();
    return GgufValue(*std::move(value));
  }

  // `read` gives one element of type T.
  template <typename T, typename Read>
  absl::StatusOr<GgufValue> Collect(uint64_t count, const Read& read) {
    std::vector<T> values;
    // Not reserved by `count`, which may lie: growing stops where the file does.
    for (uint64_t i = 0; i < count; ++i) {
      VN_ASSIGN_OR_RETURN(T value, read());
      values.push_back(std::move(value));
    }
    return GgufValue(std::move(values));
  }

  absl::StatusOr<GgufValue> ReadArray(absl::string_view what, int depth) {
    if (depth > kMaxArrayDepth) {
      return cursor_.Bad(absl::StrCat(what, ": arrays are nested deeper than the limit of ", kMaxArrayDepth));
    }
    VN_ASSIGN_OR_RETURN(const uint32_t type, cursor_.Number<uint32_t>(what));
    VN_ASSIGN_OR_RETURN(const uint64_t count, cursor_.Number<uint64_t>(what));
    if (count > kMaxArrayElements - num_elements_) {
      return cursor_.Bad(absl::StrCat(what, ": an array of ", count,
                                      " elements takes the file above the limit of ", kMaxArrayElements));
    }
    num_elements_ += count;
    if (IsInteger(type)) return Collect<int64_t>(count, [&] { return ReadInteger(type, what); });
    if (IsFloat(type)) return Collect<double>(count, [&] { return ReadDouble(type, what); });
    if (type == kBool) return Collect<bool>(count, [&] { return ReadBool(what); });
    if (type == kString) return Collect<absl::string_view>(count, [&] { return cursor_.Text(what); });
    if (type != kArray) return UnknownType(type, what);
    for (uint64_t i = 0; i < count; ++i) VN_RETURN_IF_ERROR(ReadArray(what, depth + 1).status());
    return GgufValue();
  }

  Cursor& cursor_;
  uint64_t num_elements_ = 0;
};

// A tensor as its header entry says, before its place is known to be sound.
struct HeaderEntry {
  GgufTensor tensor;
  int64_t begin = 0;  // below the start of the data
  int64_t size = 0;
};

absl::StatusOr<HeaderEntry> ReadEntry(Cursor& cursor, int64_t alignment) {
  HeaderEntry entry;
  VN_ASSIGN_OR_RETURN(const absl::string_view name, cursor.Text("a tensor's name", kMaxNameBytes));
  const std::string what = absl::StrCat("tensor \"", Excerpt(name), "\"");
  if (name.empty()) return cursor.Bad("a tensor has an empty name");
  entry.tensor.name = std::string(name);
  VN_ASSIGN_OR_RETURN(const uint32_t dimensions, cursor.Number<uint32_t>(what));
  if (dimensions > kMaxDimensions) {
    return cursor.Bad(
        absl::StrCat(what, " has ", dimensions, " dimensions, more than the limit of ", kMaxDimensions));
  }
  int64_t count = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    VN_ASSIGN_OR_RETURN(const uint64_t size, cursor.Number<uint64_t>(what));
    if (size < 1 || size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        __builtin_mul_overflow(count, static_cast<int64_t>(size), &count)) {
      return cursor.Bad(absl::StrCat(what, ": dimension ", i, " of size ", size, " is empty or overflows"));
    }
    entry.tensor.shape.push_back(static_cast<int64_t>(size));
  }
  // The file names the fastest dimension first.
  std::reverse(entry.tensor.shape.begin(), entry.tensor.shape.end());
  VN_ASSIGN_OR_RETURN(entry.tensor.type, cursor.Number<uint32_t>(what));
  const GgmlType* type = FindGgmlType(entry.tensor.type);
  if (type == nullptr) {
    return cursor.Bad(absl::StrCat(what, " has the unknown tensor type ", entry.tensor.type));
  }
  const int64_t row = entry.tensor.shape.empty() ? 1 : entry.tensor.shape.back();
  if (row % type->block_elements != 0) {
    return cursor.Bad(absl::StrCat(what, ": rows of ", row, " values do not fill whole blocks of ",
                                   type->block_elements, " of type ", type->name));
  }
  if (__builtin_mul_overflow(count / type->block_elements, type->block_bytes, &entry.size)) {
    return cursor.Bad(absl::StrCat(what, " of ", count, " values overflows"));
  }
  VN_ASSIGN_OR_RETURN(const uint64_t offset, cursor.Number<uint64_t>(what));
  if (offset > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
      offset % static_cast<uint64_t>(alignment) != 0) {
    return cursor.Bad(
        absl::StrCat(what, ": offset ", offset, " is not a multiple of the alignment of ", alignment));
  }
  entry.begin = static_cast<int64_t>(offset);
  return entry;
}

// Every tensor inside `data`, none over another; fills in their bytes.
absl::Status Place(absl::string_view data, const Cursor& cursor, std::vector<HeaderEntry>& entries) {
  std::vector<HeaderEntry*> by_place;
  for (HeaderEntry& entry : entries) {
    const auto available = static_cast<int64_t>(data.size());
    if (entry.begin > available || entry.size > available - entry.begin) {
      return cursor.Bad(absl::StrCat("tensor \"", Excerpt(entry.tensor.name), "\" takes bytes [", entry.begin,
                                     ", +", entry.size, ") of the data, which has ", available,
                                     "; the file is cut off or damaged: copy it again"));
    }
    entry.tensor.bytes = data.substr(entry.begin, entry.size);
    by_place.push_back(&entry);
  }
  std::sort(by_place.begin(), by_place.end(),
            [](const HeaderEntry* a, const HeaderEntry* b) { return a->begin < b->begin; });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const HeaderEntry& before = *by_place[i - 1];
    const HeaderEntry& after = *by_place[i];
    if (after.begin < before.begin + before.size) {
      return cursor.Bad(absl::StrCat("tensors \"", Excerpt(before.tensor.name), "\" and \"",
                                     Excerpt(after.tensor.name), "\" overlap at byte ", after.begin,
                                     " of the data"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadMagic(Cursor& cursor, absl::string_view file) {
  if (file.substr(0, 8) == "version ") {
    return cursor.Bad("is a Git LFS pointer, not the model; run `git lfs pull` and try again");
  }
  VN_ASSIGN_OR_RETURN(const absl::string_view magic, cursor.Bytes(kMagic.size(), "the magic number"));
  if (magic == kMagic) return absl::OkStatus();
  return cursor.Bad(
      absl::StrCat("starts with \"", Excerpt(magic), "\", not with \"", kMagic, "\": is not a GGUF file"));
}

absl::StatusOr<uint32_t> ReadVersion(Cursor& cursor) {
  VN_ASSIGN_OR_RETURN(const uint32_t version, cursor.Number<uint32_t>("the version"));
  if (version == 2 || version == 3) return version;
  if ((version & 0xFFFFU) == 0) return cursor.Bad("is big-endian; only little-endian GGUF files are read");
  return cursor.Bad(absl::StrCat("has GGUF version ", version, "; versions 2 and 3 are read"));
}

absl::StatusOr<uint64_t> ReadCount(Cursor& cursor, absl::string_view what, uint64_t limit,
                                   uint64_t min_bytes) {
  VN_ASSIGN_OR_RETURN(const uint64_t count, cursor.Number<uint64_t>(what));
  if (count > limit) {
    return cursor.Bad(absl::StrCat(what, ": ", count, " is above the limit of ", limit));
  }
  if (count > cursor.left() / min_bytes) {
    return cursor.Bad(absl::StrCat(what, ": ", count, " do not fit the ", cursor.left(),
                                   " bytes that are left; the file is cut off or damaged: copy it again"));
  }
  return count;
}

}  // namespace

int64_t GgufTensor::NumElements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

absl::Status Gguf::Read() {
  Cursor cursor(file_, name_);
  VN_RETURN_IF_ERROR(ReadMagic(cursor, file_));
  VN_ASSIGN_OR_RETURN(version_, ReadVersion(cursor));
  // The smallest tensor entry: name length and one byte, dimensions, type, offset; key: length, type, one
  // byte.
  VN_ASSIGN_OR_RETURN(const uint64_t num_tensors,
                      ReadCount(cursor, "the number of tensors", kMaxTensors, 8 + 1 + 4 + 4 + 8));
  VN_ASSIGN_OR_RETURN(const uint64_t num_keys,
                      ReadCount(cursor, "the number of metadata keys", kMaxKeys, 8 + 4 + 1));
  ValueReader reader(cursor);
  for (uint64_t i = 0; i < num_keys; ++i) {
    VN_ASSIGN_OR_RETURN(const absl::string_view key, cursor.Text("a metadata key", kMaxKeyBytes));
    VN_ASSIGN_OR_RETURN(GgufValue value, reader.Read(key));
    if (!values_.emplace(std::string(key), std::move(value)).second) {
      return cursor.Bad(absl::StrCat("has the metadata key \"", Excerpt(key), "\" twice"));
    }
  }
  int64_t alignment = kDefaultAlignment;
  if (Has(kAlignmentKey)) {
    VN_ASSIGN_OR_RETURN(alignment, GetInt(kAlignmentKey));
    if (alignment < 8 || alignment > kMaxAlignment || alignment % 8 != 0) {
      return cursor.Bad(
          absl::StrCat(kAlignmentKey, " = ", alignment, " is no multiple of 8 in [8, ", kMaxAlignment, "]"));
    }
  }
  std::vector<HeaderEntry> entries;
  for (uint64_t i = 0; i < num_tensors; ++i) {
    VN_ASSIGN_OR_RETURN(HeaderEntry entry, ReadEntry(cursor, alignment));
    if (!tensor_index_.emplace(entry.tensor.name, entries.size()).second) {
      return cursor.Bad(absl::StrCat("has the tensor \"", Excerpt(entry.tensor.name), "\" twice"));
    }
    entries.push_back(std::move(entry));
  }
  if (!entries.empty()) {
    const int64_t padding = (alignment - cursor.offset() % alignment) % alignment;
    VN_RETURN_IF_ERROR(cursor.Bytes(padding, "the padding before the data").status());
  }
  VN_RETURN_IF_ERROR(Place(file_.substr(cursor.offset()), cursor, entries));
  for (HeaderEntry& entry : entries) tensors_.push_back(std::move(entry.tensor));
  return absl::OkStatus();
}

absl::StatusOr<Gguf> Gguf::Parse(absl::string_view bytes, absl::string_view name) {
  Gguf gguf;
  gguf.file_ = bytes;
  gguf.name_ = std::string(name);
  VN_RETURN_IF_ERROR(gguf.Read());
  return gguf;
}

absl::StatusOr<Gguf> Gguf::Open(const std::string& path) {
  Gguf gguf;
  VN_ASSIGN_OR_RETURN(gguf.map_, MappedFile::Open(path));
  gguf.file_ = gguf.map_.bytes();
  gguf.name_ = path;
  VN_RETURN_IF_ERROR(gguf.Read());
  return gguf;
}

template <typename T>
absl::StatusOr<const T*> Gguf::Get(absl::string_view key, absl::string_view kind) const {
  const auto found = values_.find(key);
  if (found == values_.end()) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": has no metadata \"", Excerpt(key), "\""));
  }
  if (const T* value = std::get_if<T>(&found->second); value != nullptr) return value;
  return absl::InvalidArgumentError(absl::StrCat(name_, ": metadata \"", Excerpt(key), "\" is not ", kind));
}

absl::StatusOr<int64_t> Gguf::GetInt(absl::string_view key) const {
  VN_ASSIGN_OR_RETURN(const int64_t* value, Get<int64_t>(key, "an integer"));
  return *value;
}

absl::StatusOr<double> Gguf::GetDouble(absl::string_view key) const {
  if (const absl::StatusOr<const int64_t*> integer = Get<int64_t>(key, "an integer"); integer.ok()) {
    return static_cast<double>(**integer);
  }
  VN_ASSIGN_OR_RETURN(const double* value, Get<double>(key, "a number"));
  return *value;
}

absl::StatusOr<bool> Gguf::GetBool(absl::string_view key) const {
  VN_ASSIGN_OR_RETURN(const bool* value, Get<bool>(key, "a bool"));
  return *value;
}

absl::StatusOr<absl::string_view> Gguf::GetString(absl::string_view key) const {
  VN_ASSIGN_OR_RETURN(const absl::string_view* value, Get<absl::string_view>(key, "a string"));
  return *value;
}

absl::StatusOr<absl::Span<const absl::string_view>> Gguf::GetStrings(absl::string_view key) const {
  VN_ASSIGN_OR_RETURN(const auto* values, Get<std::vector<absl::string_view>>(key, "an array of strings"));
  return absl::MakeConstSpan(*values);
}

absl::StatusOr<absl::Span<const int64_t>> Gguf::GetInts(absl::string_view key) const {
  VN_ASSIGN_OR_RETURN(const auto* values, Get<std::vector<int64_t>>(key, "an array of integers"));
  return absl::MakeConstSpan(*values);
}

absl::StatusOr<absl::Span<const double>> Gguf::GetDoubles(absl::string_view key) const {
  VN_ASSIGN_OR_RETURN(const auto* values, Get<std::vector<double>>(key, "an array of floats"));
  return absl::MakeConstSpan(*values);
}

const GgufTensor* Gguf::FindTensor(absl::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace vernier::storage
