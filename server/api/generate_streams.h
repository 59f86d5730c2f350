// Generate calls in progress: which stream wants which generation's output.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/api/streams.h"
#include "server/core.h"
#include "server/strand.h"
#include "vernier/v1/artifact_service.pb.h"

namespace vernier::server {

using GenerateStream = ServerStream<v1::GenerateResponse>;

// Thread-compatible: the strand's thread only.
class GenerateStreams {
 public:
  // Begins to generate into `stream`, which was launched already; an error ends it. When the client goes
  // away, so does the work. `strand` must outlive the stream.
  void Start(Core& core, absl::Time now, Strand& strand, absl::string_view tenant,
             const v1::GenerateRequest& request, const std::shared_ptr<GenerateStream>& stream);
  // Effects; generations that nobody waits for are passed over.
  void Output(uint64_t generation, v1::GenerateResponse response);
  void Ended(uint64_t generation, const absl::Status& status);
  void EndAll(const absl::Status& status);

 private:
  absl::flat_hash_map<uint64_t, std::shared_ptr<GenerateStream>> streams_;
};

}  // namespace vernier::server
