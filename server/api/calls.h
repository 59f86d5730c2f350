// How a service answers unary calls: on the strand, or on the worker pool where it has to block.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "server/api/auth.h"
#include "server/api/deletions.h"
#include "server/api/status.h"
#include "server/core.h"
#include "server/strand.h"
#include "server/worker_pool.h"
#include "storage/object_store.h"

namespace vernier::server {

// Requests that only name things. gRPC itself refuses what is larger than kMaxMessageBytes.
inline constexpr int64_t kMaxNamingBytes = 64 << 10;
// Requests that carry a job, prompts or a chunk.
inline constexpr int64_t kMaxMessageBytes = int64_t{8} << 20;

// What every service works with. All outlive the server.
struct ApiContext {
  Strand& strand;
  WorkerPool& pool;
  storage::ObjectStore& store;
  Deletions& deletions;
  std::string spool_dir;  // for files on their way into the store; emptied at start
  int64_t max_upload_bytes = 0;
  // What is uploaded again and has at most so many bytes is read to see whether it is undamaged; of more only
  // the size is looked at, unless a job failed over it.
  int64_t always_read_bytes = 0;
};

// InvalidArgument: the request is larger than such a call may be.
template <typename Request>
absl::Status CheckSize(const Request& request, int64_t max_bytes) {
  const auto bytes = static_cast<int64_t>(request.ByteSizeLong());
  if (bytes <= max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(request.GetDescriptor()->name(), " has ", HumanBytes(bytes),
                                                 ", more than the limit of ", HumanBytes(max_bytes)));
}

// Answers with `answer(core, now, request, response) -> absl::Status`, run on the strand.
template <typename Request, typename Response, typename F>
grpc::ServerUnaryReactor* OnStrand(ApiContext& api, grpc::CallbackServerContext* context,
                                   const Request* request, Response* response, F answer,
                                   int64_t max_bytes = kMaxNamingBytes) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::Status status = CheckSize(*request, max_bytes);
  if (status.ok()) {
    status = api.strand.Post([=](Core& core, absl::Time now) mutable {
      reactor->Finish(ToGrpcStatus(answer(core, now, *request, *response)));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// Answers with `answer(request, response) -> absl::Status`, run on the worker pool.
template <typename Request, typename Response, typename F>
grpc::ServerUnaryReactor* OnPool(ApiContext& api, grpc::CallbackServerContext* context,
                                 const Request* request, Response* response, F answer) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::Status status = CheckSize(*request, kMaxNamingBytes);
  if (status.ok()) {
    status = api.pool.Post([=]() mutable { reactor->Finish(ToGrpcStatus(answer(*request, *response))); });
  }
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// Moves the value of a StatusOr into `*to`: the usual end of an answer.
template <typename T>
absl::Status Store(absl::StatusOr<T> value, T* to) {
  if (!value.ok()) return value.status();
  *to = *std::move(value);
  return absl::OkStatus();
}

}  // namespace vernier::server
