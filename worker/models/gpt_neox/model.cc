#include "worker/models/gpt_neox/model.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/decoder.h"
#include "worker/models/gpt_neox/config.h"
#include "worker/models/gpt_neox/weights.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGptNeox(const ModelFolder& folder,
                                                      at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(GptNeoxConfig config, ReadGptNeoxConfig(folder.config()));
  DecoderWeights weights = DeclareGptNeoxWeights(config);
  return LoadDecoder(folder, std::move(config.traits), std::move(weights), compute_dtype);
}

}  // namespace vernier::models
