// The generate task: answers to rendered prompts, streamed piece by piece as GeneratedText events.
#pragma once

#include "absl/status/status.h"
#include "worker/stages/stage.h"

namespace vernier::stages {

// One event per piece of text (whole characters, the stop text left out) and one at the end of each prompt
// with `done`, the reason ("stop": a stop token or text, "length") and the number of tokens. Prompts are
// tokenised as they are, special tokens parsed, none added. Each prompt draws its own random numbers from
// (seed, its index). A stop request ends the running answer and the task (`stopped`); nothing is kept.
// InvalidArgument: a prompt is empty, too long for the model or not UTF-8 (named by index); a decoding
// setting out of range.
absl::Status RunGenerate(const StageContext& context, trainer::TaskOutcome& outcome);

}  // namespace vernier::stages
