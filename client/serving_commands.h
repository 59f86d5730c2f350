// The exact commands that serve exported files, for people to paste. Pure. What each server reads and
// refuses: docs/exporting.md.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::client {

struct Exported {
  std::string profile;         // peft | serving | merged | gguf
  bool lora = false;           // of gguf: the adapter alone
  std::string folder;          // where the files are
  std::string base;            // the base model's name in the service
  std::string name;            // that the server shall give the model
  std::string adapter_config;  // adapter_config.json of peft and serving
};

struct ServingCommand {
  std::string server;   // "vLLM", "llama.cpp", "Ollama", "transformers", or "first": what the others need
  std::string command;  // one line of a shell; "" = it cannot be served there
  std::string note;     // why not, or what to know; may be ""
};

// In the order in which to show them.
std::vector<ServingCommand> ServingCommands(const Exported& exported);

// `text` as one word of a shell.
std::string ShellWord(absl::string_view text);

}  // namespace vernier::client
