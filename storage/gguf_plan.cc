#include "storage/gguf_plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_dequant.h"

namespace vernier::storage {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr size_t kPieceFloats = size_t{1} << 18;  // 1 MiB
constexpr absl::string_view kEmbedding = "token_embd.weight";
constexpr absl::string_view kHead = "output.weight";

absl::string_view BytesOf(absl::Span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// Hands floats on in large pieces: a row may be only a few bytes.
class PieceWriter {
 public:
  explicit PieceWriter(ByteSink& sink) : sink_(sink) { piece_.reserve(kPieceFloats); }
  absl::Status Append(absl::Span<const float> values) {
    while (!values.empty()) {
      const size_t count = std::min(values.size(), kPieceFloats - piece_.size());
      piece_.insert(piece_.end(), values.begin(), values.begin() + static_cast<ptrdiff_t>(count));
      values.remove_prefix(count);
      if (piece_.size() == kPieceFloats) VN_RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }
  absl::Status Flush() {
    VN_RETURN_IF_ERROR(sink_.Append(BytesOf(piece_)));
    piece_.clear();
    return absl::OkStatus();
  }

 private:
  ByteSink& sink_;
  std::vector<float> piece_;
};

absl::Status AppendSplitHalves(absl::Span<const float> values, int64_t num_rows, int64_t num_heads,
                               PieceWriter& writer) {
  const int64_t width = static_cast<int64_t>(values.size()) / num_rows;
  const int64_t head_rows = num_rows / num_heads;
  for (int64_t row = 0; row < num_rows; ++row) {
    const int64_t head = row / head_rows;
    const int64_t half = row % head_rows / (head_rows / 2);
    const int64_t i = row % (head_rows / 2);
    const int64_t source = head * head_rows + 2 * i + half;
    VN_RETURN_IF_ERROR(writer.Append(values.subspan(source * width, width)));
  }
  return absl::OkStatus();
}

absl::Status AppendTransposed(absl::Span<const float> values, int64_t num_rows, PieceWriter& writer) {
  const int64_t width = static_cast<int64_t>(values.size()) / num_rows;
  std::vector<float> column(num_rows);
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t row = 0; row < num_rows; ++row) column[row] = values[row * width + i];
    VN_RETURN_IF_ERROR(writer.Append(column));
  }
  return absl::OkStatus();
}

}  // namespace

GgufPlanner::GgufPlanner(const Gguf& gguf, absl::string_view architecture)
    : gguf_(gguf), architecture_(architecture) {}

absl::Status GgufPlanner::Bad(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(gguf_.name(), ": ", what));
}

std::string GgufPlanner::Key(absl::string_view field) const {
  return absl::StrCat(architecture_, ".", field);
}

absl::StatusOr<int64_t> GgufPlanner::Positive(absl::string_view field) const {
  VN_ASSIGN_OR_RETURN(const int64_t value, gguf_.GetInt(Key(field)));
  if (value >= 1 && value < int64_t{1} << 31) return value;
  return Bad(absl::StrCat("metadata \"", Key(field), "\" = ", value, " is outside [1, 2^31)"));
}

absl::StatusOr<int64_t> GgufPlanner::PositiveOr(absl::string_view field, int64_t fallback) const {
  if (!gguf_.Has(Key(field))) return fallback;
  return Positive(field);
}

absl::StatusOr<double> GgufPlanner::PositiveNumber(absl::string_view field) const {
  VN_ASSIGN_OR_RETURN(const double value, gguf_.GetDouble(Key(field)));
  if (value > 0 && std::isfinite(value)) return value;
  return Bad(absl::StrCat("metadata \"", Key(field), "\" = ", value, " is not a positive number"));
}

absl::StatusOr<double> GgufPlanner::PositiveNumberOr(absl::string_view field, double fallback) const {
  if (!gguf_.Has(Key(field))) return fallback;
  return PositiveNumber(field);
}

absl::StatusOr<int64_t> GgufPlanner::Rows(absl::string_view name) const {
  const GgufTensor* tensor = gguf_.FindTensor(name);
  if (tensor == nullptr) return Bad(absl::StrCat("has no tensor \"", name, "\""));
  if (tensor->shape.empty()) return Bad(absl::StrCat("tensor \"", name, "\" is a scalar"));
  return tensor->shape.front();
}

absl::StatusOr<const GgufTensor*> GgufPlanner::Take(absl::string_view source,
                                                    const std::vector<int64_t>& shape) {
  const GgufTensor* tensor = gguf_.FindTensor(source);
  if (tensor == nullptr) return Bad(absl::StrCat("has no tensor \"", source, "\""));
  if (tensor->shape != shape) {
    return Bad(absl::StrCat("tensor \"", source, "\" has shape [", absl::StrJoin(tensor->shape, ", "),
                            "], its metadata says [", absl::StrJoin(shape, ", "), "]"));
  }
  // Asks for no values: only whether the type is one we read.
  if (const absl::Status readable = Dequantize(tensor->type, "", {}); !readable.ok()) {
    return Bad(absl::StrCat("tensor \"", source, "\": ", readable.message(),
                            "; get the model with one of these types"));
  }
  taken_.insert(std::string(source));
  return tensor;
}

absl::Status GgufPlanner::Read(absl::string_view source, const std::vector<int64_t>& shape,
                               absl::Span<float> out) {
  VN_ASSIGN_OR_RETURN(const GgufTensor* tensor, Take(source, shape));
  return Dequantize(tensor->type, tensor->bytes, out);
}

int64_t GgufPlanner::LayersToPlan(int64_t claimed) const {
  return std::min(claimed, static_cast<int64_t>(gguf_.tensors().size()) + 1);
}

absl::Status GgufPlanner::Add(const std::vector<GgufRule>& rules) {
  for (const GgufRule& rule : rules) {
    VN_ASSIGN_OR_RETURN(const GgufTensor* tensor, Take(rule.gguf, rule.shape));
    VN_CHECK(rule.layout != GgufLayout::kSplitHalves || rule.shape[0] % (2 * rule.num_heads) == 0);
    std::vector<int64_t> shape = rule.shape;
    if (rule.layout == GgufLayout::kTransposed) std::swap(shape.at(0), shape.at(1));
    planned_.push_back({{rule.hf, Dtype::kF32, std::move(shape)}, tensor, rule.layout, rule.num_heads});
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> GgufPlanner::AddHead(int64_t rows, int64_t width) {
  const GgufTensor* head = gguf_.FindTensor(kHead);
  if (head == nullptr) return false;
  const GgufTensor* embedding = gguf_.FindTensor(kEmbedding);
  if (embedding != nullptr && embedding->type == head->type && embedding->shape == head->shape &&
      embedding->bytes == head->bytes) {
    taken_.insert(std::string(kHead));
    return false;
  }
  VN_RETURN_IF_ERROR(Add({HeadRule(rows, width)}));
  return true;
}

absl::StatusOr<std::vector<PlannedTensor>> GgufPlanner::Finish() {
  for (const GgufTensor& tensor : gguf_.tensors()) {
    if (taken_.contains(tensor.name)) continue;
    return Bad(absl::StrCat("has the tensor \"", Excerpt(tensor.name), "\", which a ", architecture_,
                            " model as Vernier knows it does not have; such models are not supported"));
  }
  return std::move(planned_);
}

absl::Status WritePlanned(const PlannedTensor& tensor, std::vector<float>& values, ByteSink& sink) {
  values.resize(tensor.source->NumElements());
  VN_RETURN_IF_ERROR(Annotate(Dequantize(tensor.source->type, tensor.source->bytes, absl::MakeSpan(values)),
                              absl::StrCat("tensor \"", tensor.source->name, "\"")));
  PieceWriter writer(sink);
  switch (tensor.layout) {
    case GgufLayout::kSame:
      VN_RETURN_IF_ERROR(writer.Append(values));
      break;
    case GgufLayout::kSplitHalves:
      VN_RETURN_IF_ERROR(AppendSplitHalves(values, tensor.source->shape[0], tensor.num_heads, writer));
      break;
    case GgufLayout::kMinusOne:
      for (float& value : values) value -= 1.0F;
      VN_RETURN_IF_ERROR(writer.Append(values));
      break;
    case GgufLayout::kTransposed:
      VN_RETURN_IF_ERROR(AppendTransposed(values, tensor.source->shape[0], writer));
      break;
  }
  return writer.Flush();
}

}  // namespace vernier::storage
