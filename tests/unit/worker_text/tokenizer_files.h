// A byte-level tokenizer.json to change and to break.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "worker/data/text/byte_level.h"

namespace vernier::data {

// A token for each byte (id = byte), " t", "he" and " the" on top (256, 257, 258), GPT-2's split, no added
// tokens.
inline nlohmann::json SmallTokenizer() {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocabulary[SymbolsOfBytes(std::string(1, static_cast<char>(byte)))] = byte;
  vocabulary["Ġt"] = 256;
  vocabulary["he"] = 257;
  vocabulary["Ġthe"] = 258;
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"Ġ t", "h e", "Ġt he"}}}}};
}

inline nlohmann::json AddedTokenJson(int id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

}  // namespace vernier::data
