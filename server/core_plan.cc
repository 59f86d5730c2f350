// What stages will need (worker/plan): told before a job is queued, and held against the devices before a
// stage is leased.
#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "proto/canonical_bytes.h"
#include "server/core_impl.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/tasks.h"
#include "server/validate/validate.h"
#include "worker/plan/batches.h"
#include "worker/plan/memory.h"
#include "worker/plan/stage_plan.h"
#include "worker/plan/work.h"

namespace vernier::server {
namespace {

// Jobs that are looked at for a measurement or for rows prepared before, newest first.
constexpr int kMaxJobsBack = 1000;
// Fewer steps, or less time, tell little: the first steps are slow.
constexpr int64_t kFewestSteps = 3;
constexpr double kShortestSeconds = 1.0;

plan::StageFacts FactsOf(const JobRecord& record, int index) {
  const StageRecord& stage = record.stages(index);
  plan::StageFacts facts;
  facts.shape = stage.shape();
  facts.stage = record.job().spec().stages(index).train();
  facts.seed = record.job().spec().seed();
  if (stage.has_prepared()) facts.report = &stage.prepared().report();
  return facts;
}

std::vector<plan::Device> DevicesOf(const AgentTable& agents) {
  std::vector<plan::Device> devices;
  for (const v1::Agent& agent : agents.List()) {
    if (!agent.connected()) continue;
    for (const v1::Device& device : agent.devices()) {
      devices.push_back({.agent = agent.id(),
                         .host = agent.host(),
                         .id = device.id(),
                         .memory_bytes = device.memory_bytes(),
                         .bf16 = device.bf16(),
                         .threads = device.threads()});
    }
  }
  return devices;
}

// Operations a token of the stage took: of a step's, by the plan's own count.
double FlopsPerToken(const JobRecord& record, int index) {
  const plan::StageFacts facts = FactsOf(record, index);
  const auto batches = plan::BatchesOf(facts.report, 0, facts.stage, facts.seed);
  if (!batches.ok() || batches->tokens == 0) return 0;
  return plan::TrainingFlops(facts.shape, facts.stage, *batches, facts.stage.checkpointed_layers()) /
         static_cast<double>(batches->tokens);
}

// What a stage measured on this device, while it runs or when it has ended; none: nothing, or elsewhere.
std::optional<plan::Rate> MeasuredBy(const JobRecord& record, int index, const plan::Device& device,
                                     bool bf16) {
  const StageRecord& stage = record.stages(index);
  const v1::StageStatus& status = record.job().stages(index);
  if (!stage.has_shape() || !stage.has_prepared() || stage.ran_precision() != (bf16 ? "bf16" : "fp32") ||
      stage.ran_agent() != device.agent || stage.ran_device() != device.id) {
    return std::nullopt;
  }
  double tokens_per_second = 0;
  int64_t steps = 0;
  if (status.state() == v1::STAGE_STATE_RUNNING) {
    steps = status.progress().step();
    tokens_per_second = status.progress().tokens_per_second();
  } else {
    const auto result = [&](const char* name) {
      const auto found = status.results().find(name);
      return found == status.results().end() ? 0.0 : found->second;
    };
    if (result("train_seconds") < kShortestSeconds) return std::nullopt;
    steps = static_cast<int64_t>(result("steps"));
    tokens_per_second = result("tokens_per_second");
  }
  if (steps < kFewestSteps || tokens_per_second <= 0) return std::nullopt;
  return plan::Rate{tokens_per_second * FlopsPerToken(record, index),
                    absl::StrCat(record.job().name(), " stage \"", stage.id(), "\", ", steps, " steps")};
}

// The newest measurement of a device by the same sort of tuning: whole models spend their time on optimiser
// steps that an adapter does not have, and shards of adapters are computed at once.
plan::RateFn RatesOf(const State& state, absl::string_view tenant) {
  return [&state, tenant = std::string(tenant)](const plan::Device& device, bool bf16,
                                                bool full) -> std::optional<plan::Rate> {
    int looked_at = 0;
    const std::map<uint64_t, std::string>& all = state.all_jobs();
    for (auto it = all.rbegin(); it != all.rend() && looked_at < kMaxJobsBack; ++it, ++looked_at) {
      const JobRecord& record = *state.Find(it->second);
      if (record.tenant() != tenant) continue;
      for (int i = record.stages_size(); i-- > 0;) {
        const v1::Stage& stage = record.job().spec().stages(i);
        if (!stage.has_train() || stage.train().tuning().has_full() != full) continue;
        std::optional<plan::Rate> rate = MeasuredBy(record, i, device, bf16);
        if (rate.has_value() && rate->flops_per_second > 0) return rate;
      }
    }
    return std::nullopt;
  };
}

// The preparation without the moment it was asked for: templates see it, lengths hardly depend on it.
std::string PreparationOf(const JobRecord& record, int index) {
  v1::PrepareTask task = PrepareTaskOf(record, index);
  task.mutable_data()->clear_template_time();
  return CanonicalBytes(task);
}

// What an earlier job found in the same rows; null: nobody prepared them.
const v1::DataReport* ReportOfEarlierJob(const State& state, const JobRecord& record, int index) {
  const StageRecord& stage = record.stages(index);
  const std::string wanted = PreparationOf(record, index);
  int looked_at = 0;
  const std::map<uint64_t, std::string>& all = state.all_jobs();
  for (auto it = all.rbegin(); it != all.rend() && looked_at < kMaxJobsBack; ++it, ++looked_at) {
    const JobRecord& other = *state.Find(it->second);
    if (other.tenant() != record.tenant()) continue;
    for (int i = 0; i < other.stages_size(); ++i) {
      if (!other.stages(i).has_prepared() || other.stages(i).dataset_digest() != stage.dataset_digest() ||
          other.stages(i).model_digest() != stage.model_digest() || PreparationOf(other, i) != wanted) {
        continue;
      }
      return &other.stages(i).prepared().report();
    }
  }
  return nullptr;
}

// The record that CreateJob would make, as far as planning looks at it.
JobRecord RecordOf(absl::string_view tenant, Validated validated) {
  JobRecord record;
  record.set_tenant(std::string(tenant));
  *record.mutable_job()->mutable_spec() = std::move(validated.spec);
  for (StageRecord& stage : validated.stages) *record.add_stages() = std::move(stage);
  return record;
}

// In words, for a job's history.
std::string Summary(const v1::StagePlan& plan) {
  std::string text = absl::StrCat("plan: ", HumanBytes(plan.peak_bytes()), " of memory at the peak");
  for (const v1::DevicePlan& device : plan.devices()) {
    if (!device.fits() || device.memory_bytes() == 0) continue;
    absl::StrAppend(&text, " (agent ", device.agent(), " has ", HumanBytes(device.memory_bytes()), ")");
    break;
  }
  return absl::StrCat(text, ", ", plan.steps(), " steps of ",
                      plan.tokens() / std::max<int64_t>(1, plan.steps()), " tokens");
}

}  // namespace

absl::StatusOr<v1::PlanJobResponse> Core::PlanJob(absl::string_view tenant, const v1::PlanJobRequest& request,
                                                  absl::Time now) const {
  const StateCatalog catalog(impl_->state, tenant);
  VN_ASSIGN_OR_RETURN(Validated validated,
                      ValidateSpec(request.spec(), catalog, impl_->options.limits.max_spec_bytes, now));
  const JobRecord record = RecordOf(tenant, std::move(validated));
  const std::vector<plan::Device> devices = DevicesOf(impl_->agents);
  const plan::RateFn rates = RatesOf(impl_->state, tenant);
  v1::PlanJobResponse response;
  *response.mutable_effective() = record.job().spec();
  for (int i = 0; i < record.stages_size(); ++i) {
    const v1::Stage& spec = record.job().spec().stages(i);
    v1::StagePlan& plan = *response.add_stages();
    if (!spec.has_train()) {
      plan.set_unknown("it needs less than a train stage, and is not planned");
    } else if (!record.stages(i).has_shape()) {
      plan.set_unknown(absl::StrCat("model \"", record.stages(i).model_name(),
                                    "\" was imported by a version that did not look at its layers; import it "
                                    "again, nothing is copied"));
    } else {
      plan::StageFacts facts = FactsOf(record, i);
      facts.report = ReportOfEarlierJob(impl_->state, record, i);
      const auto given = request.reports().find(spec.id());
      if (facts.report == nullptr && given != request.reports().end()) facts.report = &given->second;
      if (const auto dataset = catalog.FindDataset(spec.train().data().source()); dataset.ok()) {
        facts.num_rows = dataset->num_rows();
      }
      VN_ASSIGN_OR_RETURN(plan, plan::PlanTrain(facts, devices, rates));
    }
    plan.set_stage(spec.id());
    plan.set_kind(KindOf(spec));
  }
  return response;
}

std::optional<Core::Impl::Awaited> Core::Impl::AwaitedAgents() const {
  std::vector<std::string> away;
  absl::Time until = absl::InfinitePast();
  for (const v1::Agent& agent : agents.List()) {
    const absl::Time lost = FromTimestamp(agent.last_heartbeat()) + options.lease.ttl + options.lease.margin;
    if (agent.connected() || lost <= now_) continue;
    away.push_back(absl::StrCat("agent ", agent.id(), ", which was connected a moment ago"));
    until = std::max(until, lost);
  }
  if (agents_back_by_ > now_) {
    away.push_back("agents that were connected before vernierd restarted");
    until = std::max(until, agents_back_by_);
  }
  if (away.empty()) return std::nullopt;
  return Awaited{absl::StrJoin(away, ", "), until};
}

void Core::Impl::PlanStages(Draft& draft) {
  held_.clear();
  held_until_ = absl::InfiniteFuture();
  const std::vector<plan::Device> devices = DevicesOf(agents);
  // Without a word on memory there is nothing to hold a plan against.
  const bool told = std::any_of(devices.begin(), devices.end(),
                                [](const plan::Device& device) { return device.memory_bytes > 0; });
  if (!told) return;
  for (const std::string& id : draft.LiveJobs()) {
    for (int i = 0; i < draft.Find(id)->stages_size(); ++i) {
      const JobRecord& waiting = *draft.Find(id);
      const bool due = waiting.job().spec().stages(i).has_train() && waiting.stages(i).has_shape() &&
                       !waiting.stages(i).planned() &&
                       waiting.job().stages(i).state() == v1::STAGE_STATE_QUEUED && WaitsForPlace(waiting, i);
      if (due) PlanStage(draft, id, i, devices);
    }
  }
}

void Core::Impl::PlanStage(Draft& draft, const std::string& job, int stage,
                           const std::vector<plan::Device>& devices) {
  const plan::StageFacts facts = FactsOf(*draft.Find(job), stage);
  const absl::StatusOr<v1::StagePlan> plan =
      plan::PlanTrain(facts, devices, [](const auto&...) { return std::nullopt; });
  const std::optional<Awaited> awaited = AwaitedAgents();
  if (plan.ok() && !plan->problem().empty() && awaited.has_value()) {
    held_[PendingOf(*draft.Find(job), stage).key] =
        absl::StrCat("waiting for ", awaited->who, ": ", plan->problem());
    held_until_ = std::min(held_until_, awaited->until);
    return;
  }
  JobRecord& record = draft.Edit(job);
  StageRecord& kept = *record.mutable_stages(stage);
  if (!plan.ok()) {
    // The rows have no plan: the trainer says why.
    kept.set_planned(true);
    return;
  }
  if (!plan->problem().empty()) {
    FailStage(draft, record, stage,
              absl::FailedPreconditionError(absl::StrCat("it cannot run here: ", plan->problem())));
    return;
  }
  kept.set_planned(true);
  // One number of layers for all devices, and what that needs on each sort of them: more threads compute more
  // shards at once.
  const auto batches = plan::BatchesOf(facts.report, 0, facts.stage, facts.seed);
  VN_CHECK(batches.ok());  // or there were no plan
  for (int threads = 1; threads <= static_cast<int>(batches->at_once.size()); ++threads) {
    const auto needed = [&](bool device_has_bf16) {
      const bool bf16 = plan::UsesBf16(facts.stage.precision(), device_has_bf16);
      return plan::MemoryOf(facts.shape, facts.stage, *batches, bf16, threads, plan->checkpointed_layers())
          .peak_bytes;
    };
    kept.add_planned_fp32_bytes(needed(/*device_has_bf16=*/false));
    kept.add_planned_bf16_bytes(needed(/*device_has_bf16=*/true));
  }
  v1::TrainStage& train = *record.mutable_job()->mutable_spec()->mutable_stages(stage)->mutable_train();
  const bool chosen = !train.has_checkpointed_layers();
  kept.set_chose_layers(chosen);
  train.set_checkpointed_layers(plan->checkpointed_layers());
  draft.AddEvent(record, "info", kept.id(), Summary(*plan));
  if (!chosen || plan->checkpointed_layers() == 0) return;
  const std::string note =
      absl::StrCat("activation checkpointing of ", plan->checkpointed_layers(), " of ", plan->num_layers(),
                   " layers, chosen so that it fits; checkpointed_layers: 0 switches it off");
  v1::StageStatus& status = *record.mutable_job()->mutable_stages(stage);
  if (!absl::c_linear_search(status.notes(), note)) status.add_notes(note);  // resumed, it is planned again
  draft.AddEvent(record, "info", kept.id(), note);
}

}  // namespace vernier::server
