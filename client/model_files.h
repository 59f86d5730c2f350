// The tokenizer and chat template of a model, wherever it is: in the service, a Hugging Face folder or a GGUF
// file.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/codec.h"

namespace vernier::client {

struct CodecRequest {
  std::string model;                         // name, digest, folder or .gguf file
  std::optional<std::string> chat_template;  // replaces the model's own
  std::optional<std::string> template_time;  // RFC 3339
  v1::Turns turns = v1::TURNS_UNSPECIFIED;
  v1::Reasoning reasoning = v1::REASONING_UNSPECIFIED;
};

// `connect` is called only when the model is not a local file. NotFound: there is no such model, here or
// there.
absl::StatusOr<std::unique_ptr<data::Codec>> OpenCodec(
    const CodecRequest& request, const std::function<absl::StatusOr<Client*>()>& connect);

}  // namespace vernier::client
