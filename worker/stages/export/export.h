// The export task: writes what was trained in the forms that servers read, one artifact a profile
// (docs/exporting.md):
//   peft     adapter_config.json, adapter_model.safetensors: the adapter as it was trained
//   serving  the same two files at one rank, alpha = rank
//   merged   a Hugging Face folder: weights in the base's types, tokenizer, template, stop tokens
//   gguf     model.gguf, or adapter.gguf with gguf.lora, and a Modelfile for Ollama
#pragma once

#include "absl/status/status.h"
#include "worker/stages/stage.h"

namespace vernier::stages {

// Profiles in the order of the stage, those of task.done left out. Each is read back by the loader that its
// readers' files need, run on a few rows and compared with the trainer's computation; then it is published.
// Results: <profile>_difference (relative, of logits), seconds. A stop request ends the task (`stopped`); the
// next attempt makes what is missing. Internal: a profile computes something else than the trainer beyond its
// tolerance, with both numbers; nothing of it is published. FailedPrecondition: an input is missing; the
// adapter was made on another base. InvalidArgument: what a profile cannot hold, named.
absl::Status RunExport(const StageContext& context, trainer::TaskOutcome& outcome);

}  // namespace vernier::stages
