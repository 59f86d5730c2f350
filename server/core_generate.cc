#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/core_impl.h"
#include "server/jobs/job_machine.h"

namespace vernier::server {

absl::StatusOr<uint64_t> Core::StartGenerate(absl::string_view tenant, const v1::GenerateRequest& request,
                                             absl::Time now) {
  Draft draft = impl_->Begin(now);
  VN_ASSIGN_OR_RETURN(v1::GenerateTask task,
                      ResolveGenerate(request, StateCatalog(impl_->state, tenant), tenant));
  VN_ASSIGN_OR_RETURN(const uint64_t id, impl_->generations.Start(tenant, std::move(task), draft.now()));
  draft.Reschedule();
  if (const absl::Status finished = impl_->Finish(draft); !finished.ok()) {
    impl_->generations.Erase(id);
    return finished;
  }
  return id;
}

void Core::CancelGenerate(uint64_t id, absl::Time now) {
  Draft draft = impl_->Begin(now);
  Generation* generation = impl_->generations.Find(id);
  if (generation == nullptr) return;
  impl_->EndGeneration(*generation, absl::CancelledError("the caller went away"));
  // Nobody listens any more.
  std::erase_if(impl_->effects, [&](const Effect& effect) {
    const auto* output = std::get_if<GenerateOutput>(&effect);
    const auto* ended = std::get_if<GenerateEnded>(&effect);
    return (output != nullptr && output->generation == id) || (ended != nullptr && ended->generation == id);
  });
  draft.Reschedule();
  // After an error the next transaction schedules.
  impl_->Finish(draft).IgnoreError();
}

void Core::Impl::EndGeneration(Generation& generation, const absl::Status& status) {
  if (!generation.lease.empty()) {
    leases_.Release(generation.lease);
    if (const ConnectionId connection = agents.ConnectionOf(generation.agent)) {
      Send(connection, CancelMessage(generation.lease, status.message()));
    }
  }
  VN_LOG(INFO) << "generation ended id=" << generation.id << " status=" << status;
  effects.push_back(GenerateEnded{generation.id, status});
  generations.Erase(generation.id);
}

}  // namespace vernier::server
