#include "client/export_job.h"

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/digest.h"
#include "common/text.h"

namespace vernier::client {
namespace {

constexpr absl::string_view kStages = "/stages/";
constexpr size_t kIdDigits = 40;  // of a digest; ids of requests have at most 64 bytes

absl::Status NamesNothing(absl::string_view source) {
  return absl::InvalidArgumentError(absl::StrCat("\"", Excerpt(source),
                                                 "\" names no job; write a job, jobs/ID/stages/STAGE, "
                                                 "adapters/DIGEST or models/NAME"));
}

}  // namespace

absl::StatusOr<ExportRequest> ReadExportRequest(absl::string_view source, absl::string_view model,
                                                absl::string_view profile, absl::string_view type,
                                                bool lora) {
  ExportRequest request = {.profile = std::string(profile), .type = std::string(type), .lora = lora};
  if (profile != "gguf" && (lora || !type.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat(lora ? "--lora" : "--type", " goes with --profile gguf; remove it, or export as gguf"));
  }
  if (absl::StartsWith(source, "adapters/")) {
    if (model.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          source, ": name the base of an imported adapter with --model (`vernier models list`)"));
    }
    request.adapter = std::string(source);
    request.model = std::string(model);
    return request;
  }
  if (!model.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--model goes with adapters/DIGEST; ", Excerpt(source),
                                                   " knows its own base, remove it"));
  }
  if (absl::ConsumePrefix(&source, "models/")) {
    if (source.empty()) return NamesNothing("models/");
    request.model = std::string(source);
    return request;
  }
  const size_t stages = source.find(kStages);
  request.job = std::string(source.substr(0, stages));
  if (stages != absl::string_view::npos) request.stage = std::string(source.substr(stages + kStages.size()));
  if (request.job.empty() || (stages != absl::string_view::npos && request.stage.empty())) {
    return NamesNothing(source);
  }
  return request;
}

v1::JobSpec ExportSpec(const ExportRequest& request) {
  v1::JobSpec spec;
  spec.set_name(absl::StrCat("export-", request.profile));
  v1::Stage& stage = *spec.add_stages();
  stage.set_id("export");
  v1::ExportStage& out = *stage.mutable_export_();
  if (request.job.empty()) {
    out.mutable_model()->set_base(request.model);
    if (!request.adapter.empty()) out.mutable_adapter()->set_adapter(request.adapter);
  } else {
    out.set_job(request.stage.empty() ? request.job : absl::StrCat(request.job, kStages, request.stage));
  }
  out.add_profiles(request.profile);
  if (request.profile == "gguf") {
    v1::GgufExport& gguf = *out.mutable_gguf();
    gguf.set_lora(request.lora);
    if (request.type == "f32") gguf.set_type(v1::GGUF_TYPE_F32);
    if (request.type == "f16") gguf.set_type(v1::GGUF_TYPE_F16);
    if (request.type == "q8_0") gguf.set_type(v1::GGUF_TYPE_Q8_0);
  }
  return spec;
}

std::string BaseSourceOf(const v1::Job& job, absl::string_view stage) {
  const v1::ModelRef* model = nullptr;
  const auto num_train =
      absl::c_count_if(job.spec().stages(), [](const auto& each) { return each.has_train(); });
  for (int i = 0; i < job.spec().stages_size(); ++i) {
    const v1::Stage& each = job.spec().stages(i);
    if (!each.has_train()) continue;
    const bool published =
        num_train == 1 || (i < job.stages_size() && job.stages(i).state() == v1::STAGE_STATE_SUCCEEDED);
    if (stage.empty() ? published : each.id() == stage) model = &each.train().model();
  }
  if (model != nullptr && model->has_stage()) return absl::StrCat(job.name(), kStages, model->stage());
  if (model != nullptr && model->has_base()) return absl::StrCat("models/", model->base());
  return "models/BASE";
}

std::string ExportRequestId(const ExportRequest& request, int attempt) {
  const std::string digest = Sha256Hex(
      absl::StrCat(request.job, "\n", request.stage, "\n", request.model_digest, "\n", request.adapter, "\n",
                   request.profile, "\n", request.type, "\n", request.lora ? "lora" : ""));
  return absl::StrCat("export-", digest.substr(0, kIdDigits), attempt == 0 ? "" : absl::StrCat("-", attempt));
}

}  // namespace vernier::client
