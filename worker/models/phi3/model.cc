#include "worker/models/phi3/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/phi3/config.h"
#include "worker/models/phi3/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadPhi3(const ModelFolder& folder, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(Phi3Config config, ReadPhi3Config(folder.config()));
  DecoderWeights weights = DeclarePhi3Weights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
