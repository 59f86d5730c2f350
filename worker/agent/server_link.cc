#include "worker/agent/server_link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/log.h"
#include "proto/grpc_status.h"

namespace vernier::agent {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

}  // namespace

ServerLink::ServerLink(Options options, Callbacks callbacks)
    : options_(std::move(options)), callbacks_(std::move(callbacks)), thread_([this] { Run(); }) {}

ServerLink::~ServerLink() {
  {
    const MutexLock lock(mutex_);
    quitting_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  changed_.NotifyAll();
}

void ServerLink::Send(int64_t stream, v1::AgentMessage message) {
  {
    const MutexLock lock(mutex_);
    if (!stream_open_ || stream != stream_) return;
    queue_.push_back(std::move(message));
  }
  changed_.NotifyAll();
}

void ServerLink::Reconnect() {
  const MutexLock lock(mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

bool ServerLink::WaitBeforeDial(absl::Duration delay) {
  const absl::Time deadline = absl::Now() + delay;
  const MutexLock lock(mutex_);
  while (!quitting_ && absl::Now() < deadline) changed_.WaitUntil(mutex_, deadline);
  return !quitting_;
}

void ServerLink::Run() {
  absl::Duration delay = absl::ZeroDuration();
  std::string last_error;
  while (WaitBeforeDial(delay)) {
    const absl::Time start = absl::Now();
    const absl::Status status = RunStream();
    if (absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status))
      return callbacks_.refused(status);
    // On change, not per try: a server that is down for an hour is one line.
    if (const std::string error = status.ToString(); error != last_error) {
      last_error = error;
      VN_LOG(WARNING) << "server stream ended address=" << options_.address << " status=\"" << error << "\"";
    }
    // A stream that lived resets the back-off. Fast first tries: a restarted server is back within a second.
    delay = absl::Now() - start > absl::Seconds(5)
                ? absl::Milliseconds(50)
                : std::clamp(delay * 2, absl::Milliseconds(50), absl::Seconds(2));
  }
}

absl::Status ServerLink::RunStream() {
  const auto token = ReadFile(options_.token_file, 4096);
  if (!token.ok()) return token.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // This loop does the back-off; a shared, backed-off channel of gRPC's would delay it.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto channel =
      grpc::CreateCustomChannel(options_.address, grpc::InsecureChannelCredentials(), arguments);
  grpc::ClientContext context;
  context.AddMetadata("authorization", absl::StrCat("Bearer ", absl::StripAsciiWhitespace(*token)));
  int64_t number = 0;
  {
    const MutexLock lock(mutex_);
    if (quitting_) return absl::CancelledError("shutting down");
    number = ++stream_;
    context_ = &context;
    queue_.clear();
    stream_open_ = true;
  }
  const auto stub = v1::AgentService::NewStub(channel);
  const std::unique_ptr<Stream> stream = stub->Connect(&context);
  callbacks_.connected(number);
  std::jthread writer([&] { WriteQueued(*stream); });
  v1::ServerMessage message;
  while (stream->Read(&message)) callbacks_.message(std::move(message));
  {
    const MutexLock lock(mutex_);
    stream_open_ = false;
    context_ = nullptr;
  }
  changed_.NotifyAll();
  writer.join();
  const absl::Status status = FromGrpc(stream->Finish());
  callbacks_.disconnected(status);
  return status;
}

void ServerLink::WriteQueued(Stream& stream) {
  while (true) {
    v1::AgentMessage message;
    {
      const MutexLock lock(mutex_);
      while (stream_open_ && queue_.empty()) changed_.Wait(mutex_);
      if (!stream_open_) return;
      message = std::move(queue_.front());
      queue_.pop_front();
    }
    if (!stream.Write(message)) return;  // broken: the reader finds out why
  }
}

}  // namespace vernier::agent
