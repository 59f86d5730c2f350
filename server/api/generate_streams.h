// Generate calls and conversations in progress: which stream wants which generation's output.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/api/streams.h"
#include "server/core.h"
#include "server/strand.h"
#include "vernier/v1/artifact_service.pb.h"

namespace vernier::server {

using GenerateStream = ServerStream<v1::GenerateResponse>;
class ConverseStream;

// Thread-compatible: the strand's thread only.
class GenerateStreams {
 public:
  // Begins to generate into `stream`, which was launched already; an error ends it. When the client goes
  // away, so does the work. `strand` must outlive the stream.
  void Start(Core& core, absl::Time now, Strand& strand, absl::string_view tenant,
             const v1::GenerateRequest& request, const std::shared_ptr<GenerateStream>& stream);
  // A message of a conversation.
  void Take(Core& core, absl::Time now, absl::string_view tenant, const v1::ConverseRequest& request,
            const std::shared_ptr<ConverseStream>& stream);
  // The client has closed its side, or is gone.
  void Leave(Core& core, absl::Time now, ConverseStream& stream);
  // Effects; generations that nobody waits for are passed over.
  void Output(uint64_t generation, v1::GenerateResponse response);
  void Ended(uint64_t generation, const absl::Status& status);
  void EndAll(const absl::Status& status);

 private:
  // A stream of either kind; shares it.
  struct Sink {
    std::function<void(v1::GenerateResponse)> write;
    std::function<void(const absl::Status&)> end;
  };
  absl::flat_hash_map<uint64_t, Sink> sinks_;
};

// One conversation's stream. The next message is read once Core has taken the one before. Thread-safe.
class ConverseStream final
    : public QueuedWrites<grpc::ServerBidiReactor<v1::ConverseRequest, v1::GenerateResponse>,
                          v1::GenerateResponse>,
      public std::enable_shared_from_this<ConverseStream> {
 public:
  // Both must outlive the stream.
  ConverseStream(Strand& strand, GenerateStreams& streams, std::string tenant)
      : strand_(strand), streams_(streams), tenant_(std::move(tenant)) {}
  // Call once, before it is launched.
  void Start();
  void OnReadDone(bool ok) override;

 private:
  friend class GenerateStreams;

  Strand& strand_;
  GenerateStreams& streams_;
  const std::string tenant_;
  v1::ConverseRequest message_;  // touched by reads and the strand in turn
  uint64_t generation_ = 0;      // the strand's; 0 = none yet
};

}  // namespace vernier::server
