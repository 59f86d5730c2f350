#include "worker/models/gemma2/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/gemma2/config.h"
#include "worker/models/gemma2/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGemma2(const ModelFolder& folder,
                                                     at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(Gemma2Config config, ReadGemma2Config(folder.config()));
  DecoderWeights weights = DeclareGemma2Weights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
