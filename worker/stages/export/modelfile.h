// A Modelfile, so that Ollama serves a GGUF file as it was trained. Source: Ollama docs/modelfile.md.
#pragma once

#include <string>

#include "worker/stages/export/hand_over.h"

namespace vernier::stages {

// For model.gguf, or with `lora` for adapter.gguf, with the base exported to base/model.gguf beside it. The
// chat template is written in Ollama's language where it treats every message alike and says so in a few
// conversations; else a comment says that Ollama takes its own for the model.
std::string Modelfile(const HandOver& hand_over, bool lora);

}  // namespace vernier::stages
