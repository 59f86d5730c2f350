#include "worker/models/mistral/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/mistral/config.h"
#include "worker/models/mistral/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadMistral(const ModelFolder& folder,
                                                      at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(MistralConfig config, ReadMistralConfig(folder.config()));
  DecoderWeights weights = DeclareMistralWeights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
