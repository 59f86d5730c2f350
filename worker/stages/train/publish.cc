#include "worker/stages/train/publish.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"
#include "worker/stages/artifact.h"
#include "worker/stages/exported_files.h"
#include "worker/stages/train/row_ledger.h"
#include "worker/stages/train/serve_check.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

// fp32 files hold the trained numbers themselves: the same computation must give the same logits up to
// rounding.
constexpr double kExactTolerance = 1e-5;
// A 16-bit file rounds every weight to 8 bits of mantissa (2^-9 relative); errors of a few layers add up.
constexpr double kRoundedTolerance = 3e-2;
// Rows of a split that the ledger shows the text of.
constexpr int64_t kPreviews = 200;

bool HasRoundedTensor(const adapters::Exported& exported) {
  for (const auto& [name, tensor] : exported.tensors) {
    if (tensor.scalar_type() != at::kFloat) return true;
  }
  return false;
}

// config.json, tokenizer and template: all of the base's files that hold no tensors.
absl::Status CopyBaseFiles(storage::ObjectStore& store, const BaseModel& base, ArtifactWriter& writer) {
  for (const storage::ManifestPart& part : base.manifest.parts) {
    if (absl::EndsWith(part.name, ".safetensors") || absl::EndsWith(part.name, ".safetensors.index.json"))
      continue;
    VN_RETURN_IF_ERROR(writer.AddCopy(part.name, absl::StrCat(base.key, "/", part.name)));
  }
  return absl::OkStatus();
}

// Logits of the written files, read back from the store the way a server would.
absl::StatusOr<ServeProbe> ProbeWritten(storage::ObjectStore& store, const adapters::Exported& exported,
                                        const ArtifactWriter& writer, const models::CausalLm& base,
                                        const ProbeRows& rows) {
  if (exported.kind == kAdapterKind) {
    VN_ASSIGN_OR_RETURN(const Adapter adapter, LoadAdapter(store, writer.folder(), base));
    return ProbeLogits(base, *adapter.tuning, rows);
  }
  VN_ASSIGN_OR_RETURN(const LocalFolder folder, LocalFolder::Open(store, writer.folder(), writer.manifest()));
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<models::CausalLm> model,
                      trainer::TorchCall("reloading the weights", [&] {
                        return models::LoadCausalLm(folder.path(), base.compute_dtype());
                      }));
  return ProbeLogits(*model, models::Overlay(), rows);
}

}  // namespace

absl::StatusOr<Published> Publish(const StageContext& context, TrainSetup& setup, int64_t step,
                                  std::optional<double> valid_loss) {
  const v1::TrainTask& task = context.task.train();
  const models::CausalLm& model = *setup.base->model;
  adapters::Tuning& tuning = setup.run->tuning();
  VN_ASSIGN_OR_RETURN(const adapters::Exported exported,
                      trainer::TorchCall("exporting", [&] { return tuning.Export(task.model_name()); }));
  ArtifactWriter writer(context.store, context.task, task.output_key(), exported.kind);
  VN_RETURN_IF_ERROR(AddExported(writer, exported));
  if (exported.kind == kWeightsKind) VN_RETURN_IF_ERROR(CopyBaseFiles(context.store, *setup.base, writer));

  const ProbeRows rows = FirstRows(setup.validation->num_rows() > 0 ? *setup.validation : *setup.train);
  VN_ASSIGN_OR_RETURN(const ServeProbe trained, ProbeLogits(model, tuning, rows));
  VN_ASSIGN_OR_RETURN(const ServeProbe served, ProbeWritten(context.store, exported, writer, model, rows));
  const double tolerance = HasRoundedTensor(exported) ? kRoundedTolerance : kExactTolerance;
  Published published;
  published.serve_difference = RelativeDifference(trained, served);
  if (!(published.serve_difference <= tolerance)) {
    return absl::InternalError(absl::StrCat(
        writer.folder(), ": reloaded, its logits differ from the trainer's by ", published.serve_difference,
        " (relative), the tolerance is ", tolerance, "; it is not published"));
  }
  context.faults.At(trainer::FaultPoint::kBeforePublish, step);
  nlohmann::json fields = {{"step", step},
                           {"base_digest", setup.base->digest},
                           {"base_key", setup.base->key},
                           {"base_name", task.model_name()},
                           {"start_adapter", setup.start_adapter},
                           {"numeric_class", setup.numeric_class},
                           {"serve_check",
                            {{"relative_difference", published.serve_difference},
                             {"tolerance", tolerance},
                             {"rows", trained.num_rows},
                             {"positions", trained.logits_NV.size(0)}}}};
  if (valid_loss.has_value()) fields["valid_loss"] = *valid_loss;
  VN_ASSIGN_OR_RETURN(published.artifact, writer.Commit(fields));
  return published;
}

absl::StatusOr<v1::Artifact> PublishLedger(const StageContext& context, const TrainSetup& setup,
                                           const storage::Ledger& ledger, int64_t step) {
  ArtifactWriter writer(context.store, context.task, context.task.train().output_key(), kLedgerKind);
  VN_RETURN_IF_ERROR(
      writer.AddTensors(storage::kLedgerFile, storage::TensorsOf(ledger), storage::LedgerMetadata()));
  const absl::StatusOr<std::unique_ptr<data::Tokenizer>> tokenizer = LoadTokenizer(*setup.base);
  if (tokenizer.ok()) {
    VN_RETURN_IF_ERROR(
        writer.AddBytes(storage::kLedgerPreviewsFile,
                        LedgerPreviews(ledger, *setup.train, *setup.validation, **tokenizer, kPreviews)));
  } else {
    context.events.ReportLog("warning",
                             absl::StrCat("the ledger shows no text: ", tokenizer.status().message()));
  }
  return writer.Commit({{"step", step}, {"base_digest", setup.base->digest}});
}

}  // namespace vernier::stages
