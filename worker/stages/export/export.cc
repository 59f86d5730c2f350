#include "worker/stages/export/export.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "adapters/lora.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"
#include "worker/stages/artifact.h"
#include "worker/stages/export/adapter_files.h"
#include "worker/stages/export/gguf_facts.h"
#include "worker/stages/export/gguf_files.h"
#include "worker/stages/export/hand_over.h"
#include "worker/stages/export/merged_folder.h"
#include "worker/stages/export/modelfile.h"
#include "worker/stages/export/probe.h"
#include "worker/stages/export/source.h"
#include "worker/stages/progress_reporter.h"
#include "worker/stages/start.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

// Models whose copy in fp32 is larger are compared in bf16, which needs no copy of a bf16 file: 4 bytes a
// parameter are too many.
constexpr int64_t kMaxFp32Bytes = int64_t{4} << 30;

// An export that does less of what the adapter does has lost it. What it does is told from rounding where it
// moves the logits by a tenth of the tolerance at least.
constexpr double kLeastCarried = 0.5;
constexpr double kLeastMoved = 0.1;

storage::GgufFloat FloatOf(v1::GgufType type) {
  if (type == v1::GGUF_TYPE_F32) return storage::GgufFloat::kF32;
  return type == v1::GGUF_TYPE_Q8_0 ? storage::GgufFloat::kQ8_0 : storage::GgufFloat::kF16;
}

// One export, from loading to the last profile.
class Export {
 public:
  Export(const StageContext& context, trainer::TaskOutcome& outcome)
      : context_(context), task_(context.task.export_()), outcome_(outcome), progress_(context.events) {}

  // Cancelled: a stop was requested.
  absl::Status Run();

 private:
  // What is published of a profile, beside its files.
  struct Checked {
    ServeProbe served;
    double tolerance = 0.0;
    nlohmann::json fields = nlohmann::json::object();
  };

  bool Wants(absl::string_view profile) const {
    return absl::c_linear_search(task_.stage().profiles(), profile) &&
           !absl::c_linear_search(task_.done(), profile);
  }
  bool is_lora_gguf() const { return task_.stage().gguf().lora(); }
  absl::Status Load();
  absl::Status Tell(absl::string_view phase, int64_t bytes, int64_t total_bytes);
  absl::Status ExportAdapter(absl::string_view profile, adapters::Lora& lora);
  absl::Status ExportGgufLora();
  absl::Status ExportMerged();
  absl::Status ExportGguf();
  storage::GgufMetadata Names() const;
  absl::StatusOr<ServeProbe> ProbeFolder(const std::string& folder) const;
  absl::Status Publish(ArtifactWriter& writer, Checked checked);
  // That the profile still has the adapter; adds what it found to the manifest's `check`.
  absl::Status CheckAdapter(absl::string_view profile, const Checked& checked, nlohmann::json& check);
  void KeepResultsOfEarlierAttempts();

  const StageContext& context_;
  const v1::ExportTask& task_;
  trainer::TaskOutcome& outcome_;
  ProgressReporter progress_;
  at::ScalarType compute_ = at::kFloat;
  std::unique_ptr<BaseModel> base_;
  HandOver hand_over_;
  std::string base_digest_;
  Adapter adapter_;  // on base_->model; none: the model alone
  std::unique_ptr<MergedTensors> tensors_;
  std::optional<storage::GgufDescription> gguf_;
  ProbeRows rows_;
  std::string rows_from_;
  ServeProbe trained_;
  std::optional<ServeProbe> without_adapter_;
  int64_t num_published_ = 0;
};

absl::Status Export::Tell(absl::string_view phase, int64_t bytes, int64_t total_bytes) {
  v1::Progress progress;
  progress.set_phase(std::string(phase));
  progress.set_bytes(bytes);
  progress.set_total_bytes(total_bytes);
  progress_.Report(progress);
  return context_.events.stop_requested() ? absl::CancelledError("stopped") : absl::OkStatus();
}

absl::Status Export::Load() {
  VN_ASSIGN_OR_RETURN(const int64_t copied, Fp32CopyBytes(context_.store, task_.model_key()));
  compute_ = copied > kMaxFp32Bytes ? at::kBFloat16 : at::kFloat;
  ReportStart(context_, compute_ == at::kFloat ? v1::PRECISION_FP32 : v1::PRECISION_BF16);
  VN_RETURN_IF_ERROR(Tell("loading", 0, 0));
  VN_ASSIGN_OR_RETURN(BaseModel base, LoadBaseModel(context_.store, task_.model_key(), compute_));
  base_ = std::make_unique<BaseModel>(std::move(base));
  base_digest_ = base_->digest;
  VN_ASSIGN_OR_RETURN(hand_over_, ReadHandOver(*base_, task_.chat_template()));
  std::vector<absl::flat_hash_map<std::string, std::vector<WeightUpdate>>> updates;
  if (!task_.adapter_key().empty()) {
    VN_ASSIGN_OR_RETURN(std::vector<std::string> keys, AdaptersBelow(context_.store, task_.adapter_key()));
    keys.push_back(task_.adapter_key());
    for (const std::string& key : keys) {
      VN_ASSIGN_OR_RETURN(adapter_, LoadAdapter(context_.store, key, *base_->model));
      VN_ASSIGN_OR_RETURN(updates.emplace_back(), UpdatesOf(*adapter_.tuning, *base_->model));
    }
    if (!adapter_.base_digest.empty() && adapter_.base_digest != base_->digest) {
      return absl::FailedPreconditionError(
          absl::StrCat("adapter ", task_.adapter_key(), " was trained on base ", adapter_.base_digest,
                       ", not on ", base_->digest, "; export it with its own base"));
    }
    keys.pop_back();
    for (const std::string& key : keys) VN_RETURN_IF_ERROR(MergeAdapter(context_.store, key, *base_->model));
  }
  if (Wants("merged") || Wants("gguf")) {
    VN_ASSIGN_OR_RETURN(MergedTensors tensors, MergedTensors::Open(*base_, std::move(updates)));
    tensors_ = std::make_unique<MergedTensors>(std::move(tensors));
  }
  if (Wants("gguf")) {
    VN_ASSIGN_OR_RETURN(gguf_, DescribeForGguf(*base_));
  }
  rows_ = ChooseProbeRows(context_.store, task_.prepared_key(), *hand_over_.tokenizer, base_->model->config(),
                          &rows_from_);
  VN_RETURN_IF_ERROR(Tell("computing the trainer's logits", 0, 0));
  const models::Overlay bare;
  const models::Overlay& overlay = adapter_.tuning != nullptr ? *adapter_.tuning : bare;
  VN_ASSIGN_OR_RETURN(trained_, ProbeLogits(*base_->model, overlay, rows_));
  if (adapter_.tuning != nullptr) {
    VN_ASSIGN_OR_RETURN(without_adapter_, ProbeLogits(*base_->model, bare, rows_));
  }
  return absl::OkStatus();
}

absl::Status Export::CheckAdapter(absl::string_view profile, const Checked& checked, nlohmann::json& check) {
  if (!without_adapter_.has_value()) return absl::OkStatus();
  const double moved = RelativeDifference(trained_, *without_adapter_);
  check["adapter_moves"] = moved;
  if (moved < kLeastMoved * checked.tolerance) {
    const std::string why =
        absl::StrCat("the adapter moves the logits by ", moved,
                     " (relative), too little to be told from rounding (tolerance ", checked.tolerance, ")");
    check["adapter_not_checked"] = why;
    context_.events.ReportLog(
        "warning", absl::StrCat("profile ", profile, ": ", why, "; that it is there was not checked"));
    return absl::OkStatus();
  }
  const double carried = CarriedShare(*without_adapter_, trained_, checked.served);
  check["adapter_carried"] = carried;
  if (carried >= kLeastCarried) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("profile ", profile, ": reloaded, it does ", carried,
                                          " of what the adapter does to the logits, which moves them by ",
                                          moved,
                                          " (relative): it has lost the adapter; it is not published"));
}

// What earlier attempts published is in their manifests: the results of a stage are of all its profiles.
void Export::KeepResultsOfEarlierAttempts() {
  for (const std::string& key : task_.done_keys()) {
    const auto manifest = storage::ReadManifest(context_.store, key, kArtifactFormat, kArtifactVersion);
    if (!manifest.ok()) {
      context_.events.ReportLog(
          "warning", absl::StrCat("results lack one of an earlier attempt: ", manifest.status().message()));
      continue;
    }
    const auto check = manifest->fields.find("serve_check");
    if (check == manifest->fields.end() || !check->is_object()) continue;
    const auto difference = check->find("relative_difference");
    if (difference == check->end() || !difference->is_number()) continue;
    outcome_.results[absl::StrCat(TextField(*manifest, "kind"), "_difference")] = difference->get<double>();
  }
}

absl::Status Export::Publish(ArtifactWriter& writer, Checked checked) {
  const std::string profile = TextField(writer.manifest(), "kind");
  const double difference = RelativeDifference(trained_, checked.served);
  if (!(difference <= checked.tolerance)) {
    return absl::InternalError(
        absl::StrCat("profile ", profile, ": reloaded, its logits differ from the trainer's by ", difference,
                     " (relative), the tolerance is ", checked.tolerance, "; it is not published"));
  }
  nlohmann::json check = {{"relative_difference", difference},
                          {"tolerance", checked.tolerance},
                          {"rows", trained_.num_rows},
                          {"rows_from", rows_from_},
                          {"positions", trained_.logits_NV.size(0)}};
  VN_RETURN_IF_ERROR(CheckAdapter(profile, checked, check));
  context_.faults.At(trainer::FaultPoint::kBeforePublish, ++num_published_);
  nlohmann::json& fields = checked.fields;
  fields["source"] = task_.source();
  fields["base_digest"] = base_digest_;
  fields["base_key"] = task_.model_key();
  fields["base_name"] = task_.model_name();
  fields["adapter_key"] = task_.adapter_key();
  fields["numeric_class"] = NumericClassOf(compute_).ToString();
  fields["serve_check"] = std::move(check);
  VN_ASSIGN_OR_RETURN(v1::Artifact artifact, writer.Commit(fields));
  outcome_.results[absl::StrCat(profile, "_difference")] = difference;
  v1::TaskEvent event;
  *event.mutable_artifact() = std::move(artifact);
  context_.events.Report(std::move(event));
  return absl::OkStatus();
}

absl::Status Export::ExportAdapter(absl::string_view profile, adapters::Lora& lora) {
  VN_RETURN_IF_ERROR(Tell(absl::StrCat("exporting ", profile), 0, 0));
  ArtifactWriter writer(context_.store, context_.task, task_.output_key(), profile);
  VN_RETURN_IF_ERROR(WriteAdapter(writer, lora, task_.model_name()));
  VN_ASSIGN_OR_RETURN(const Adapter read, LoadAdapter(context_.store, writer.folder(), *base_->model));
  Checked checked = {.tolerance = ToleranceOfAdapter(compute_)};
  VN_ASSIGN_OR_RETURN(checked.served, ProbeLogits(*base_->model, *read.tuning, rows_));
  checked.fields["max_rank"] = HighestRank(lora);
  return Publish(writer, std::move(checked));
}

// general.* entries that people see.
storage::GgufMetadata Export::Names() const {
  return {{"general.name", task_.model_name()},
          {"general.description", absl::StrCat("Vernier: ", task_.source())}};
}

absl::Status Export::ExportGgufLora() {
  VN_RETURN_IF_ERROR(Tell("exporting gguf", 0, 0));
  const auto& lora = dynamic_cast<const adapters::Lora&>(*adapter_.tuning);
  const storage::GgufFloat type = FloatOf(task_.stage().gguf().type());
  ArtifactWriter writer(context_.store, context_.task, task_.output_key(), "gguf");
  VN_RETURN_IF_ERROR(WriteLoraGguf(writer, *gguf_, Names(), type, lora));
  VN_RETURN_IF_ERROR(writer.AddBytes("Modelfile", Modelfile(hand_over_, /*lora=*/true)));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<adapters::Lora> read,
                      ReadLoraGguf(context_.store, writer.folder(), *gguf_, *base_->model));
  Checked checked = {.tolerance =
                         std::max(ToleranceOfAdapter(compute_),
                                  type == storage::GgufFloat::kF32 ? 0.0 : ToleranceOfGguf(type, compute_))};
  VN_ASSIGN_OR_RETURN(checked.served, ProbeLogits(*base_->model, *read, rows_));
  checked.fields["max_rank"] = HighestRank(lora);
  checked.fields["gguf_type"] = v1::GgufType_Name(task_.stage().gguf().type());
  checked.fields["lora"] = true;
  return Publish(writer, std::move(checked));
}

absl::StatusOr<ServeProbe> Export::ProbeFolder(const std::string& folder) const {
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<models::CausalLm> model, trainer::TorchCall("reloading", [&] {
                        return models::LoadCausalLm(folder, compute_);
                      }));
  return ProbeLogits(*model, models::Overlay(), rows_);
}

absl::Status Export::ExportMerged() {
  ArtifactWriter writer(context_.store, context_.task, task_.output_key(), "merged");
  VN_RETURN_IF_ERROR(WriteMergedFolder(writer, *tensors_, hand_over_, [&](int64_t bytes) {
    return Tell("writing merged", bytes, tensors_->total_bytes());
  }));
  VN_RETURN_IF_ERROR(Tell("comparing merged", 0, 0));
  VN_ASSIGN_OR_RETURN(const LocalFolder folder,
                      LocalFolder::Open(context_.store, writer.folder(), writer.manifest()));
  Checked checked = {.tolerance = ToleranceOfWeights(tensors_->coarsest_type(), compute_)};
  VN_ASSIGN_OR_RETURN(checked.served, ProbeFolder(folder.path()));
  checked.fields["stop_ids"] = hand_over_.stop_ids;
  return Publish(writer, std::move(checked));
}

absl::Status Export::ExportGguf() {
  const storage::GgufFloat type = FloatOf(task_.stage().gguf().type());
  ArtifactWriter writer(context_.store, context_.task, task_.output_key(), "gguf");
  storage::GgufMetadata extra = Names();
  VN_RETURN_IF_ERROR(WriteModelGguf(
      writer, *gguf_, std::move(extra), type, hand_over_, *tensors_, [&](int64_t tensors, int64_t of) {
        return Tell("writing gguf", tensors * tensors_->total_bytes() / of, tensors_->total_bytes());
      }));
  VN_RETURN_IF_ERROR(writer.AddBytes("Modelfile", Modelfile(hand_over_, /*lora=*/false)));
  VN_RETURN_IF_ERROR(Tell("comparing gguf", 0, 0));
  VN_ASSIGN_OR_RETURN(const ImportedGguf imported, ImportGguf(context_.store, writer));
  const absl::Status tokens = CompareTokenizers(*hand_over_.tokenizer, imported.folder());
  if (!tokens.ok()) return tokens;
  Checked checked = {.tolerance = ToleranceOfGguf(type, compute_)};
  VN_ASSIGN_OR_RETURN(checked.served, ProbeFolder(imported.folder()));
  checked.fields["gguf_type"] = v1::GgufType_Name(task_.stage().gguf().type());
  checked.fields["lora"] = false;
  checked.fields["stop_ids"] = hand_over_.stop_ids;
  return Publish(writer, std::move(checked));
}

absl::Status Export::Run() {
  const Stopwatch all;
  KeepResultsOfEarlierAttempts();
  VN_RETURN_IF_ERROR(Load());
  auto* const lora = dynamic_cast<adapters::Lora*>(adapter_.tuning.get());
  const bool wants_lora = Wants("gguf") && is_lora_gguf();
  if (lora == nullptr && (Wants("peft") || Wants("serving") || wants_lora)) {
    return absl::InvalidArgumentError(
        absl::StrCat("profiles peft, serving and gguf with lora hold an adapter, and ", task_.source(),
                     " has none; use merged or gguf"));
  }
  if (Wants("peft")) VN_RETURN_IF_ERROR(ExportAdapter("peft", *lora));
  if (Wants("serving")) VN_RETURN_IF_ERROR(ExportAdapter("serving", *adapters::AtOneRank(*lora)));
  if (wants_lora) VN_RETURN_IF_ERROR(ExportGgufLora());
  // From here on the base is read from its files alone: one model in memory at a time.
  adapter_.tuning = nullptr;
  base_->model = nullptr;
  if (Wants("merged")) VN_RETURN_IF_ERROR(ExportMerged());
  if (Wants("gguf") && !is_lora_gguf()) VN_RETURN_IF_ERROR(ExportGguf());
  outcome_.results["seconds"] = all.Seconds();
  return absl::OkStatus();
}

}  // namespace

absl::Status RunExport(const StageContext& context, trainer::TaskOutcome& outcome) {
  const absl::Status status = Export(context, outcome).Run();
  if (!absl::IsCancelled(status)) return status;
  outcome.stopped = true;
  return absl::OkStatus();
}

}  // namespace vernier::stages
