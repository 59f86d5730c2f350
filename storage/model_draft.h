// A model on its way into the store: what is known of it and its files. Internal to the import.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "storage/model_import.h"
#include "storage/object_store.h"

namespace vernier::storage {

struct ModelFile {
  std::string name;
  int64_t size_bytes = 0;  // for progress
  // Streams the file; may be called again and then gives equal bytes (unless the source changed meanwhile).
  std::function<absl::Status(ByteSink&)> write;
};

struct ModelDraft {
  ImportedModel model;  // without digest and size_bytes
  std::vector<ModelFile> files;
};

// A file made of a text.
inline ModelFile TextFile(std::string name, std::string text) {
  const auto size = static_cast<int64_t>(text.size());
  return {std::move(name), size, [text = std::move(text)](ByteSink& sink) { return sink.Append(text); }};
}

}  // namespace vernier::storage
