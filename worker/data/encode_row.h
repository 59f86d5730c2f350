// A checked row -> token ids and the weight of each token in the loss.
//   messages           rendered as a whole, tokenised once; a token is trained iff its first byte lies in a
//   turn prompt_completion  [bos] prompt completion eos, tokenised jointly; trained: tokens that start in the
//   completion, eos text               [bos] text eos; trained: all
// The first token of a row has nothing before it and is never trained.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/objective.pb.h"
#include "worker/data/codec.h"
#include "worker/data/rows.h"

namespace vernier::data {

struct EncodeOptions {
  v1::LossOn loss_on = v1::LOSS_ON_UNSPECIFIED;
  v1::Turns turns = v1::TURNS_UNSPECIFIED;
};

// A piece of text whose tokens weigh `weight` in the loss.
struct WeightSpan {
  size_t begin = 0, end = 0;
  float weight = 0.0F;
  bool answer = false;  // an assistant turn or a completion: where a generation would start
};

// The text of a row and which parts are trained, before tokenising.
struct RowText {
  std::string text;
  std::vector<WeightSpan> spans;  // in order, disjoint
  bool add_bos = false;
  bool add_eos = false;  // trained
  std::string implicit_system_prompt;
};

struct EncodedRow {
  std::vector<int32_t> ids;
  std::vector<float> weights;  // [ids], as a target
  int64_t prompt_length = 1;   // tokens before the last trained answer, in [1, ids]
  int64_t num_trained() const;
};

// InvalidArgument: `loss_on` and `turns` mean nothing for rows of this format; for the whole job, not a row.
absl::Status CheckEncodeOptions(const EncodeOptions& options, RowFormat format);

// Both: InvalidArgument with the reason why this row cannot be trained on. Thread-safe.
absl::StatusOr<RowText> LayOutRow(const Row& row, const EncodeOptions& options, const Codec& codec);
// `*implicit_system_prompt`, when asked for, gets what the template added.
absl::StatusOr<EncodedRow> EncodeRow(const Row& row, const EncodeOptions& options, const Codec& codec,
                                     std::string* implicit_system_prompt = nullptr);

}  // namespace vernier::data
