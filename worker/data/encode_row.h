// A checked row -> token ids and the weight of each token in the loss.
//   messages           rendered as a whole, tokenised once; a token is trained iff its first byte lies in a
//                      turn
//   prompt_completion  [bos] prompt completion eos, tokenised jointly; trained: tokens that start in the
//                      completion, and eos; with LOSS_ON_PROMPT the others
//   text               [bos] text eos; trained: all
// The first token of a row has nothing before it and is never trained. With TURNS_EXPAND a conversation is
// several rows: one for every trained turn, which ends with it.
#pragma once

#include <cstdint>
#include <functional>
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
  v1::Reasoning reasoning = v1::REASONING_UNSPECIFIED;
};

// Tokens that the rows made of one conversation have together, before max_tokens.
inline constexpr int64_t kMaxExpandedTokens = int64_t{1} << 21;

// A piece of text whose tokens weigh `weight` in the loss.
struct WeightSpan {
  size_t begin = 0, end = 0;
  float weight = 0.0F;
  bool answer = false;  // a trained turn or completion starts here: where a generation would start
};

// The text of a row and which parts are trained, before tokenising.
struct RowText {
  std::string text;
  std::vector<WeightSpan> spans;  // in order, disjoint
  bool add_bos = false;
  bool add_eos = false;
  float eos_weight = 1.0F;
  std::string implicit_system_prompt;
  bool hides_reasoning = false;  // the template leaves out reasoning of a trained turn
};

struct EncodedRow {
  std::vector<int32_t> ids;
  std::vector<float> weights;  // [ids], as a target
  int64_t prompt_length = 1;   // tokens before the last trained answer, in [1, ids]
  int64_t num_trained() const;
};

// InvalidArgument: the options mean nothing for rows of this format; for the whole job, not a row.
absl::Status CheckEncodeOptions(const EncodeOptions& options, RowFormat format);

// Whether the row is a conversation that becomes a row for every trained turn.
bool IsExpanded(const Row& row, const EncodeOptions& options);

// Calls `take` with each row that is trained of `row`: itself, or the conversations through each trained turn
// when it is expanded. Ends with the first error of `take`.
absl::Status ForEachTrainedRow(const Row& row, const EncodeOptions& options,
                               const std::function<absl::Status(const Row&)>& take);

// Of a row that ForEachTrainedRow gave. Both: InvalidArgument with the reason why it cannot be trained on.
// Thread-safe.
absl::StatusOr<RowText> LayOutRow(const Row& row, const EncodeOptions& options, const Codec& codec);
absl::StatusOr<EncodedRow> EncodeRow(const RowText& laid, const Codec& codec);

}  // namespace vernier::data
