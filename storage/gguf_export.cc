#include "storage/gguf_export.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_dequant.h"
#include "storage/gguf_quantize.h"

namespace vernier::storage {
namespace {

constexpr uint32_t kF32 = 0, kF16 = 1, kQ8_0 = 8;  // ggml types
constexpr int64_t kQ8Block = 32;
constexpr uint32_t kQuantizationVersion = 2;
constexpr int64_t kPieceValues = int64_t{1} << 20;
constexpr absl::string_view kFactorA = ".lora_a";
constexpr absl::string_view kFactorB = ".lora_b";

uint32_t TypeFor(GgufFloat type, absl::string_view name, const std::vector<int64_t>& shape) {
  const bool is_table = absl::StartsWith(name, "position_embd.");
  if (type == GgufFloat::kF32 || shape.size() < 2 || is_table) return kF32;
  return type == GgufFloat::kQ8_0 && shape.back() % kQ8Block == 0 ? kQ8_0 : kF16;
}

GgufMetadata Heading(const GgufDescription& description, absl::string_view kind, GgufFloat type) {
  // llama.cpp's numbers for what most tensors are.
  const uint32_t file_type = type == GgufFloat::kF32 ? 0 : type == GgufFloat::kF16 ? 1 : 7;
  GgufMetadata metadata = {{"general.architecture", description.architecture},
                           {"general.type", std::string(kind)},
                           {"general.file_type", file_type}};
  if (type == GgufFloat::kQ8_0) metadata.push_back({"general.quantization_version", kQuantizationVersion});
  return metadata;
}

// Appends values as blocks of a type, in pieces: a row may be small, a tensor many GB.
class BlockWriter {
 public:
  BlockWriter(uint32_t type, std::string name, ByteSink& sink)
      : type_(type), name_(std::move(name)), sink_(sink) {}

  absl::Status Append(absl::Span<const float> values) {
    while (!values.empty()) {
      const size_t count = std::min(values.size(), static_cast<size_t>(kPieceValues) - piece_.size());
      piece_.insert(piece_.end(), values.begin(), values.begin() + static_cast<ptrdiff_t>(count));
      values.remove_prefix(count);
      if (piece_.size() == static_cast<size_t>(kPieceValues)) VN_RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }
  absl::Status Flush() {
    bytes_.clear();
    VN_RETURN_IF_ERROR(
        Annotate(Quantize(type_, piece_, &bytes_), absl::StrCat("gguf: tensor \"", name_, "\"")));
    piece_.clear();
    return sink_.Append(bytes_);
  }

 private:
  const uint32_t type_;
  const std::string name_;
  ByteSink& sink_;
  std::vector<float> piece_;
  std::string bytes_;
};

// Row `row` of a rotary projection in the file is this row of Hugging Face's: the inverse of kSplitHalves.
int64_t RowInHalves(int64_t row, int64_t head_rows) {
  const int64_t within = row % head_rows;
  return row - within + within % 2 * (head_rows / 2) + within / 2;
}

// `values` in Hugging Face's layout, in the order of the file.
absl::Status AppendInFileOrder(const GgufRule& rule, std::vector<float>& values, BlockWriter& writer) {
  const absl::Span<const float> all(values);
  const int64_t rows = rule.shape[0];
  const int64_t width = static_cast<int64_t>(all.size()) / rows;
  switch (rule.layout) {
    case GgufLayout::kSame:
      return writer.Append(all);
    case GgufLayout::kMinusOne:
      for (float& value : values) value += 1.0F;
      return writer.Append(all);
    case GgufLayout::kSplitHalves:
      for (int64_t row = 0; row < rows; ++row) {
        VN_RETURN_IF_ERROR(
            writer.Append(all.subspan(RowInHalves(row, rows / rule.num_heads) * width, width)));
      }
      return absl::OkStatus();
    case GgufLayout::kTransposed: {
      std::vector<float> line(width);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < width; ++i) line[i] = values[i * rows + row];
        VN_RETURN_IF_ERROR(writer.Append(line));
      }
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

// The rules of the base by the name in GGUF files, which adapters name.
absl::flat_hash_map<absl::string_view, const GgufRule*> MatricesByName(const GgufDescription& base,
                                                                       bool by_gguf) {
  absl::flat_hash_map<absl::string_view, const GgufRule*> rules;
  for (const GgufRule& rule : base.rules) {
    if (rule.shape.size() == 2) rules.emplace(by_gguf ? rule.gguf : rule.hf, &rule);
  }
  return rules;
}

int64_t HeadRows(const GgufRule& rule) {
  return rule.layout == GgufLayout::kSplitHalves ? rule.shape[0] / rule.num_heads : 0;
}

absl::StatusOr<std::vector<float>> ReadFactor(const Gguf& gguf, absl::string_view name,
                                              const std::vector<int64_t>& shape) {
  const GgufTensor* tensor = gguf.FindTensor(name);
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(gguf.name(), ": has no tensor \"", Excerpt(name), "\""));
  }
  if (tensor->shape != shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(gguf.name(), ": tensor \"", Excerpt(name), "\" does not have the shape of its layer"));
  }
  std::vector<float> values(tensor->NumElements());
  VN_RETURN_IF_ERROR(Annotate(Dequantize(tensor->type, tensor->bytes, absl::MakeSpan(values)),
                              absl::StrCat(gguf.name(), ": tensor \"", Excerpt(name), "\"")));
  return values;
}

}  // namespace

absl::Status WriteGgufModel(const GgufDescription& description, const GgufMetadata& extra, GgufFloat type,
                            const TensorValues& values, const OnTensor& on_tensor, ByteSink& sink) {
  GgufMetadata metadata = Heading(description, "model", type);
  metadata.insert(metadata.end(), description.metadata.begin(), description.metadata.end());
  metadata.insert(metadata.end(), extra.begin(), extra.end());
  std::vector<GgufTensorSpec> specs;
  for (const GgufDescription::Derived& derived : description.derived) {
    specs.push_back({derived.name, kF32, {static_cast<int64_t>(derived.values.size())}});
  }
  for (const GgufRule& rule : description.rules) {
    specs.push_back({rule.gguf, TypeFor(type, rule.gguf, rule.shape), rule.shape});
  }
  const size_t num_derived = description.derived.size();
  VN_ASSIGN_OR_RETURN(GgufWriter writer, GgufWriter::Create(sink, metadata, specs));
  for (const GgufDescription::Derived& derived : description.derived) {
    BlockWriter blocks(kF32, derived.name, writer);
    VN_RETURN_IF_ERROR(blocks.Append(derived.values));
    VN_RETURN_IF_ERROR(blocks.Flush());
  }
  std::vector<float> room;
  for (size_t i = 0; i < description.rules.size(); ++i) {
    const GgufRule& rule = description.rules[i];
    const GgufTensorSpec& spec = specs[num_derived + i];
    VN_RETURN_IF_ERROR(values(rule.hf, room));
    if (static_cast<int64_t>(room.size()) != spec.NumElements()) {
      return absl::InvalidArgumentError(absl::StrCat("gguf: tensor \"", rule.hf, "\" has ", room.size(),
                                                     " values, config.json asks for ", spec.NumElements()));
    }
    BlockWriter blocks(spec.type, spec.name, writer);
    VN_RETURN_IF_ERROR(AppendInFileOrder(rule, room, blocks));
    VN_RETURN_IF_ERROR(blocks.Flush());
    VN_RETURN_IF_ERROR(
        on_tensor(static_cast<int64_t>(i) + 1, static_cast<int64_t>(description.rules.size())));
  }
  return writer.Finish();
}

absl::Status WriteGgufLora(const GgufDescription& base, const GgufMetadata& extra, GgufFloat type,
                           int64_t rank, absl::Span<const LoraFactors> factors, ByteSink& sink) {
  GgufMetadata metadata = Heading(base, "adapter", type);
  metadata.push_back({"adapter.type", std::string("lora")});
  metadata.push_back({"adapter.lora.alpha", static_cast<float>(rank)});
  metadata.insert(metadata.end(), extra.begin(), extra.end());
  const auto rules = MatricesByName(base, /*by_gguf=*/false);
  std::vector<GgufTensorSpec> specs;
  for (const LoraFactors& layer : factors) {
    const auto found = rules.find(layer.weight);
    if (found == rules.end()) {
      return absl::InvalidArgumentError(absl::StrCat("gguf: the adapted layer \"", Excerpt(layer.weight),
                                                     "\" has no name in GGUF files of ", base.architecture,
                                                     " models; export the adapter merged into its base"));
    }
    VN_CHECK(layer.rank == rank);
    const std::string& name = found->second->gguf;
    const std::vector<int64_t> a = {rank, layer.in_features}, b = {layer.out_features, rank};
    specs.push_back({absl::StrCat(name, kFactorA), TypeFor(type, name, a), a});
    specs.push_back({absl::StrCat(name, kFactorB), TypeFor(type, name, b), b});
  }
  VN_ASSIGN_OR_RETURN(GgufWriter writer, GgufWriter::Create(sink, metadata, specs));
  for (size_t i = 0; i < factors.size(); ++i) {
    const LoraFactors& layer = factors[i];
    BlockWriter a(specs[2 * i].type, specs[2 * i].name, writer);
    VN_RETURN_IF_ERROR(a.Append(layer.a));
    VN_RETURN_IF_ERROR(a.Flush());
    BlockWriter b(specs[2 * i + 1].type, specs[2 * i + 1].name, writer);
    // B's rows are the weight's: they lie in the file as those do. A is as it was.
    const int64_t head_rows = HeadRows(*rules.find(layer.weight)->second);
    for (int64_t row = 0; row < layer.out_features; ++row) {
      const int64_t from = head_rows > 0 ? RowInHalves(row, head_rows) : row;
      VN_RETURN_IF_ERROR(b.Append(absl::MakeSpan(layer.b).subspan(from * rank, rank)));
    }
    VN_RETURN_IF_ERROR(b.Flush());
  }
  return writer.Finish();
}

absl::StatusOr<std::vector<LoraFactors>> ReadGgufLora(const Gguf& gguf, const GgufDescription& base) {
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(gguf.name(), ": ", what));
  };
  for (const auto& [key, wanted] :
       {std::pair<absl::string_view, absl::string_view>{"general.type", "adapter"},
        {"adapter.type", "lora"},
        {"general.architecture", base.architecture}}) {
    VN_ASSIGN_OR_RETURN(const absl::string_view text, gguf.GetString(key));
    if (text != wanted) return bad(absl::StrCat(key, " is \"", Excerpt(text), "\", not \"", wanted, "\""));
  }
  VN_ASSIGN_OR_RETURN(const double alpha, gguf.GetDouble("adapter.lora.alpha"));
  const auto rules = MatricesByName(base, /*by_gguf=*/true);
  std::vector<LoraFactors> factors;
  size_t num_read = 0;
  for (const GgufTensor& tensor : gguf.tensors()) {
    absl::string_view name = tensor.name;
    if (!absl::ConsumeSuffix(&name, kFactorA)) continue;
    const auto found = rules.find(name);
    if (found == rules.end() || tensor.shape.size() != 2) {
      return bad(absl::StrCat("tensor \"", Excerpt(tensor.name), "\" fits no layer of the base"));
    }
    const GgufRule& rule = *found->second;
    LoraFactors layer = {.weight = rule.hf,
                         .rank = tensor.shape[0],
                         .in_features = rule.shape[1],
                         .out_features = rule.shape[0]};
    VN_ASSIGN_OR_RETURN(layer.a, ReadFactor(gguf, tensor.name, {layer.rank, layer.in_features}));
    VN_ASSIGN_OR_RETURN(const std::vector<float> b,
                        ReadFactor(gguf, absl::StrCat(name, kFactorB), {layer.out_features, layer.rank}));
    layer.b.resize(b.size());
    // llama.cpp: no alpha means no scale.
    const float scale = alpha == 0 ? 1.0F : static_cast<float>(alpha / static_cast<double>(layer.rank));
    const int64_t head_rows = HeadRows(rule);
    for (int64_t row = 0; row < layer.out_features; ++row) {
      const int64_t to = head_rows > 0 ? RowInHalves(row, head_rows) : row;
      for (int64_t i = 0; i < layer.rank; ++i) layer.b[to * layer.rank + i] = b[row * layer.rank + i] * scale;
    }
    factors.push_back(std::move(layer));
    num_read += 2;
  }
  if (num_read != gguf.tensors().size()) return bad("has tensors that are no factors of an adapter");
  return factors;
}

}  // namespace vernier::storage
