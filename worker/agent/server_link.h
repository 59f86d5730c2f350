// The agent's stream to vernierd: dials, authenticates, reads and writes, and dials again with back-off when
// it breaks.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "vernier/v1/agent_service.grpc.pb.h"

namespace vernier::agent {

// Thread-safe. Callbacks come from the link's own threads, one at a time per stream: connected, messages,
// disconnected.
class ServerLink {
 public:
  struct Options {
    std::string address;     // host:port
    std::string token_file;  // read at every dial, so that a rotated token is picked up
  };
  struct Callbacks {
    std::function<void(int64_t stream)> connected;  // `stream` counts from 1
    std::function<void(v1::ServerMessage)> message;
    std::function<void(absl::Status)> disconnected;
    // The server said not to come back like this (another agent took this id, the hello makes no sense): the
    // link dials no more. The last call.
    std::function<void(absl::Status)> refused;
  };

  // Starts dialling at once.
  ServerLink(Options options, Callbacks callbacks);
  // Breaks the stream and joins the threads.
  ~ServerLink();

  // Queues a message for the stream of that number; dropped when it is gone (what matters is sent again on
  // the next).
  void Send(int64_t stream, v1::AgentMessage message) VN_EXCLUDES(mutex_);
  // Breaks the stream that is up; the link dials again.
  void Reconnect() VN_EXCLUDES(mutex_);

 private:
  using Stream = grpc::ClientReaderWriter<v1::AgentMessage, v1::ServerMessage>;
  void Run();
  absl::Status RunStream();
  void WriteQueued(Stream& stream) VN_EXCLUDES(mutex_);
  bool WaitBeforeDial(absl::Duration delay) VN_EXCLUDES(mutex_);

  const Options options_;
  const Callbacks callbacks_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<v1::AgentMessage> queue_ VN_GUARDED_BY(mutex_);
  grpc::ClientContext* context_ VN_GUARDED_BY(mutex_) = nullptr;  // of the stream that is up
  int64_t stream_ VN_GUARDED_BY(mutex_) = 0;                      // number of the newest
  bool stream_open_ VN_GUARDED_BY(mutex_) = false;
  bool quitting_ VN_GUARDED_BY(mutex_) = false;
  std::jthread thread_;  // last: starts when everything else is there
};

}  // namespace vernier::agent
