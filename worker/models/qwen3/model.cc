#include "worker/models/qwen3/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/qwen3/config.h"
#include "worker/models/qwen3/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadQwen3(const ModelFolder& folder, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(Qwen3Config config, ReadQwen3Config(folder.config()));
  DecoderWeights weights = DeclareQwen3Weights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
