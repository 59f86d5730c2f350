// The rows on which an exported model is compared with the trainer, and how far it may differ.
#pragma once

#include "absl/strings/string_view.h"
#include "storage/gguf_export.h"
#include "storage/safetensors.h"
#include "worker/data/text/tokenizer.h"
#include "worker/models/model.h"
#include "worker/stages/train/serve_check.h"

namespace vernier::stages {

// Texts in several scripts, a few tokens each.
std::vector<std::string> ProbeTexts();

// The first rows below `prepared_key`, cut to 256 tokens; where there are none (any more), the probe texts.
// `*from` says which.
ProbeRows ChooseProbeRows(storage::ObjectStore& store, const std::string& prepared_key,
                          const data::Tokenizer& tokenizer, const models::ModelConfig& config,
                          std::string* from);

// The share of what an adapter does to the logits that an export does as well: 1 all of it, 0 nothing, also
// where rounding moves them further than the adapter does, because it moves them elsewhere. `without`: of the
// model without the adapter. NaN where the adapter does nothing or a number is not finite.
double CarriedShare(const ServeProbe& without, const ServeProbe& trained, const ServeProbe& served);

// Relative difference of logits that rounding explains. The same numbers in the same order of operations;
// weights merged before they are used; weights rounded to a type on the way.
double ToleranceOfAdapter(at::ScalarType compute);
double ToleranceOfWeights(storage::Dtype coarsest, at::ScalarType compute);
double ToleranceOfGguf(storage::GgufFloat type, at::ScalarType compute);

}  // namespace vernier::stages
