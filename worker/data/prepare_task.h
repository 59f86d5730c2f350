// The steps of RunPrepare that tests call on their own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "vernier/v1/task.pb.h"
#include "worker/data/codec.h"
#include "worker/data/prepare.h"
#include "worker/data/prepare_options.h"
#include "worker/data/store_io.h"

namespace vernier::data {

// Defaults filled in and ranges checked. InvalidArgument names the field.
absl::StatusOr<PrepareOptions> OptionsOf(const v1::Task& task);

using CodecFactory = std::function<absl::StatusOr<std::unique_ptr<Codec>>(const CodecFiles&, std::string*)>;

// RunPrepare over Blobs, with the codec made by `create_codec` (CreateCodec in production).
absl::StatusOr<v1::PreparedData> RunPrepareOn(const v1::Task& task, Blobs& blobs,
                                              const CodecFactory& create_codec, const ProgressFn& progress,
                                              const std::atomic<bool>* stop);

}  // namespace vernier::data
