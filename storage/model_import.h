// Brings a base model into the object store, once, under its content address:
//
//   tenants/<tenant>/models/<digest>/
//     config.json              Hugging Face's
//     model.safetensors        or model-0000i-of-0000n.safetensors + model.safetensors.index.json
//     tokenizer.json
//     tokenizer_config.json    with chat_template and the special tokens
//     generation_config.json, special_tokens_map.json, chat_template.jinja   when the source has them
//     manifest.json            format "vernier.model"; docs/formats/model.md
//
// Sources: a Hugging Face folder, copied as it is; or a GGUF file, whose tensors become F32 under Hugging
// Face's parameter names (llama: q and k rows back in Hugging Face's rotary order; gpt2: Conv1D's [in, out];
// gemma: norms less one). Architectures: model_family.cc's table.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/gguf.h"
#include "storage/object_store.h"

namespace vernier::storage {

inline constexpr absl::string_view kModelFormat = "vernier.model";

struct ImportedModel {
  std::string digest;        // SHA-256 hex over the parts (DigestOfParts)
  std::string architecture;  // Hugging Face's model_type: llama, qwen2, ...
  int64_t num_parameters = 0;
  int64_t size_bytes = 0;      // of all parts
  int64_t context_length = 0;  // tokens
  int64_t vocab_size = 0;      // rows of the embedding
  bool has_chat_template = false;
};

// `fraction` in [0, 1], never falling; `phase` is a few words ("reading", "hashing", "writing").
using ImportProgress = std::function<void(double fraction, absl::string_view phase)>;
// The text of tokenizer.json made from a GGUF file's vocabulary.
using TokenizerFromGguf = std::function<absl::StatusOr<std::string>(const Gguf&)>;


// The tokenizer of a Hugging Face folder; "": there is no such file.
struct TokenizerFiles {
  std::string tokenizer_json;
  std::string tokenizer_model;  // SentencePiece's
  std::string tokenizer_config_json;
  int64_t embedding_rows = 0;
};
// The text of the tokenizer.json to store. Sees one of the first two files at least.
using TokenizerFromFolder = std::function<absl::StatusOr<std::string>(const TokenizerFiles&)>;

struct ImportOptions {
  TokenizerFromGguf tokenizer_from_gguf;  // unset: GGUF files are refused
  // Unset: tokenizer.json is copied unread, and folders without it are refused.
  TokenizerFromFolder tokenizer_from_folder;
  ImportProgress progress;                // may be unset; called from the importing thread
  std::string root;  // when set, files whose real path (links followed) is not below it are refused
};

// Streams: needs memory for one tensor, not for the model. Importing equal content again gives the same
// digest and writes nothing; a GGUF file known by its SHA-256 is not converted again.
// NotFound: no such path, or a file is missing (named).
// InvalidArgument: not a model we can read (what and why).
// PermissionDenied: outside `root`.
// ResourceExhausted: the store is full.
// Unavailable: the source changed meanwhile.
absl::StatusOr<ImportedModel> ImportModel(const std::string& source, ObjectStore& store,
                                          absl::string_view tenant, const ImportOptions& options);

// What ImportModel returned for `digest`, from its manifest. NotFound: not imported.
absl::StatusOr<ImportedModel> ReadModel(ObjectStore& store, absl::string_view tenant,
                                        absl::string_view digest);

// What the object layout.h's ModelSourceKey says of a GGUF file.
struct ModelSource {
  int64_t version = 0;       // of the conversion; 0: the record cannot be read
  std::string model_digest;  // what the file became
};
// NotFound: no such object.
absl::StatusOr<ModelSource> ReadModelSource(ObjectStore& store, absl::string_view key);

// The text of tokenizer_config.json that importing `gguf` writes: chat template and special tokens.
// InvalidArgument: the metadata is unsound.
absl::StatusOr<std::string> TokenizerConfigFromGguf(const Gguf& gguf);

}  // namespace vernier::storage
