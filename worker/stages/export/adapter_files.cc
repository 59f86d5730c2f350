#include "worker/stages/export/adapter_files.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"
#include "worker/stages/exported_files.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

std::vector<float> ValuesOf(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().contiguous();
  const float* const first = plain.const_data_ptr<float>();
  return {first, first + plain.numel()};
}

at::Tensor TensorOf(std::vector<float>& values, int64_t rows, int64_t columns) {
  return torch::from_blob(values.data(), {rows, columns}, at::TensorOptions().dtype(at::kFloat));
}

}  // namespace

int64_t HighestRank(const adapters::Lora& lora) {
  int64_t rank = 0;
  for (const adapters::Lora::Shape& shape : lora.options().shapes) rank = std::max(rank, shape.rank);
  return rank;
}

absl::Status WriteAdapter(ArtifactWriter& writer, adapters::Lora& lora, const std::string& base_name) {
  VN_ASSIGN_OR_RETURN(const adapters::Exported exported,
                      trainer::TorchCall("exporting", [&] { return lora.Export(base_name); }));
  return AddExported(writer, exported);
}

absl::Status WriteLoraGguf(ArtifactWriter& writer, const storage::GgufDescription& base,
                           const storage::GgufMetadata& names, storage::GgufFloat type,
                           const adapters::Lora& lora) {
  VN_ASSIGN_OR_RETURN(
      const std::unique_ptr<adapters::Lora> same,
      trainer::TorchCall("exporting", [&]() -> absl::StatusOr<std::unique_ptr<adapters::Lora>> {
        return adapters::AtOneRank(lora);
      }));
  const int64_t rank = HighestRank(*same);
  std::vector<storage::LoraFactors> layers;
  for (const models::LinearSite& site : lora.model().linear_sites()) {
    const adapters::Lora::Factors& factors = same->factors(site);
    if (!factors.a_RI.defined()) continue;
    layers.push_back({.weight = lora.model().parameter(site.weight).name,
                      .rank = rank,
                      .in_features = site.in_features,
                      .out_features = site.out_features,
                      .a = ValuesOf(factors.a_RI),
                      .b = ValuesOf(factors.b_OR)});
  }
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::ObjectWriter> file, writer.OpenWriter(kLoraGgufFile));
  VN_RETURN_IF_ERROR(storage::WriteGgufLora(base, names, type, rank, layers, *file));
  VN_ASSIGN_OR_RETURN(const storage::ByteDigest digest, file->Finish());
  writer.AddWritten(kLoraGgufFile, digest);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<adapters::Lora>> ReadLoraGguf(storage::ObjectStore& store,
                                                             const std::string& folder,
                                                             const storage::GgufDescription& base,
                                                             const models::CausalLm& model) {
  const std::string key = absl::StrCat(folder, "/", kLoraGgufFile);
  VN_ASSIGN_OR_RETURN(const std::string bytes, store.Get(key, std::numeric_limits<int64_t>::max()));
  VN_ASSIGN_OR_RETURN(const storage::Gguf gguf, storage::Gguf::Parse(bytes, key));
  VN_ASSIGN_OR_RETURN(std::vector<storage::LoraFactors> layers, storage::ReadGgufLora(gguf, base));
  absl::flat_hash_map<std::string, storage::LoraFactors*> by_weight;
  for (storage::LoraFactors& layer : layers) by_weight[layer.weight] = &layer;
  return trainer::TorchCall("reloading", [&]() -> absl::StatusOr<std::unique_ptr<adapters::Lora>> {
    const at::NoGradGuard no_grad;
    adapters::Lora::Options options;
    for (const models::LinearSite& site : model.linear_sites()) {
      const auto found = by_weight.find(model.parameter(site.weight).name);
      // The file's scale is in B.
      options.shapes.push_back(
          found == by_weight.end()
              ? adapters::Lora::Shape{}
              : adapters::Lora::Shape{found->second->rank, static_cast<double>(found->second->rank)});
    }
    auto lora = std::make_unique<adapters::Lora>(model, std::move(options));
    for (const models::LinearSite& site : model.linear_sites()) {
      const auto found = by_weight.find(model.parameter(site.weight).name);
      if (found == by_weight.end()) continue;
      storage::LoraFactors& layer = *found->second;
      at::Tensor a_RI = lora->factors(site).a_RI, b_OR = lora->factors(site).b_OR;
      a_RI.copy_(TensorOf(layer.a, layer.rank, layer.in_features));
      b_OR.copy_(TensorOf(layer.b, layer.out_features, layer.rank));
    }
    return lora;
  });
}

}  // namespace vernier::stages
