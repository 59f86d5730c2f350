#include "worker/models/olmo2/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/olmo2/config.h"
#include "worker/models/olmo2/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadOlmo2(const ModelFolder& folder, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(Olmo2Config config, ReadOlmo2Config(folder.config()));
  DecoderWeights weights = DeclareOlmo2Weights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
