#include "worker/models/llama/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/llama/config.h"
#include "worker/models/llama/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadLlama(const ModelFolder& folder, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(LlamaConfig config, ReadLlamaConfig(folder.config()));
  DecoderWeights weights = DeclareLlamaWeights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
