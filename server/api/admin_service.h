#pragma once

#include <string>

#include "absl/time/time.h"
#include "server/api/calls.h"
#include "server/api/slots.h"
#include "vernier/v1/admin_service.grpc.pb.h"

namespace vernier::server {

// vernier.v1.AdminService. Thread-safe.
class AdminService final : public v1::AdminService::CallbackService {
 public:
  struct Options {
    std::string data_dir;
    std::string import_root;  // as shown; "" = none
    absl::Time start_time;
    // Objects younger than this are never garbage: something may be about to refer to them.
    absl::Duration garbage_grace = absl::Hours(24);
  };
  // `api` must outlive the service.
  AdminService(ApiContext& api, Options options) : api_(api), options_(std::move(options)) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;
  grpc::ServerUnaryReactor* ListAgents(grpc::CallbackServerContext* context,
                                       const v1::ListAgentsRequest* request,
                                       v1::ListAgentsResponse* response) override;
  grpc::ServerUnaryReactor* CollectGarbage(grpc::CallbackServerContext* context,
                                           const v1::CollectGarbageRequest* request,
                                           v1::CollectGarbageResponse* response) override;
  grpc::ServerUnaryReactor* GetDiskUsage(grpc::CallbackServerContext* context,
                                         const v1::GetDiskUsageRequest* request,
                                         v1::GetDiskUsageResponse* response) override;

 private:
  ApiContext& api_;
  const Options options_;
  Slots scans_{"scans of the object store", 1};
};

}  // namespace vernier::server
