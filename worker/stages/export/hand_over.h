// What a server needs beside the weights: tokenizer, chat template, the tokens that end an answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/text/tokenizer.h"
#include "worker/stages/inputs.h"

namespace vernier::stages {

struct HandOver {
  std::unique_ptr<data::Tokenizer> tokenizer;
  std::string tokenizer_json, tokenizer_config_json;
  std::string chat_template;      // "" = none
  std::vector<int64_t> stop_ids;  // the model's, the tokenizer's, and the one that ends the template's turns
  std::vector<std::string> stop_texts;  // of the same
  std::string generation_config;        // generation_config.json with them
  // Files of the model's folder that hold no weights, changed where the two above differ from the base's.
  std::vector<std::pair<std::string, std::string>> files;
};

// Of a loaded model. `chat_template`: replaces the model's own where it is not "". FailedPrecondition: a file
// of the model is missing or unsound.
absl::StatusOr<HandOver> ReadHandOver(const BaseModel& base, const std::string& chat_template);

// The token that ends an assistant's turn as the template renders it; -1: the template shows none.
int64_t EndOfTurn(const HandOver& hand_over);

}  // namespace vernier::stages
