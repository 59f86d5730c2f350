// What was written, as a string.
#pragma once

#include <string>

#include "storage/object_store.h"

namespace vernier {

struct StringSink final : storage::ByteSink {
  absl::Status Append(absl::string_view bytes) override {
    text.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  std::string text;
};

}  // namespace vernier
