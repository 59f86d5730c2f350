// A conversation with the service: one loaded model, many requests (ArtifactService.Converse).
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "vernier/v1/artifact_service.grpc.pb.h"

namespace vernier::client {

// Made by Client::Converse. One thread asks; Interrupt may come from any.
class Conversation {
 public:
  using Stream = grpc::ClientReaderWriter<v1::ConverseRequest, v1::GenerateResponse>;

  Conversation(std::unique_ptr<grpc::ClientContext> context, std::unique_ptr<Stream> stream)
      : context_(std::move(context)), stream_(std::move(stream)) {}
  // Leaves: the service unloads the model.
  ~Conversation();

  // Until every prompt of `request` is answered. The first request names the model or adapter, later ones do
  // not. After an error the conversation is over: Unavailable, it may be begun anew.
  absl::Status Ask(const v1::GenerateRequest& request,
                   const std::function<void(const v1::GenerateResponse&)>& on_piece) VN_EXCLUDES(mutex_);
  // Ends the answers under way. False: there is none.
  bool Interrupt() VN_EXCLUDES(mutex_);

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<Stream> stream_;
  Mutex mutex_;  // one write at a time
  bool asking_ VN_GUARDED_BY(mutex_) = false;
  bool ended_ VN_GUARDED_BY(mutex_) = false;  // the stream is finished
};

}  // namespace vernier::client
