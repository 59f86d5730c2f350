// The train task: the loop over a Run's verbs, from the first step (or the resumed checkpoint) to the
// published artifact.
//
// Order    At every state, before the step that follows: validate if due (and remember the parameters if
//          they are the best so far); obey a stop request, with a checkpoint unless nothing was done yet;
//          checkpoint if due, in the background; compute the step. A checkpoint therefore holds the
//          validation of its step; one that a stop interrupts is left to the attempt that resumes.
// Law 3    Stopped at any step or killed at any moment and resumed, the loss sequence and the published
//          bytes equal those of the undisturbed run in the same numeric class.
// Metrics  of each step, numbered by updates done (from 1): train_loss (of the batch, before its update),
//          learning_rate, grad_norm (before clipping), tokens_per_second (real tokens), step_seconds, epoch,
//          tokens; of each validation (from step 0): valid_loss, valid_token_accuracy, valid_perplexity.
// Results  valid_loss, valid_token_accuracy, valid_perplexity of what is published, valid_loss_before (step
//          0), best_step, train_loss (newest), train_seconds (in steps, over all attempts),
//          validation_seconds, tokens_per_second (tokens / train_seconds), steps, epochs, tokens, rows,
//          trained_parameters, serve_difference; where not 0: skipped_steps, recomputed_steps,
//          early_stopped, checkpoint_waits, checkpoint_wait_seconds.
#pragma once

#include "absl/status/status.h"
#include "worker/stages/stage.h"

namespace vernier::stages {

// InvalidArgument: the stage is wrong, or its loss or gradient is not finite (names step and rows);
// ResourceExhausted: memory, or disk for a checkpoint; DataLoss: the checkpoint to resume is damaged; others
// in stage.h and train/*.h.
absl::Status RunTrain(const StageContext& context, trainer::TaskOutcome& outcome);

}  // namespace vernier::stages
