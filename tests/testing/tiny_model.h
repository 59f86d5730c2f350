// A model and data small enough to train in milliseconds, real in every other way: written by the writers of
// production, read by its readers.
//
// The model     llama, 2 layers of width 32 (4 heads, 2 of keys and values), context 128, vocabulary 258,
//               tied head, random fp32 weights drawn from a seed. About 27,000 parameters.
// The tokens    byte-level BPE without merges: token b is byte b; 256 is "<|end|>" (end of sequence), 257 is
//               "<|start|>".
// The template  renders every message as <|start|>ROLE\nCONTENT<|end|>\n.
// The data      rows "17 is " -> "one seven"; easy to learn, different in length.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/object_store.h"

namespace vernier::tiny {

inline constexpr int64_t kVocabulary = 258;
inline constexpr int32_t kEnd = 256;
inline constexpr int64_t kContext = 128;

// A Hugging Face folder: config.json, model.safetensors, tokenizer.json, tokenizer_config.json.
absl::Status WriteModelFolder(const std::string& folder, uint64_t seed = 1);

// The same, imported into `store`; returns its key, "tenants/TENANT/models/DIGEST".
absl::StatusOr<std::string> ImportModel(storage::ObjectStore& store, const std::string& tenant = "default",
                                        uint64_t seed = 1);

// A prompt and the answer that follows it.
struct Row {
  std::string prompt;
  std::string answer;
  float weight = 1.0f;  // of the answer's tokens as targets
};

// `count` rows: "17 is " -> "one seven", beginning with number `first`.
std::vector<Row> MakeRows(int count, int first = 0);

// The rows as one JSON object a line, in the messages format, for uploading.
std::string RowsAsJsonl(const std::vector<Row>& rows);

// Writes prepared data below `prefix` (docs/formats/prepared.md): the tokens of prompt, answer and "<|end|>";
// those after the prompt are trained. Row i is line i + 1.
absl::Status WritePrepared(storage::ObjectStore& store, const std::string& prefix,
                           const std::vector<Row>& train, const std::vector<Row>& validation);

}  // namespace vernier::tiny
