// The exact commands that serve exported files, for people to paste. Pure. What each server reads and
// refuses: docs/exporting.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "storage/gguf.h"

namespace vernier::client {

struct Exported {
  std::string profile;         // peft | serving | merged | gguf
  bool lora = false;           // of gguf: the adapter alone
  std::string folder;          // where the files are
  std::string base;            // what `vernier export` calls the base: "models/NAME", "jobs/ID/stages/STAGE"
  std::string name;            // that the server shall give the model
  std::string adapter_config;  // adapter_config.json of peft and serving
  int64_t ignored_window = 0;  // of a model in gguf, as IgnoredWindow has it
};

struct ServingCommand {
  std::string server;   // "vLLM", "llama.cpp", "Ollama", "transformers", or "first": what the others need
  std::string command;  // one line of a shell; "" = it cannot be served there
  std::string note;     // why not, or what to know; may be ""
};

// In the order in which to show them.
std::vector<ServingCommand> ServingCommands(const Exported& exported);

// The window of tokens that the model in `gguf` attends within and llama.cpp does not keep to; 0: none.
int64_t IgnoredWindow(const storage::Gguf& gguf);

// `text` as one word of a shell.
std::string ShellWord(absl::string_view text);

}  // namespace vernier::client
