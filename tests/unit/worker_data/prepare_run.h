// Runs preparations over files in memory with the codec of bytes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "tests/unit/worker_data/fakes.h"
#include "vernier/v1/task.pb.h"
#include "worker/data/prepare_task.h"
#include "worker/data/prepared_data.h"
#include "worker/data/prepared_manifest.h"

namespace vernier::data {

// What a preparation made.
struct Made {
  v1::PreparedData prepared;
  std::string train_bytes, validation_bytes;
  std::vector<int64_t> train_lines, validation_lines;
  PreparedManifest manifest;
  const v1::DataReport& report() const { return prepared.report(); }
};

using SetTask = std::function<void(v1::Task&)>;

// A store with the training files "d0", "d1", ..., a validation file "v" and a model, and a task over them.
class PrepareRun {
 public:
  explicit PrepareRun(const std::vector<std::string>& files, const std::string* validation = nullptr) {
    blobs.objects["m/tokenizer.json"] = "{}";
    v1::PrepareTask& prepare = *task.mutable_prepare();
    task.set_tenant("t1");
    task.set_threads(1);
    prepare.set_model_key("m");
    prepare.mutable_data()->set_max_tokens(1000);
    for (size_t i = 0; i < files.size(); ++i) {
      const std::string key = absl::StrCat("d", i);
      blobs.objects[key] = files[i];
      if (files.size() == 1) {
        prepare.set_dataset_key(key);
      } else {
        prepare.add_mix_dataset_keys(key);
        prepare.mutable_data()->add_mix()->set_source(key);
      }
    }
    if (validation != nullptr) {
      blobs.objects["v"] = *validation;
      prepare.set_validation_dataset_key("v");
    }
  }

  v1::Data& data() { return *task.mutable_prepare()->mutable_data(); }

  absl::StatusOr<Made> Run(const ProgressFn& progress = nullptr, const std::atomic<bool>* stop = nullptr) {
    const CodecFactory factory = [this](const CodecFiles& files,
                                        std::string* text) -> absl::StatusOr<std::unique_ptr<Codec>> {
      *text = files.chat_template_override.value_or("own");
      auto codec = std::make_unique<ByteCodec>();
      codec->num_tokenized = &num_tokenized;
      return codec;
    };
    Made made;
    VN_ASSIGN_OR_RETURN(made.prepared, RunPrepareOn(task, blobs, factory, progress, stop));
    const std::string& key = made.prepared.key();
    VN_ASSIGN_OR_RETURN(made.manifest, ReadManifest(blobs, key));
    VN_ASSIGN_OR_RETURN(const PreparedRows train, PreparedRows::Open(blobs, key, Split::kTrain));
    VN_ASSIGN_OR_RETURN(const PreparedRows validation, PreparedRows::Open(blobs, key, Split::kValidation));
    for (int64_t r = 0; r < train.num_rows(); ++r) made.train_lines.push_back(train.line(r));
    for (int64_t r = 0; r < validation.num_rows(); ++r) made.validation_lines.push_back(validation.line(r));
    made.train_bytes = blobs.objects[absl::StrCat(key, "/", kTrainFile)];
    made.validation_bytes = blobs.objects[absl::StrCat(key, "/", kValidationFile)];
    return made;
  }

  int64_t num_chunks() const {
    int64_t count = 0;
    for (const auto& [key, bytes] : blobs.objects) count += absl::EndsWith(key, ".chunk") ? 1 : 0;
    return count;
  }

  MemoryBlobs blobs;
  v1::Task task;
  std::atomic<int64_t> num_tokenized = 0;
};

// Prepares one training file.
inline absl::StatusOr<Made> Prepare(const std::string& file, const SetTask& set = nullptr,
                                    const std::string* validation = nullptr) {
  PrepareRun run({file}, validation);
  if (set) set(run.task);
  return run.Run();
}

inline std::string TextRow(const std::string& text) { return "{\"text\":\"" + text + "\"}\n"; }

inline std::string ManyTexts(int count) {
  std::string file;
  for (int i = 0; i < count; ++i) file += TextRow(absl::StrCat("row ", i));
  return file;
}

}  // namespace vernier::data
