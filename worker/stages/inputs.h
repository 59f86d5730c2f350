// What stages read: base models, adapters, tokenizers and prepared rows, from the object store.
//
// Errors  FailedPrecondition: an input is missing or damaged (DataLoss is left to checkpoints, see stage.h);
//         names the object and what to do. Others as their loaders say.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapters/adapter.h"
#include "storage/manifest.h"
#include "storage/object_store.h"
#include "worker/data/prepared_data.h"
#include "worker/data/text/tokenizer.h"
#include "worker/models/model.h"
#include "worker/stages/local_folder.h"

namespace vernier::stages {

// A base model in memory, with the files it came from.
struct BaseModel {
  std::string key;
  storage::Manifest manifest;
  std::string digest;  // content address over its parts
  LocalFolder folder;
  std::unique_ptr<models::CausalLm> model;
};

// The model below `key`: an imported one, or weights that a stage published. Verifies every part first.
absl::StatusOr<BaseModel> LoadBaseModel(storage::ObjectStore& store, absl::string_view key,
                                        at::ScalarType dtype);

// Bytes of the copy that loading it in fp32 makes, from the files' headers alone: tensors in fp32 are used
// where they lie.
absl::StatusOr<int64_t> Fp32CopyBytes(storage::ObjectStore& store, absl::string_view key);

// tokenizer.json and tokenizer_config.json of that model.
absl::StatusOr<std::unique_ptr<data::Tokenizer>> LoadTokenizer(const BaseModel& base);

// An adapter: what a stage published, or an imported PEFT folder (which may have no manifest).
struct Adapter {
  std::unique_ptr<adapters::Tuning> tuning;
  std::string base_digest;  // of the model it was made on; "" = not known
};
absl::StatusOr<Adapter> LoadAdapter(storage::ObjectStore& store, absl::string_view key,
                                    const models::CausalLm& model);

// Keys of the adapters that must be merged into the base before the adapter at `key` means what it meant in
// training, outermost last; empty for one that was trained on the bare base.
absl::StatusOr<std::vector<std::string>> AdaptersBelow(storage::ObjectStore& store, absl::string_view key);

// Adds the adapter at `key` to the weights of `model` for good; call before anything else uses the model.
absl::Status MergeAdapter(storage::ObjectStore& store, absl::string_view key, models::CausalLm& model);

// The adapter at `key` with everything below it merged into `model` first.
absl::StatusOr<Adapter> LoadAdapterStack(storage::ObjectStore& store, absl::string_view key,
                                         models::CausalLm& model);

// Rows of a split that fit `config`. FailedPrecondition: a token outside the vocabulary, a row longer than
// the context.
absl::StatusOr<data::PreparedRows> OpenRows(storage::ObjectStore& store, absl::string_view key,
                                            data::Split split, const models::ModelConfig& config);

}  // namespace vernier::stages
