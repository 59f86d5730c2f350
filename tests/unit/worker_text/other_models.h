// Small tokenizer.json files that are not byte-level, to change and to break.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace vernier::data {

inline nlohmann::json Metaspace(const std::string& scheme, bool split) {
  return {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", split}};
}

inline nlohmann::json SpaceDecoder() {
  return {{"type", "Sequence"},
          {"decoders",
           {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
            {{"type", "ByteFallback"}},
            {{"type", "Fuse"}},
            {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
}

// Characters "▁abc" (1..4), "ab" (5), "▁ab" (6), "aa" (7), "aaaa" (8); bytes 9..264.
inline nlohmann::json SmallPieces() {
  nlohmann::json vocabulary = {{"<unk>", 0}, {"\u2581", 1},   {"a", 2},  {"b", 3},   {"c", 4},
                               {"ab", 5},    {"\u2581ab", 6}, {"aa", 7}, {"aaaa", 8}};
  const std::string digits = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[absl::StrCat("<0x", digits.substr(static_cast<size_t>(byte) / 16, 1),
                            digits.substr(static_cast<size_t>(byte) % 16, 1), ">")] = 9 + byte;
  }
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", Metaspace("first", false)},
          {"post_processor", nullptr},
          {"decoder", SpaceDecoder()},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocabulary},
            {"merges", {"a b", "\u2581 ab", "a a", "aa aa"}}}}};
}

inline nlohmann::json Scores(const std::vector<std::pair<std::string, double>>& pieces) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [piece, score] : pieces) list.push_back(nlohmann::json::array({piece, score}));
  return list;
}

inline nlohmann::json SmallUnigram() {
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Fuse"}}},
          {"model",
           {{"type", "Unigram"},
            {"unk_id", 0},
            {"vocab", Scores({{"<unk>", 0.0},
                              {"a", -1.0},
                              {"b", -1.0},
                              {"ab", -1.5},
                              {"aba", -3.5},
                              {"c", -20.0},
                              {"aa", -2.0}})}}}};
}

inline nlohmann::json SmallWordPiece() {
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", {{"type", "BertNormalizer"}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
          {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 8},
            {"vocab",
             {{"[PAD]", 0},
              {"[UNK]", 1},
              {"[CLS]", 2},
              {"[SEP]", 3},
              {"play", 4},
              {"##ing", 5},
              {"##in", 6},
              {",", 7},
              {"cafe", 8},
              {"p", 9}}}}}};
}

}  // namespace vernier::data
