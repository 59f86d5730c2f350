#include "server/api/control_plane.h"

#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "server/metered_store.h"

namespace vernier::server {

ControlPlane::ControlPlane(Options& options, std::unique_ptr<JobStore> jobs,
                           std::unique_ptr<storage::ObjectStore> objects, std::shared_ptr<Metrics> metrics)
    : metrics_(std::move(metrics)),
      jobs_(std::move(jobs)),
      objects_(std::make_unique<MeteredStore>(std::move(objects), *metrics_)),
      pool_(options.workers),
      edge_(*objects_, deletions_, sweeper_, *metrics_) {}

absl::StatusOr<std::unique_ptr<ControlPlane>> ControlPlane::Start(
    Options options, std::unique_ptr<JobStore> jobs, std::unique_ptr<storage::ObjectStore> objects,
    std::shared_ptr<Metrics> metrics, Clock& clock) {
  std::unique_ptr<ControlPlane> plane(
      new ControlPlane(options, std::move(jobs), std::move(objects), std::move(metrics)));
  ControlPlane& p = *plane;
  options.core.store_uri = p.objects_->Uri();
  VN_ASSIGN_OR_RETURN(std::unique_ptr<Core> core, Core::Create(options.core, *p.jobs_, clock.Now()));

  Strand::Options strand;
  strand.execute = [&p](Strand& strand, Core& core, Effect& effect) {
    p.edge_.Execute(strand, core, effect);
  };
  strand.after_batch = [&p](Core& core) {
    const absl::Status status = core.store_status();
    if (std::exchange(p.healthy_, status.ok()) == status.ok()) return;
    if (status.ok()) {
      VN_LOG(INFO) << "job store works again";
    } else {
      VN_LOG(ERROR) << "job store failed error=" << status;
    }
    if (p.health_server_ != nullptr) p.health_server_->SetHealthy(status.ok());
  };
  p.strand_ = std::make_unique<Strand>(std::move(strand), std::move(core), clock);
  p.api_ = std::make_unique<ApiContext>(ApiContext{.strand = *p.strand_,
                                                   .pool = p.pool_,
                                                   .store = *p.objects_,
                                                   .deletions = p.deletions_,
                                                   .spool_dir = options.spool_dir,
                                                   .max_upload_bytes = options.max_upload_bytes,
                                                   .always_read_bytes = options.always_read_bytes});
  p.metrics_->SetStats([strand = p.strand_.get()]() -> std::optional<Core::Stats> {
    const absl::StatusOr<Core::Stats> stats =
        strand->Call([](Core& core, absl::Time) -> absl::StatusOr<Core::Stats> { return core.stats(); });
    return stats.ok() ? std::optional(*stats) : std::nullopt;
  });
  VN_ASSIGN_OR_RETURN(p.server_, GrpcServer::Start(std::move(options.grpc), *p.api_, p.edge_, *p.metrics_));
  p.strand_->PostAlways([&p](Core&, absl::Time) {
    p.health_server_ = p.server_.get();
    p.health_server_->SetHealthy(p.healthy_);
  });
  return plane;
}

ControlPlane::~ControlPlane() { Stop(absl::ZeroDuration()); }

bool ControlPlane::Stop(absl::Duration grace) {
  if (server_ != nullptr) server_->Stop(absl::Now() + grace);
  const absl::Time deadline = absl::Now() + grace;
  const bool swept = sweeper_.StopBy(deadline);
  const bool idle = pool_.StopBy(deadline) && swept;
  if (strand_ != nullptr) strand_->Stop();
  return idle;
}

}  // namespace vernier::server
