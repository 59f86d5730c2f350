// A model whose tokenizer has a token a byte and the markers of ChatML.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "worker/data/codec.h"
#include "worker/data/encode_row.h"

namespace vernier::data {

// A byte-level BPE without merges: a token a byte, and the two markers.
inline std::string TokenizerJson() {
  Json vocab = Json::object();
  int id = 0;
  int shifted = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = plain ? byte : shifted++;
    std::string character;
    if (code < 0x80) {
      character = std::string(1, static_cast<char>(code));
    } else {
      character = {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
    }
    vocab[character] = id++;
  }
  Json added = Json::array();
  for (const char* token : {"<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return Json({{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", added},
               {"normalizer", nullptr},
               {"pre_tokenizer",
                {{"type", "ByteLevel"},
                 {"add_prefix_space", false},
                 {"trim_offsets", true},
                 {"use_regex", true}}},
               {"post_processor", nullptr},
               {"decoder",
                {{"type", "ByteLevel"},
                 {"add_prefix_space", true},
                 {"trim_offsets", true},
                 {"use_regex", true}}},
               {"model",
                {{"type", "BPE"},
                 {"dropout", nullptr},
                 {"unk_token", nullptr},
                 {"continuing_subword_prefix", nullptr},
                 {"end_of_word_suffix", nullptr},
                 {"fuse_unk", false},
                 {"byte_fallback", false},
                 {"ignore_merges", false},
                 {"vocab", vocab},
                 {"merges", Json::array()}}}})
      .dump();
}

inline CodecFiles Files(const char* chat_template) {
  CodecFiles files;
  files.tokenizer_json = TokenizerJson();
  Json config = {{"eos_token", "<|im_end|>"}};
  if (chat_template != nullptr) config["chat_template"] = chat_template;
  files.tokenizer_config_json = config.dump();
  return files;
}

inline std::unique_ptr<ModelCodec> Create(const CodecFiles& files) {
  auto codec = CreateCodec(files, nullptr);
  EXPECT_TRUE(codec.ok()) << codec.status();
  return *std::move(codec);
}

inline Row ParseOk(const std::string& line) {
  auto row = ParseRow(line);
  EXPECT_TRUE(row.ok()) << row.status();
  return *std::move(row);
}

// The trained tokens' text, "^" before each run.
inline std::string Trained(const Codec& codec, Row row, const EncodeOptions& options) {
  const absl::Status dropped = codec.DropReasoning(row);
  if (!dropped.ok()) return std::string(dropped.message());
  const auto laid = LayOutRow(row, options, codec);
  if (!laid.ok()) return std::string(laid.status().message());
  const auto encoded = EncodeRow(*laid, codec);
  if (!encoded.ok()) return std::string(encoded.status().message());
  const auto tokens = codec.Tokenize(laid->text);
  std::string shown;
  bool inside = false;
  for (size_t t = 0; t < tokens->ids.size(); ++t) {
    const bool trained = encoded->weights[t] > 0;
    if (trained && !inside) shown += "^";
    inside = trained;
    if (!trained) continue;
    const size_t end = t + 1 < tokens->begins.size() ? tokens->begins[t + 1] : laid->text.size();
    absl::StrAppend(&shown, laid->text.substr(tokens->begins[t], end - tokens->begins[t]));
  }
  return shown;
}

}  // namespace vernier::data
