#include "server/api/agent_streams.h"

#include <utility>

namespace vernier::server {

// One agent's stream. It reads ahead of Core by at most kMaxUnread messages, so an agent cannot fill the
// queue.
class AgentStream final
    : public QueuedWrites<grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage>, v1::ServerMessage>,
      public std::enable_shared_from_this<AgentStream> {
 public:
  AgentStream(ConnectionId connection, Strand& strand, AgentStreams& streams)
      : connection_(connection), strand_(strand), streams_(streams) {}

  void Start() {
    OnEnded([this] {
      // Posted after everything the agent said, so Core sees the end last.
      strand_.PostAlways([&streams = streams_, connection = connection_](Core& core, absl::Time now) {
        streams.Remove(connection);
        core.AgentDisconnected(connection, now);
      });
    });
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());  // the agent left, or its connection broke
    if (message_.has_hello() == said_hello_) {
      return End(absl::InvalidArgumentError(said_hello_ ? "an agent says hello once, first on its stream"
                                                        : "an agent's first message is its hello"));
    }
    if (!said_hello_) {
      said_hello_ = true;
      strand_.PostAlways([self = shared_from_this(), hello = message_.hello()](Core& core, absl::Time now) {
        self->streams_.Add(self->connection_, self);
        core.AgentConnected(self->connection_, hello, now);
      });
      return StartRead(&message_);
    }
    const bool full = [this] {
      const MutexLock lock(mutex_);
      paused_ = ++num_unread_ >= kMaxUnread;
      return paused_;
    }();
    v1::AgentMessage message = std::move(message_);
    message_.Clear();
    strand_.PostAgentMessage(connection_, std::move(message), [self = shared_from_this()] { self->Taken(); });
    // While full, Taken starts the next read.
    if (!full) StartRead(&message_);
  }

 private:
  static constexpr int kMaxUnread = 64;

  // Core has taken one message.
  void Taken() {
    {
      const MutexLock lock(mutex_);
      --num_unread_;
      if (!std::exchange(paused_, false)) return;
    }
    if (!Hold()) return;
    StartRead(&message_);
    Release();
  }

  const ConnectionId connection_;
  Strand& strand_;
  AgentStreams& streams_;
  bool said_hello_ = false;   // touched by reads only, one at a time
  v1::AgentMessage message_;  // likewise
  Mutex mutex_;
  int num_unread_ VN_GUARDED_BY(mutex_) = 0;
  bool paused_ VN_GUARDED_BY(mutex_) = false;
};

void AgentStreams::Send(ConnectionId connection, v1::ServerMessage message) {
  if (const auto found = streams_.find(connection); found != streams_.end())
    found->second->Write(std::move(message));
}

void AgentStreams::Close(ConnectionId connection, const absl::Status& reason) {
  if (const auto found = streams_.find(connection); found != streams_.end()) found->second->End(reason);
}

void AgentStreams::EndAll(const absl::Status& status) {
  for (auto& [connection, stream] : streams_) stream->End(status);
}

grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage>* AgentService::Connect(
    grpc::CallbackServerContext*) {
  auto stream = std::make_shared<AgentStream>(++last_connection_, strand_, streams_);
  stream->Start();
  return AgentStream::Launch(std::move(stream));
}

}  // namespace vernier::server
