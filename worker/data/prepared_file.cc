#include "worker/data/prepared_file.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

// An array, not absl::string_view: nlohmann would store that as a list of characters.
constexpr char kFormatName[] = "vernier.prepared.v1";

template <typename T>
void Append(const std::vector<T>& values, std::string& bytes) {
  if (!values.empty()) bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <typename T>
absl::StatusOr<absl::Span<const T>> Find(const Json& header, absl::string_view body, const std::string& name,
                                         absl::string_view dtype) {
  const auto bad = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat("tensor ", name, " ", what));
  };
  const auto it = header.find(name);
  if (it == header.end() || !it->is_object()) return bad("is missing");
  if (!it->contains("dtype") || (*it)["dtype"] != std::string(dtype))
    return bad(absl::StrCat("is not ", dtype));
  const auto numbers = [&](const char* key, size_t count) {
    if (!it->contains(key) || !(*it)[key].is_array() || (*it)[key].size() != count) return false;
    for (const Json& number : (*it)[key]) {
      if (!number.is_number_unsigned()) return false;
    }
    return true;
  };
  if (!numbers("shape", 1) || !numbers("data_offsets", 2))
    return bad("has a malformed shape or data_offsets");
  const uint64_t count = (*it)["shape"][0].get<uint64_t>();
  const uint64_t begin = (*it)["data_offsets"][0].get<uint64_t>();
  const uint64_t end = (*it)["data_offsets"][1].get<uint64_t>();
  if (begin > end || end > body.size() || count > body.size() || end - begin != count * sizeof(T)) {
    return bad("lies outside the file or differs from its shape");
  }
  const char* data = body.data() + begin;
  if (reinterpret_cast<uintptr_t>(data) % alignof(T) != 0) return bad("is not aligned");
  return absl::Span<const T>(reinterpret_cast<const T*>(data), count);
}

absl::Status CheckValues(const PreparedView& view) {
  const size_t num_rows = view.lines.size(), num_tokens = view.ids.size();
  if (view.row_offsets.size() != num_rows + 1 || view.prompt_lengths.size() != num_rows ||
      view.weights.size() != num_tokens) {
    return absl::DataLossError("tensors disagree about the number of rows or tokens");
  }
  if (view.row_offsets[0] != 0 || view.row_offsets[num_rows] != static_cast<int64_t>(num_tokens)) {
    return absl::DataLossError("row_offsets do not cover the tokens");
  }
  for (size_t r = 0; r < num_rows; ++r) {
    const int64_t begin = view.row_offsets[r], end = view.row_offsets[r + 1];
    if (end <= begin || end > static_cast<int64_t>(num_tokens)) {
      return absl::DataLossError(absl::StrCat("row_offsets do not rise at row ", r));
    }
    if (view.lines[r] < 1 || view.prompt_lengths[r] < 1 || view.prompt_lengths[r] > end - begin) {
      return absl::DataLossError(absl::StrCat("row ", r, " has line ", view.lines[r], " and prompt length ",
                                              view.prompt_lengths[r]));
    }
    if (view.weights[begin] != 0.0F) {
      return absl::DataLossError(absl::StrCat("row ", r, " trains its first token"));
    }
  }
  for (size_t t = 0; t < num_tokens; ++t) {
    if (view.ids[t] < 0 || !std::isfinite(view.weights[t]) || view.weights[t] < 0) {
      return absl::DataLossError(
          absl::StrCat("token ", t, " has id ", view.ids[t], " and weight ", view.weights[t]));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string PreparedHeader(int64_t num_rows, int64_t num_tokens) {
  Json header = {{"__metadata__", {{"format", kFormatName}}}};
  int64_t begin = 0;
  const auto add = [&](const char* name, const char* dtype, int64_t count, int64_t item_bytes) {
    const int64_t end = begin + count * item_bytes;
    header[name] = {{"dtype", dtype}, {"shape", {count}}, {"data_offsets", {begin, end}}};
    begin = end;
  };
  // The 8-byte tensors first, so that everything is aligned.
  add("row_offsets", "I64", num_rows + 1, 8);
  add("lines", "I64", num_rows, 8);
  add("prompt_lengths", "I64", num_rows, 8);
  add("ids", "I32", num_tokens, 4);
  add("weights", "F32", num_tokens, 4);
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + text;
}

std::string EncodePreparedFile(const PreparedSplit& split) {
  std::string bytes = PreparedHeader(split.num_rows(), static_cast<int64_t>(split.ids.size()));
  Append(split.row_offsets, bytes);
  Append(split.lines, bytes);
  Append(split.prompt_lengths, bytes);
  Append(split.ids, bytes);
  Append(split.weights, bytes);
  return bytes;
}

absl::StatusOr<PreparedView> ParsePreparedFile(absl::string_view bytes) {
  VN_CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0);
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) return absl::DataLossError("the file is shorter than its header");
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > 65536 || header_bytes > bytes.size() - sizeof(header_bytes)) {
    return absl::DataLossError(absl::StrCat("the header promises ", header_bytes, " bytes"));
  }
  absl::StatusOr<Json> header = ParseBoundedJson(bytes.substr(sizeof(header_bytes), header_bytes));
  if (!header.ok()) return absl::DataLossError(absl::StrCat("header: ", header.status().message()));
  if (!header->is_object()) return absl::DataLossError("the header is not an object");
  const Json meta = header->contains("__metadata__") ? (*header)["__metadata__"] : Json();
  if (!meta.is_object() || !meta.contains("format") || meta["format"] != std::string(kFormatName)) {
    return absl::DataLossError(absl::StrCat("the format is not ", kFormatName));
  }
  const absl::string_view body = bytes.substr(sizeof(header_bytes) + header_bytes);
  PreparedView view;
  VN_ASSIGN_OR_RETURN(view.row_offsets, Find<int64_t>(*header, body, "row_offsets", "I64"));
  VN_ASSIGN_OR_RETURN(view.lines, Find<int64_t>(*header, body, "lines", "I64"));
  VN_ASSIGN_OR_RETURN(view.prompt_lengths, Find<int64_t>(*header, body, "prompt_lengths", "I64"));
  VN_ASSIGN_OR_RETURN(view.ids, Find<int32_t>(*header, body, "ids", "I32"));
  VN_ASSIGN_OR_RETURN(view.weights, Find<float>(*header, body, "weights", "F32"));
  VN_RETURN_IF_ERROR(CheckValues(view));
  return view;
}

}  // namespace vernier::data
