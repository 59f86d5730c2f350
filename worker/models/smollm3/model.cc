#include "worker/models/smollm3/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/smollm3/config.h"
#include "worker/models/smollm3/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadSmollm3(const ModelFolder& folder,
                                                      at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(Smollm3Config config, ReadSmollm3Config(folder.config()));
  DecoderWeights weights = DeclareSmollm3Weights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
