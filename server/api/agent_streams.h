// The streams of agents: what they say goes to Core in order, what Core says goes out in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/api/streams.h"
#include "server/core.h"
#include "server/strand.h"
#include "vernier/v1/agent_service.grpc.pb.h"

namespace vernier::server {

class AgentStream;

// The open streams by number. Thread-compatible: the strand's thread only.
class AgentStreams {
 public:
  void Add(ConnectionId connection, std::shared_ptr<AgentStream> stream) {
    streams_[connection] = std::move(stream);
  }
  void Remove(ConnectionId connection) { streams_.erase(connection); }
  // Effects; a connection that is gone is passed over.
  void Send(ConnectionId connection, v1::ServerMessage message);
  void Close(ConnectionId connection, const absl::Status& reason);
  void EndAll(const absl::Status& status);

 private:
  absl::flat_hash_map<ConnectionId, std::shared_ptr<AgentStream>> streams_;
};

// Thread-safe.
class AgentService final : public v1::AgentService::CallbackService {
 public:
  // Both must outlive the service.
  AgentService(Strand& strand, AgentStreams& streams) : strand_(strand), streams_(streams) {}
  grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage>* Connect(
      grpc::CallbackServerContext* context) override;

 private:
  Strand& strand_;
  AgentStreams& streams_;
  std::atomic<ConnectionId> last_connection_ = 0;
};

}  // namespace vernier::server
