#include "server/api/admin_service.h"

#include <utility>
#include <vector>

#include "common/log.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "google/protobuf/util/time_util.h"
#include "storage/garbage.h"
#include "storage/usage.h"

namespace vernier::server {
namespace {

constexpr int kGarbageAtOnce = 1'000;
// Of a reply; the total counts all.
constexpr int kMaxListedGarbage = 10'000;

// Deletes what nothing refers to by now. Returns what it deleted.
absl::StatusOr<std::vector<storage::GarbageObject>> DeleteGarbage(ApiContext& api,
                                                                  std::vector<storage::GarbageObject> found) {
  using Objects = absl::StatusOr<std::vector<storage::GarbageObject>>;
  // From here until End, nothing below these keys can be registered.
  VN_ASSIGN_OR_RETURN(std::vector<storage::GarbageObject> garbage,
                      api.strand.Call([&](Core& core, absl::Time) -> Objects {
                        std::erase_if(found, [&](const storage::GarbageObject& g) {
                          return core.IsLive(g.object.key) || api.deletions.Overlap(g.object.key);
                        });
                        for (const storage::GarbageObject& g : found) api.deletions.Begin(g.object.key);
                        return std::move(found);
                      }));
  absl::Status status = absl::OkStatus();
  for (const storage::GarbageObject& g : garbage) {
    if (status.ok()) status = api.store.Delete(g.object.key);
    api.deletions.End(g.object.key);
  }
  VN_RETURN_IF_ERROR(status);
  return garbage;
}

absl::Status Collect(ApiContext& api, const storage::GarbageOptions& options, bool dry_run,
                     v1::CollectGarbageResponse& response) {
  using Prefixes = absl::StatusOr<std::vector<std::string>>;
  VN_ASSIGN_OR_RETURN(
      const std::vector<std::string> prefixes,
      api.strand.Call([](Core& core, absl::Time) -> Prefixes { return core.LivePrefixes(); }));
  const storage::LiveKeys live(prefixes);
  int64_t num_objects = 0;
  std::string after;
  do {
    VN_ASSIGN_OR_RETURN(storage::GarbagePage page, storage::PlanGarbage(api.store, kDefaultTenant, live,
                                                                        options, after, kGarbageAtOnce));
    after = page.next_start_after;
    if (!dry_run) {
      VN_ASSIGN_OR_RETURN(page.objects, DeleteGarbage(api, std::move(page.objects)));
    }
    for (const storage::GarbageObject& garbage : page.objects) {
      ++num_objects;
      response.set_total_bytes(response.total_bytes() + garbage.object.size_bytes);
      if (response.objects_size() >= kMaxListedGarbage) continue;
      v1::GarbageObject& object = *response.add_objects();
      object.set_key(garbage.object.key);
      object.set_size_bytes(garbage.object.size_bytes);
      object.set_reason(garbage.reason);
    }
  } while (!after.empty());
  if (!dry_run && num_objects > 0) {
    VN_LOG(INFO) << "garbage collected objects=" << num_objects
                 << " size=" << HumanBytes(response.total_bytes());
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::GetServerInfo(grpc::CallbackServerContext* context,
                                                      const v1::GetServerInfoRequest* request,
                                                      v1::GetServerInfoResponse* response) {
  return OnStrand(
      api_, context, request, response, [this](Core& core, absl::Time, const auto&, auto& response) {
        response.set_version(std::string(Version()));
        response.set_data_dir(options_.data_dir);
        response.set_store(api_.store.Uri());
        *response.mutable_start_time() =
            google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(options_.start_time));
        response.set_epoch(core.epoch());
        response.set_import_root(options_.import_root);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::ListAgents(grpc::CallbackServerContext* context,
                                                   const v1::ListAgentsRequest* request,
                                                   v1::ListAgentsResponse* response) {
  return OnStrand(api_, context, request, response, [](Core& core, absl::Time, const auto&, auto& response) {
    for (v1::Agent& agent : core.ListAgents()) *response.add_agents() = std::move(agent);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::CollectGarbage(grpc::CallbackServerContext* context,
                                                       const v1::CollectGarbageRequest* request,
                                                       v1::CollectGarbageResponse* response) {
  return OnPool(api_, context, request, response,
                [this](const auto& request, auto& response) -> absl::Status {
                  VN_ASSIGN_OR_RETURN(const std::shared_ptr<void> slot, scans_.Take());
                  const storage::GarbageOptions options{.now = absl::Now(), .grace = options_.garbage_grace};
                  return Collect(api_, options, request.dry_run(), response);
                });
}

grpc::ServerUnaryReactor* AdminService::GetDiskUsage(grpc::CallbackServerContext* context,
                                                     const v1::GetDiskUsageRequest* request,
                                                     v1::GetDiskUsageResponse* response) {
  return OnPool(api_, context, request, response, [this](const auto&, auto& response) -> absl::Status {
    VN_ASSIGN_OR_RETURN(const std::shared_ptr<void> slot, scans_.Take());
    VN_ASSIGN_OR_RETURN(const storage::TenantUsage usage, storage::MeasureUsage(api_.store, kDefaultTenant));
    for (const storage::UsageOfKind& kind : usage.kinds) {
      v1::DiskUsageRow& row = *response.add_rows();
      row.set_kind(std::string(kind.kind));
      row.set_objects(kind.usage.num_objects);
      row.set_size_bytes(kind.usage.size_bytes);
    }
    return absl::OkStatus();
  });
}

}  // namespace vernier::server
