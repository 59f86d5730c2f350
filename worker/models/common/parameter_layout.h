// What a family's files must hold: declared from the config alone, in Hugging Face's order, then matched with
// the files.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

// Names are the full model's ("model.layers.0.mlp.up_proj.weight"). Every Add returns the index in
// parameters, or in linear sites for AddLinear.
class ParameterLayout {
 public:
  // A tensor that matmuls and look-ups read, in the compute dtype.
  int AddMatrix(std::string name, int64_t rows, int64_t columns);
  // A norm's weight or a bias, fp32.
  int AddVector(std::string name, int64_t size);
  // The weight and, with `has_bias`, the bias of `name` ("...q_proj"). `weight_is_io`: stored as [in, out].
  int AddLinear(std::string name, int64_t in_features, int64_t out_features, bool has_bias,
                bool weight_is_io = false);
  // The output projection `name`: the embedding itself (a parameter added before) when `tied`, else a matrix
  // of its shape. Files may call it `alias`.
  int AddHead(std::string name, int embedding, bool tied, std::string alias = "");

  struct Options {
    at::ScalarType compute_dtype = at::kFloat;
    // Bare models are saved without it: a folder in which no name starts with it is read as if all did.
    std::string base_prefix;
    // Buffers and unused tensors that files may carry, by their name there.
    bool (*may_be_left_over)(absl::string_view name) = nullptr;
  };
  // The declared parameters with their tensors. Matrices whose dtype already matches share the file's memory
  // map, which they keep open; all else is converted once. InvalidArgument: tensors are missing, misshapen,
  // of an unsupported dtype or left over (each named, the first ten); a head beside a tied embedding that
  // differs from it.
  absl::StatusOr<std::vector<Parameter>> Load(const ModelFolder& folder, const Options& options) const;

  const std::vector<LinearSite>& linear_sites() const { return sites_; }

 private:
  struct Wanted {
    std::string name;
    std::vector<int64_t> shape;
  };
  struct Head {
    std::string name, alias;
    int embedding = -1;
    bool tied = false;
  };
  int Add(std::string name, std::vector<int64_t> shape);
  // What is wrong with a head that the files keep beside a tied embedding; "": nothing.
  std::string TiedHeadProblem(const StoredTensor& head, const StoredTensor& embedding) const;

  std::vector<Wanted> wanted_;
  Head head_;
  std::vector<LinearSite> sites_;
};

}  // namespace vernier::models
