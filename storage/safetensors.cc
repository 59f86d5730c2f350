#include "storage/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kMaxDimensions = 16;
constexpr size_t kMaxNameBytes = 1024;
constexpr int64_t kLengthBytes = 8;
constexpr absl::string_view kMetadata = "__metadata__";

struct DtypeEntry {
  Dtype dtype;
  absl::string_view name;
  int64_t bytes;
};
constexpr DtypeEntry kDtypes[] = {
    {Dtype::kF64, "F64", 8}, {Dtype::kF32, "F32", 4},   {Dtype::kF16, "F16", 2}, {Dtype::kBF16, "BF16", 2},
    {Dtype::kI64, "I64", 8}, {Dtype::kI32, "I32", 4},   {Dtype::kI16, "I16", 2}, {Dtype::kI8, "I8", 1},
    {Dtype::kU8, "U8", 1},   {Dtype::kBool, "BOOL", 1},
};

absl::Status Bad(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// Non-negative integer that fits int64_t.
absl::StatusOr<int64_t> Count(const Json& value, absl::string_view where) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return static_cast<int64_t>(number);
  }
  return Bad(where, absl::StrCat(Excerpt(value.dump(-1, ' ', true, Json::error_handler_t::replace)),
                                 " is not a count in [0, 2^63)"));
}

// Checked product of shape and element size.
absl::StatusOr<int64_t> CheckedBytes(const TensorSpec& spec, absl::string_view where) {
  if (spec.shape.size() > kMaxDimensions) {
    return Bad(where, absl::StrCat("shape has ", spec.shape.size(), " dimensions, more than the limit of ",
                                   kMaxDimensions));
  }
  // A zero anywhere makes the product zero, but the others must still be sound.
  int64_t bytes = DtypeBytes(spec.dtype);
  bool empty = false;
  for (const int64_t size : spec.shape) {
    if (size < 0) return Bad(where, absl::StrCat("shape has the negative size ", size));
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, size, &bytes)) {
      return Bad(where, absl::StrCat("shape [", absl::StrJoin(spec.shape, ", "), "] overflows"));
    }
  }
  return empty ? 0 : bytes;
}

struct Placed {
  TensorView tensor;
  int64_t begin = 0;
  int64_t end = 0;
};

absl::StatusOr<Placed> ReadEntry(const std::string& name, const Json& entry, absl::string_view file) {
  const std::string where = absl::StrCat(file, ": tensor \"", Excerpt(name), "\"");
  if (name.empty() || name.size() > kMaxNameBytes) {
    return Bad(where, absl::StrCat("name has ", name.size(), " bytes; it must have 1 to ", kMaxNameBytes));
  }
  if (!entry.is_object()) return Bad(where, "header entry is not an object");
  for (const auto& [field, value] : entry.items()) {
    if (field != "dtype" && field != "shape" && field != "data_offsets") {
      return Bad(where, absl::StrCat("header entry has the unknown field \"", Excerpt(field), "\""));
    }
  }
  const auto dtype = entry.find("dtype");
  const auto shape = entry.find("shape");
  const auto offsets = entry.find("data_offsets");
  if (dtype == entry.end() || !dtype->is_string()) return Bad(where, "dtype is missing or not a string");
  if (shape == entry.end() || !shape->is_array()) return Bad(where, "shape is missing or not an array");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2) {
    return Bad(where, "data_offsets is missing or not an array of two");
  }
  Placed placed;
  placed.tensor.name = name;
  absl::StatusOr<Dtype> known = ParseDtype(dtype->get_ref<const std::string&>());
  if (!known.ok()) return Annotate(known.status(), where);
  placed.tensor.dtype = *known;
  for (const Json& size : *shape) {
    VN_ASSIGN_OR_RETURN(const int64_t count, Count(size, absl::StrCat(where, ": shape")));
    placed.tensor.shape.push_back(count);
  }
  VN_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(placed.tensor, where));
  VN_ASSIGN_OR_RETURN(placed.begin, Count((*offsets)[0], absl::StrCat(where, ": data_offsets")));
  VN_ASSIGN_OR_RETURN(placed.end, Count((*offsets)[1], absl::StrCat(where, ": data_offsets")));
  if (placed.end < placed.begin) {
    return Bad(where, absl::StrCat("data_offsets [", placed.begin, ", ", placed.end, "] run backwards"));
  }
  if (placed.end - placed.begin != bytes) {
    return Bad(where, absl::StrCat("data_offsets span ", placed.end - placed.begin, " bytes, but ",
                                   DtypeName(placed.tensor.dtype), " [",
                                   absl::StrJoin(placed.tensor.shape, ", "), "] has ", bytes));
  }
  return placed;
}

}  // namespace

int64_t DtypeBytes(Dtype dtype) { return kDtypes[static_cast<int>(dtype)].bytes; }
absl::string_view DtypeName(Dtype dtype) { return kDtypes[static_cast<int>(dtype)].name; }

absl::StatusOr<Dtype> ParseDtype(absl::string_view name) {
  for (const DtypeEntry& entry : kDtypes) {
    if (entry.name == name) return entry.dtype;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "dtype \"", Excerpt(name), "\" is not supported; supported: ",
      absl::StrJoin(kDtypes, ", ",
                    [](std::string* out, const DtypeEntry& e) { absl::StrAppend(out, e.name); })));
}

int64_t TensorSpec::NumElements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

absl::Status SafetensorsFile::Read(absl::string_view bytes, absl::string_view name) {
  name_ = std::string(name);
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (size < kLengthBytes) {
    return Bad(name, absl::StrCat("has ", size, " bytes, too few for a safetensors file; upload it again"));
  }
  if (bytes.substr(0, 8) == "version ") {
    return Bad(name, "is a Git LFS pointer, not the weights; run `git lfs pull` and try again");
  }
  uint64_t length = 0;
  for (int i = 0; i < kLengthBytes; ++i) length |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return Bad(name, absl::StrCat("header of ", length, " bytes is above the limit of ", kMaxHeaderBytes,
                                  "; is this a safetensors file?"));
  }
  const int64_t header_bytes = static_cast<int64_t>(length);
  if (header_bytes > size - kLengthBytes) {
    return Bad(name, absl::StrCat("header of ", header_bytes, " bytes does not fit the object of ", size,
                                  "; upload it again"));
  }
  const absl::string_view header = bytes.substr(kLengthBytes, header_bytes);
  if (header.empty() || header[0] != '{') return Bad(name, "header does not start with '{'");
  // Five values and three containers a tensor at 16 dimensions at most: far below the limit for honest files.
  VN_ASSIGN_OR_RETURN(const Json json,
                      ParseJson(header, absl::StrCat(name, ": header"),
                                {.max_bytes = kMaxHeaderBytes,
                                 .max_depth = 4,
                                 .max_values = int64_t{24} * static_cast<int64_t>(kMaxTensors)}));
  const size_t num_tensors = json.size() - (json.contains(std::string(kMetadata)) ? 1 : 0);
  if (num_tensors > kMaxTensors) {
    return Bad(name,
               absl::StrCat("header has ", num_tensors, " tensors, more than the limit of ", kMaxTensors));
  }
  std::vector<Placed> placed;
  for (const auto& [key, entry] : json.items()) {
    if (key == kMetadata) {
      if (!entry.is_object()) return Bad(name, "__metadata__ is not an object");
      for (const auto& [field, value] : entry.items()) {
        if (!value.is_string()) {
          return Bad(name, absl::StrCat("__metadata__.", Excerpt(field), " is not a string"));
        }
        metadata_[field] = value.get<std::string>();
      }
      continue;
    }
    VN_ASSIGN_OR_RETURN(Placed one, ReadEntry(key, entry, name));
    placed.push_back(std::move(one));
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  const absl::string_view data = bytes.substr(kLengthBytes + header_bytes);
  const int64_t data_bytes = static_cast<int64_t>(data.size());
  int64_t at = 0;
  for (Placed& one : placed) {
    if (one.begin != at) {
      return Bad(name, absl::StrCat("tensor \"", Excerpt(one.tensor.name), "\" starts at byte ", one.begin,
                                    one.begin < at ? ", inside the one before it, which ends at "
                                                   : ", leaving a gap after ",
                                    at));
    }
    at = one.end;
    if (at > data_bytes) continue;  // reported below, with the size that was promised
    one.tensor.bytes = data.substr(one.begin, one.end - one.begin);
    index_[one.tensor.name] = tensors_.size();
    tensors_.push_back(std::move(one.tensor));
  }
  const int64_t promised = kLengthBytes + header_bytes + at;
  if (at > data_bytes) {
    return Bad(name,
               absl::StrCat("header promises ", promised, " bytes, object has ", size, "; upload it again"));
  }
  if (at < data_bytes) {
    return Bad(name, absl::StrCat("has ", data_bytes - at, " bytes after its last tensor (header promises ",
                                  promised, ", object has ", size, "); such files are refused"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(absl::string_view bytes, absl::string_view name) {
  SafetensorsFile file;
  VN_RETURN_IF_ERROR(file.Read(bytes, name));
  return file;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  SafetensorsFile file;
  VN_ASSIGN_OR_RETURN(file.map_, MappedFile::Open(path));
  VN_RETURN_IF_ERROR(file.Read(file.map_.bytes(), path));
  return file;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(ObjectStore& store, absl::string_view key) {
  SafetensorsFile file;
  if (const std::optional<std::string> path = store.LocalPath(key); path.has_value()) {
    VN_ASSIGN_OR_RETURN(file.map_, MappedFile::Open(*path));
    VN_RETURN_IF_ERROR(file.Read(file.map_.bytes(), key));
    return file;
  }
  VN_ASSIGN_OR_RETURN(std::string bytes, store.Get(key, std::numeric_limits<int64_t>::max()));
  file.owned_ = std::make_unique<std::string>(std::move(bytes));
  VN_RETURN_IF_ERROR(file.Read(*file.owned_, key));
  return file;
}

absl::StatusOr<TensorView> SafetensorsFile::Find(absl::string_view name) const {
  if (const auto found = index_.find(name); found != index_.end()) return tensors_[found->second];
  std::vector<std::string> names;
  for (const TensorView& tensor : tensors_) names.push_back(tensor.name);
  return absl::NotFoundError(
      absl::StrCat(name_, ": has no tensor \"", Excerpt(name), "\"", DidYouMean(name, names)));
}

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Create(
    ByteSink& sink, std::vector<TensorSpec> specs, const std::map<std::string, std::string>& metadata) {
  if (specs.size() > kMaxTensors) {
    return Bad("safetensors",
               absl::StrCat(specs.size(), " tensors are more than the limit of ", kMaxTensors));
  }
  absl::flat_hash_set<absl::string_view> names;
  int64_t at = 0;
  // Joined as text: nlohmann's ordered_json finds names by walking, which is quadratic at 100,000 tensors.
  std::string text = "{";
  if (!metadata.empty()) text = absl::StrCat("{\"__metadata__\":", Json(metadata).dump());
  for (const TensorSpec& spec : specs) {
    const std::string where = absl::StrCat("tensor \"", Excerpt(spec.name), "\"");
    if (spec.name.empty() || spec.name.size() > kMaxNameBytes || spec.name == kMetadata ||
        FirstInvalidUtf8(spec.name) != std::string::npos) {
      return Bad(where, absl::StrCat("the name must have 1 to ", kMaxNameBytes, " bytes of UTF-8 and not be ",
                                     kMetadata));
    }
    if (!names.insert(spec.name).second) return Bad(where, "is given twice");
    VN_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(spec, where));
    int64_t end;
    if (__builtin_add_overflow(at, bytes, &end)) return Bad(where, "the file would be too large");
    absl::StrAppend(&text, text.size() > 1 ? "," : "", Json(spec.name).dump(), ":{\"dtype\":\"",
                    DtypeName(spec.dtype), "\",\"shape\":[", absl::StrJoin(spec.shape, ","),
                    "],\"data_offsets\":[", at, ",", end, "]}");
    at = end;
  }
  text += '}';
  // The data starts 8-byte aligned, as other readers expect.
  text.append((8 - text.size() % 8) % 8, ' ');
  if (static_cast<int64_t>(text.size()) > kMaxHeaderBytes)
    return Bad("safetensors", "the header would be too large");
  std::string length(kLengthBytes, '\0');
  for (int i = 0; i < kLengthBytes; ++i) length[i] = static_cast<char>(text.size() >> (8 * i));
  VN_RETURN_IF_ERROR(sink.Append(length));
  VN_RETURN_IF_ERROR(sink.Append(text));
  return SafetensorsWriter(sink, std::move(specs), at);
}

absl::Status SafetensorsWriter::Append(absl::string_view bytes) {
  if (static_cast<int64_t>(bytes.size()) > total_bytes_ - written_bytes_) {
    return absl::InvalidArgumentError(absl::StrCat("safetensors: the tensors have ", total_bytes_,
                                                   " bytes, got ",
                                                   written_bytes_ + static_cast<int64_t>(bytes.size())));
  }
  written_bytes_ += static_cast<int64_t>(bytes.size());
  return sink_->Append(bytes);
}

absl::Status SafetensorsWriter::Finish() {
  int64_t at = 0;
  for (const TensorSpec& spec : specs_) {
    at += spec.NumBytes();
    if (written_bytes_ < at) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", spec.name, "\": got ",
                                                     spec.NumBytes() - (at - written_bytes_), " of ",
                                                     spec.NumBytes(), " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ByteDigest> WriteSafetensors(ObjectStore& store, absl::string_view key, WriteMode mode,
                                            absl::Span<const TensorView> tensors,
                                            const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs(tensors.begin(), tensors.end());
  VN_ASSIGN_OR_RETURN(std::unique_ptr<ObjectWriter> object, store.OpenWriter(key, mode));
  absl::StatusOr<SafetensorsWriter> writer = SafetensorsWriter::Create(*object, std::move(specs), metadata);
  if (!writer.ok()) {
    // What the store says names the key already.
    return absl::IsInvalidArgument(writer.status()) ? Annotate(writer.status(), key) : writer.status();
  }
  for (const TensorView& tensor : tensors) {
    if (static_cast<int64_t>(tensor.bytes.size()) != tensor.NumBytes()) {
      return Bad(key, absl::StrCat("tensor \"", tensor.name, "\": has ", tensor.bytes.size(),
                                   " bytes, its shape needs ", tensor.NumBytes()));
    }
    VN_RETURN_IF_ERROR(writer->Append(tensor.bytes));
  }
  VN_RETURN_IF_ERROR(writer->Finish());
  return object->Finish();
}

}  // namespace vernier::storage
