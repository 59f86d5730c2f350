#include "client/conversation.h"

#include "proto/grpc_status.h"

namespace vernier::client {

Conversation::~Conversation() {
  {
    const MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = true;
  }
  stream_->WritesDone();
  context_->TryCancel();
  stream_->Finish();
}

absl::Status Conversation::Ask(const v1::GenerateRequest& request,
                               const std::function<void(const v1::GenerateResponse&)>& on_piece) {
  {
    v1::ConverseRequest message;
    *message.mutable_ask() = request;
    const MutexLock lock(mutex_);
    if (ended_) return absl::FailedPreconditionError("the conversation is over");
    asking_ = true;
    // Where it fails, the stream is broken, and reading tells why.
    stream_->Write(message);
  }
  v1::GenerateResponse response;
  int left = request.prompts_size();
  while (left > 0 && stream_->Read(&response)) {
    if (response.done()) --left;
    on_piece(response);
  }
  const MutexLock lock(mutex_);
  asking_ = false;
  if (left == 0) return absl::OkStatus();
  ended_ = true;
  stream_->WritesDone();
  const absl::Status status = FromGrpc(stream_->Finish());
  return status.ok() ? absl::UnavailableError("the service ended the conversation") : status;
}

bool Conversation::Interrupt() {
  v1::ConverseRequest message;
  message.mutable_interrupt();
  const MutexLock lock(mutex_);
  if (!asking_ || ended_) return false;
  stream_->Write(message);
  return true;
}

}  // namespace vernier::client
