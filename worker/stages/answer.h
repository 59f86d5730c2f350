// Text generated after a prompt: decoding settings, stop texts and token pieces put together.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vernier/v1/stage.pb.h"
#include "worker/data/text/tokenizer.h"
#include "worker/models/generate.h"
#include "worker/models/model.h"

namespace vernier::stages {

// A v1::Decoding with its defaults filled in.
struct AnswerOptions {
  models::GenerateOptions generate;  // without stop ids
  std::vector<std::string> stops;
};
// `default_seed` is used when `decoding` has none. InvalidArgument: names the field that is out of range.
absl::StatusOr<AnswerOptions> ReadDecoding(const v1::Decoding& decoding, uint64_t default_seed);

// Ids that end an answer: the model's and the tokenizer's end-of-sequence tokens.
std::vector<int64_t> StopIds(const models::CausalLm& model, const data::Tokenizer& tokenizer);

struct Answer {
  std::string text;        // valid UTF-8, without special tokens and the stop text
  int64_t num_tokens = 0;  // generated, the stop token not counted
  bool stopped = false;    // by a stop token or text; else the length ended it
};

// Called after every token with the text that may be shown now, perhaps none; false ends the answer.
using OnPiece = std::function<bool(absl::string_view piece)>;

// The answer to `prompt`. At most as many tokens as the model's context has room for after the prompt: none
// for a prompt that fills it. Errors: those of models::Generate.
absl::StatusOr<Answer> GenerateAnswer(const models::CausalLm& model, const models::Overlay& overlay,
                                      const data::Tokenizer& tokenizer, absl::Span<const int32_t> prompt,
                                      const AnswerOptions& options, const OnPiece& on_piece);

}  // namespace vernier::stages
