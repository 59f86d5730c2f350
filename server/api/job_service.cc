#include "server/api/job_service.h"

#include <memory>
#include <utility>

namespace vernier::server {

grpc::ServerUnaryReactor* JobService::CreateJob(grpc::CallbackServerContext* context,
                                                const v1::CreateJobRequest* request,
                                                v1::CreateJobResponse* response) {
  return OnStrand(
      api_, context, request, response,
      [](Core& core, absl::Time now, const auto& request, auto& response) -> absl::Status {
        if (request.request_id().size() > 64) {
          return absl::InvalidArgumentError(
              "request_id is longer than 64 bytes; a random id of 32 is plenty");
        }
        return Store(core.CreateJob(kDefaultTenant, request.spec(), request.request_id(), now),
                     response.mutable_job());
      },
      kMaxMessageBytes);
}

grpc::ServerUnaryReactor* JobService::GetJob(grpc::CallbackServerContext* context,
                                             const v1::GetJobRequest* request, v1::GetJobResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) {
                    return Store(core.GetJob(kDefaultTenant, request.name()), response.mutable_job());
                  });
}

grpc::ServerUnaryReactor* JobService::ListJobs(grpc::CallbackServerContext* context,
                                               const v1::ListJobsRequest* request,
                                               v1::ListJobsResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) {
                    return Store(core.ListJobs(kDefaultTenant, request), &response);
                  });
}

grpc::ServerUnaryReactor* JobService::CancelJob(grpc::CallbackServerContext* context,
                                                const v1::CancelJobRequest* request,
                                                v1::CancelJobResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time now, const auto& request, auto& response) {
                    return Store(core.CancelJob(kDefaultTenant, request.name(), now), response.mutable_job());
                  });
}

grpc::ServerUnaryReactor* JobService::PauseJob(grpc::CallbackServerContext* context,
                                               const v1::PauseJobRequest* request,
                                               v1::PauseJobResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time now, const auto& request, auto& response) {
                    return Store(core.PauseJob(kDefaultTenant, request.name(), now), response.mutable_job());
                  });
}

grpc::ServerUnaryReactor* JobService::ResumeJob(grpc::CallbackServerContext* context,
                                                const v1::ResumeJobRequest* request,
                                                v1::ResumeJobResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time now, const auto& request, auto& response) {
                    return Store(core.ResumeJob(kDefaultTenant, request.name(), now), response.mutable_job());
                  });
}

grpc::ServerUnaryReactor* JobService::ValidateJob(grpc::CallbackServerContext* context,
                                                  const v1::ValidateJobRequest* request,
                                                  v1::ValidateJobResponse* response) {
  return OnStrand(
      api_, context, request, response,
      [](Core& core, absl::Time now, const auto& request, auto& response) {
        return Store(core.ValidateJob(kDefaultTenant, request.spec(), now), response.mutable_effective());
      },
      kMaxMessageBytes);
}

grpc::ServerUnaryReactor* JobService::PlanJob(grpc::CallbackServerContext* context,
                                              const v1::PlanJobRequest* request,
                                              v1::PlanJobResponse* response) {
  return OnStrand(
      api_, context, request, response,
      [](Core& core, absl::Time now, const auto& request, auto& response) {
        return Store(core.PlanJob(kDefaultTenant, request, now), &response);
      },
      kMaxMessageBytes);
}

grpc::ServerUnaryReactor* JobService::DeleteJob(grpc::CallbackServerContext* context,
                                                const v1::DeleteJobRequest* request,
                                                v1::DeleteJobResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time now, const auto& request, auto&) {
                    return core.DeleteJob(kDefaultTenant, request.name(), now);
                  });
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* JobService::WatchJob(grpc::CallbackServerContext*,
                                                                     const v1::WatchJobRequest* request) {
  auto stream = std::make_shared<WatchStream>();
  absl::Status status = CheckSize(*request, kMaxNamingBytes);
  if (status.ok()) {
    status = api_.strand.Post([this, stream, request = *request](Core& core, absl::Time) {
      streams_.Watch(core, api_.strand, kDefaultTenant, request, stream);
    });
  }
  if (!status.ok()) stream->End(status);
  return WatchStream::Launch(std::move(stream));
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* JobService::StreamMetrics(
    grpc::CallbackServerContext*, const v1::StreamMetricsRequest* request) {
  auto stream = std::make_shared<MetricStream>();
  absl::Status status = CheckSize(*request, kMaxNamingBytes);
  if (status.ok()) {
    status = api_.strand.Post([this, stream, request = *request](Core& core, absl::Time) {
      streams_.Follow(core, api_.strand, kDefaultTenant, request, stream);
    });
  }
  if (!status.ok()) stream->End(status);
  return MetricStream::Launch(std::move(stream));
}

}  // namespace vernier::server
