#include "server/jobs/tasks.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/draft.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

constexpr uint64_t kOrdersPerJob = 1024;  // stages of a job are placed in their order

// The artifact `name` of the stage `id`.
absl::StatusOr<std::string> ArtifactKey(const JobRecord& record, absl::string_view id,
                                        absl::string_view name) {
  for (const StageRecord& stage : record.stages()) {
    if (stage.id() != id) continue;
    for (const v1::Artifact& artifact : stage.artifacts()) {
      if (artifact.name() == name) return artifact.key();
    }
  }
  return absl::FailedPreconditionError(
      absl::StrCat("stage \"", id, "\" has no artifact \"", name, "\" to build on"));
}

struct Inputs {
  std::string model_key, start_adapter_key, adapter_key;
};

absl::StatusOr<Inputs> InputsOf(const JobRecord& record, const StageRecord& stage) {
  Inputs inputs{.model_key = stage.model_key().empty()
                                 ? storage::ModelFolder(record.tenant(), stage.model_digest())
                                 : stage.model_key(),
                .adapter_key = stage.adapter_key()};
  if (!stage.weights_stage().empty()) {
    VN_ASSIGN_OR_RETURN(inputs.model_key, ArtifactKey(record, stage.weights_stage(), "weights"));
  }
  if (!stage.start_adapter_stage().empty()) {
    VN_ASSIGN_OR_RETURN(inputs.start_adapter_key,
                        ArtifactKey(record, stage.start_adapter_stage(), "adapter"));
  }
  if (!stage.adapter_stage().empty()) {
    VN_ASSIGN_OR_RETURN(inputs.adapter_key, ArtifactKey(record, stage.adapter_stage(), "adapter"));
  }
  return inputs;
}

// The rows that the source of an export stage was trained on; "" = not known.
std::string SourceRows(const JobRecord& record, const StageRecord& stage) {
  const std::string& id = stage.adapter_stage().empty() ? stage.weights_stage() : stage.adapter_stage();
  for (const StageRecord& other : record.stages()) {
    if (!id.empty() && other.id() == id) return other.prepared().key();
  }
  return stage.source_prepared_key();
}

v1::ExportTask ExportTaskOf(const JobRecord& record, int index, const Inputs& inputs) {
  const StageRecord& stage = record.stages(index);
  v1::ExportTask task;
  *task.mutable_stage() = record.job().spec().stages(index).export_();
  task.set_model_key(inputs.model_key);
  task.set_adapter_key(inputs.adapter_key);
  task.set_model_name(stage.model_name());
  task.set_prepared_key(SourceRows(record, stage));
  task.set_chat_template(stage.chat_template());
  task.set_source(stage.source());
  for (const v1::Artifact& artifact : stage.artifacts()) {
    task.add_done(artifact.name());
    task.add_done_keys(artifact.key());
  }
  return task;
}

int ThreadsOf(const v1::Stage& stage) {
  if (stage.has_evaluate()) return stage.evaluate().threads();
  return stage.has_export_() ? stage.export_().threads() : stage.train().threads();
}

}  // namespace

v1::PrepareTask PrepareTaskOf(const JobRecord& record, int index) {
  const StageRecord& stage = record.stages(index);
  v1::PrepareTask task;
  if (stage.mix_digests().empty()) {
    task.set_dataset_key(storage::DatasetObject(record.tenant(), stage.dataset_digest()));
  }
  for (const std::string& digest : stage.mix_digests()) {
    task.add_mix_dataset_keys(storage::DatasetObject(record.tenant(), digest));
  }
  task.set_model_key(storage::ModelFolder(record.tenant(), stage.model_digest()));
  *task.mutable_data() = DataOf(record.job().spec().stages(index));
  task.set_loss_on(stage.loss_on());
  if (!stage.validation_digest().empty()) {
    task.set_validation_dataset_key(storage::DatasetObject(record.tenant(), stage.validation_digest()));
  }
  task.set_validation_fraction(stage.validation_fraction());
  task.set_context_length(stage.context_length());
  return task;
}

absl::StatusOr<v1::Task> TaskOf(const JobRecord& record, int index, const LeaseRecord& lease,
                                absl::string_view store_uri) {
  const v1::Stage& spec = record.job().spec().stages(index);
  const StageRecord& stage = record.stages(index);
  v1::Task task;
  task.set_job(record.job().name());
  task.set_stage(spec.id());
  task.set_token(lease.token());
  task.set_incarnation(lease.incarnation());
  task.set_store(std::string(store_uri));
  task.set_tenant(record.tenant());
  task.set_seed(record.job().spec().seed());
  task.set_threads(lease.threads());
  if (lease.prepare_task()) {
    task.set_attempt(stage.prepare_attempts() + 1);
    *task.mutable_prepare() = PrepareTaskOf(record, index);
    return task;
  }
  task.set_attempt(record.job().stages(index).attempts() + 1);
  VN_ASSIGN_OR_RETURN(const Inputs inputs, InputsOf(record, stage));
  const std::string output_key = storage::StageFolder(record.tenant(), record.id(), spec.id());
  if (spec.has_train()) {
    v1::TrainTask& train = *task.mutable_train();
    *train.mutable_stage() = spec.train();
    train.set_model_key(inputs.model_key);
    train.set_prepared_key(stage.prepared().key());
    train.set_output_key(output_key);
    train.set_resume_key(lease.resume_key());
    train.set_resume_manifest_sha256(lease.resume_manifest_sha256());
    train.set_init_adapter_key(inputs.adapter_key);
    train.set_model_name(stage.model_name());
    train.set_start_adapter_key(inputs.start_adapter_key);
    return task;
  }
  if (spec.has_export_()) {
    *task.mutable_export_() = ExportTaskOf(record, index, inputs);
    task.mutable_export_()->set_output_key(output_key);
    return task;
  }
  v1::EvaluateTask& evaluate = *task.mutable_evaluate();
  *evaluate.mutable_stage() = spec.evaluate();
  evaluate.set_model_key(inputs.model_key);
  evaluate.set_prepared_key(stage.prepared().key());
  evaluate.set_output_key(output_key);
  evaluate.set_adapter_key(inputs.adapter_key);
  evaluate.set_use_validation(spec.evaluate().data().has_validation());
  return task;
}

const v1::CheckpointInfo* ResumePoint(const JobRecord& record, int index) {
  const auto& checkpoints = record.job().stages(index).checkpoints();
  for (auto it = checkpoints.rbegin(); it != checkpoints.rend(); ++it) {
    if (!absl::c_linear_search(record.stages(index).damaged(), it->key())) return &*it;
  }
  return nullptr;
}

scheduler::PendingView PendingOf(const JobRecord& record, int index) {
  const v1::Stage& spec = record.job().spec().stages(index);
  const StageRecord& stage = record.stages(index);
  const bool prepare = record.job().stages(index).state() == v1::STAGE_STATE_PREPARING;
  scheduler::PendingView view{.key = absl::StrCat(record.id(), "/", spec.id()),
                              .order = record.order() * kOrdersPerJob + index,
                              .kind = prepare ? scheduler::WorkKind::kSide : scheduler::WorkKind::kDevice};
  if (stage.has_not_before()) view.ready_at = FromTimestamp(stage.not_before());
  if (prepare) return view;
  view.threads = stage.threads() > 0 ? stage.threads() : ThreadsOf(spec);
  view.isa = stage.isa();
  view.device_kind = stage.device_kind();
  view.memory_bytes = {stage.planned_fp32_bytes().begin(), stage.planned_fp32_bytes().end()};
  view.bf16_memory_bytes = {stage.planned_bf16_bytes().begin(), stage.planned_bf16_bytes().end()};
  return view;
}

std::vector<std::pair<std::string, std::string>> DatasetsOf(const JobRecord& record, int index) {
  const StageRecord& stage = record.stages(index);
  const v1::Data& data = DataOf(record.job().spec().stages(index));
  std::vector<std::pair<std::string, std::string>> datasets;
  for (int i = 0; i < stage.mix_digests_size(); ++i)
    datasets.emplace_back(data.mix(i).name().empty() ? data.mix(i).source() : data.mix(i).name(),
                          stage.mix_digests(i));
  if (!stage.dataset_digest().empty()) datasets.emplace_back(data.source(), stage.dataset_digest());
  if (!stage.validation_digest().empty())
    datasets.emplace_back(data.validation().from(), stage.validation_digest());
  return datasets;
}

std::string Naming(absl::string_view message, absl::string_view what, absl::string_view name,
                   absl::string_view key) {
  if (name.empty() || !absl::StrContains(message, key)) return std::string(message);
  return absl::StrCat(what, " \"", name, "\": ", message);
}

std::string NamingInputs(absl::string_view message, const JobRecord& record, int index) {
  const StageRecord& stage = record.stages(index);
  for (const auto& [name, digest] : DatasetsOf(record, index)) {
    const std::string key = storage::DatasetObject(record.tenant(), digest);
    if (absl::StrContains(message, key)) return Naming(message, "dataset", name, key);
  }
  return Naming(message, "model", stage.model_name(),
                storage::ModelFolder(record.tenant(), stage.model_digest()));
}

const v1::Data& DataOf(const v1::Stage& stage) {
  return stage.has_evaluate() ? stage.evaluate().data() : stage.train().data();
}

bool HasData(const v1::Stage& stage) { return !stage.has_export_(); }

std::string KindOf(const v1::Stage& stage) {
  if (stage.has_evaluate()) return "evaluate";
  return stage.has_export_() ? "export" : "train";
}

}  // namespace vernier::server
