#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/core_impl.h"
#include "server/jobs/job_machine.h"
#include "storage/layout.h"

namespace vernier::server {

absl::StatusOr<uint64_t> Core::Impl::StartGenerate(absl::string_view tenant,
                                                   const v1::GenerateRequest& request, bool keep,
                                                   absl::Time now) {
  Draft draft = Begin(now);
  VN_ASSIGN_OR_RETURN(v1::GenerateTask task, ResolveGenerate(request, StateCatalog(state, tenant), tenant));
  task.set_keep(keep);
  VN_ASSIGN_OR_RETURN(const uint64_t id, generations.Start(tenant, std::move(task), draft.now()));
  Generation& generation = *generations.Find(id);
  generation.model_name = request.model();
  if (generation.model_name.empty()) {  // the adapter's
    state.models.ForEach(tenant, [&](const v1::Model& model) {
      if (storage::ModelFolder(tenant, model.digest()) == generation.task.model_key())
        generation.model_name = model.name();
    });
  }
  draft.Reschedule();
  if (const absl::Status finished = Finish(draft); !finished.ok()) {
    generations.Erase(id);
    return finished;
  }
  return id;
}

absl::StatusOr<uint64_t> Core::StartGenerate(absl::string_view tenant, const v1::GenerateRequest& request,
                                             absl::Time now) {
  return impl_->StartGenerate(tenant, request, /*keep=*/false, now);
}

absl::StatusOr<uint64_t> Core::StartConversation(absl::string_view tenant, const v1::GenerateRequest& request,
                                                 absl::Time now) {
  return impl_->StartGenerate(tenant, request, /*keep=*/true, now);
}

absl::Status Core::ContinueGenerate(uint64_t id, const v1::GenerateRequest& request, absl::Time now) {
  impl_->Begin(now);  // what lapsed meanwhile ends first
  Generation* const generation = impl_->generations.Find(id);
  if (generation == nullptr || !generation->task.keep()) {
    return absl::NotFoundError("the conversation has ended; begin another one");
  }
  VN_ASSIGN_OR_RETURN(const v1::GenerateTask task, ResolveFurther(request, generation->task));
  if (!generation->idle()) {
    return absl::FailedPreconditionError("an answer is under way; wait until it is done, or interrupt it");
  }
  ++generation->turn;
  generation->interrupted = false;
  generation->open_prompts = task.prompts_size();
  generation->idle_since = absl::InfiniteFuture();
  *generation->task.mutable_decoding() = task.decoding();
  v1::ServerMessage message;
  v1::GenerateMore& more = *message.mutable_generate_more();
  more.set_lease(generation->lease);
  more.set_turn(generation->turn);
  *more.mutable_prompts() = task.prompts();
  *more.mutable_decoding() = task.decoding();
  impl_->SendToAgentOf(*generation, std::move(message));
  return absl::OkStatus();
}

void Core::InterruptGenerate(uint64_t id, absl::Time now) {
  impl_->Begin(now);
  Generation* const generation = impl_->generations.Find(id);
  // Once is enough, however often the caller says it.
  if (generation == nullptr || generation->idle() || generation->interrupted) return;
  generation->interrupted = true;
  // Else it is told once its task begins.
  if (generation->committed) impl_->SendInterrupt(*generation);
}

void Core::Impl::SendInterrupt(const Generation& generation) {
  v1::ServerMessage message;
  message.mutable_generate_more()->set_lease(generation.lease);
  message.mutable_generate_more()->set_turn(generation.turn);
  message.mutable_generate_more()->set_interrupt(true);
  SendToAgentOf(generation, std::move(message));
}

void Core::Impl::SendToAgentOf(const Generation& generation, v1::ServerMessage message) {
  if (const ConnectionId connection = agents.ConnectionOf(generation.agent))
    Send(connection, std::move(message));
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
