#include "server/validate/validate.h"

#include <map>
#include <set>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "server/validate/field_check.h"
#include "server/validate/references.h"
#include "server/validate/stage_defaults.h"

namespace vernier::server {
namespace {

constexpr int kMaxStages = 256;
constexpr int kMaxLabels = 16;
constexpr size_t kMaxLabelBytes = 64;

bool AllOf(absl::string_view text, absl::string_view punctuation, bool upper) {
  return absl::c_all_of(text, [&](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || (upper && absl::ascii_isupper(c)) ||
           absl::StrContains(punctuation, absl::string_view(&c, 1));
  });
}

void FillJob(const FieldCheck& at, v1::JobSpec& spec) {
  if (!spec.has_version()) spec.set_version(1);
  if (spec.version() != 1) {
    at.Error("version", absl::StrCat(" = ", spec.version(), " is not known; this server reads version 1"));
  }
  if (spec.name().size() > 64 || !AllOf(spec.name(), "._-", true)) {
    at.Error("name", absl::StrCat(" = \"", Excerpt(spec.name()), "\": use at most 64 of A-Z a-z 0-9 . _ -"));
  }
  if (spec.labels_size() > kMaxLabels) {
    at.Error("labels", absl::StrCat(": ", spec.labels_size(), " labels are more than ", kMaxLabels));
  } else {
    for (const auto& [key, value] : std::map(spec.labels().begin(), spec.labels().end())) {
      if (key.empty() || key.size() > kMaxLabelBytes || value.size() > kMaxLabelBytes) {
        at.Error("labels", absl::StrCat(".", Excerpt(key), ": keys are 1 to 64 bytes, values at most 64"));
      }
    }
  }
  if (!spec.has_seed()) spec.set_seed(17);
  at.Number(spec, "max_attempts", Closed(1, 100), 3);
}

// One list of stages, whatever the short form was.
void UnfoldStages(const FieldCheck& at, v1::JobSpec& spec) {
  if (spec.has_train() && !spec.stages().empty()) {
    at.Error("train", " is set beside stages; move it into a stage: - id: train");
  }
  if (spec.stages().empty()) {
    v1::Stage& stage = *spec.add_stages();
    stage.set_id("train");
    *stage.mutable_train() = spec.train();
  }
  spec.clear_train();
}

void CheckId(FieldErrors& errors, const v1::JobSpec& spec, int i, std::set<std::string>& seen) {
  const std::string& id = spec.stages(i).id();
  if (id.empty() || id.size() > 40 || !AllOf(id, "_-", false)) {
    errors.Add(absl::StrCat("stages[", i, "].id = \"", Excerpt(id), "\": use 1 to 40 of a-z 0-9 _ -"));
  } else if (!seen.insert(id).second) {
    errors.Add(absl::StrCat("stages[", i, "].id = \"", id, "\" is there twice; rename one of them"));
  }
}

// The job's model where the stage names none.
template <typename Kind>
void InheritModel(const v1::JobSpec& spec, const FieldCheck& at, Kind& kind) {
  if (kind.model().source_case() == v1::ModelRef::SOURCE_NOT_SET &&
      spec.model().source_case() != v1::ModelRef::SOURCE_NOT_SET) {
    *kind.mutable_model() = spec.model();
  }
  if (kind.model().source_case() == v1::ModelRef::SOURCE_NOT_SET) {
    at.Error("model", " is missing; set it here or for the whole job, e.g. model: smollm2");
  }
}

// The job's model and data where the stage names none.
template <typename Kind>
void Inherit(const v1::JobSpec& spec, const FieldCheck& at, Kind& kind) {
  InheritModel(spec, at, kind);
  if (!kind.has_data() && spec.has_data()) *kind.mutable_data() = spec.data();
  if (!kind.has_data() || (kind.data().source().empty() && kind.data().mix().empty())) {
    at.Error("data", " has no source; set it here or for the whole job, e.g. data: ./train.jsonl");
  }
  FillData(at.In("data"), *kind.mutable_data());
}

void FillStage(const FieldCheck& at, v1::JobSpec& spec, v1::Stage& stage) {
  switch (stage.kind_case()) {
    case v1::Stage::kTrain:
      Inherit(spec, at, *stage.mutable_train());
      FillTrain(at, *stage.mutable_train());
      break;
    case v1::Stage::kEvaluate:
      Inherit(spec, at, *stage.mutable_evaluate());
      FillEvaluate(at, spec.seed(), *stage.mutable_evaluate());
      break;
    case v1::Stage::kExport:
      if (stage.export_().job().empty()) InheritModel(spec, at, *stage.mutable_export_());
      FillExport(at, *stage.mutable_export_());
      break;
    case v1::Stage::KIND_NOT_SET:
      at.Error("", "it says nothing to do; write train: {...}, evaluate: {...} or export: {...}");
      break;
  }
}

}  // namespace

absl::StatusOr<Validated> ValidateSpec(const v1::JobSpec& spec, const Catalog& catalog,
                                       int64_t max_spec_bytes, absl::Time now) {
  const auto too_large = [&](size_t bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("job: with every default filled in it has ", HumanBytes(bytes), ", more than ",
                     HumanBytes(max_spec_bytes), "; use fewer stages or a shorter chat_template"));
  };
  if (spec.ByteSizeLong() > static_cast<size_t>(max_spec_bytes)) return too_large(spec.ByteSizeLong());
  if (spec.stages_size() > kMaxStages) {
    return absl::InvalidArgumentError(
        absl::StrCat("stages: ", spec.stages_size(), " are more than ", kMaxStages, "; split the job"));
  }
  // What every stage inherits is counted before it is copied.
  const size_t inherited = spec.data().ByteSizeLong() * static_cast<size_t>(spec.stages_size());
  if (inherited > static_cast<size_t>(max_spec_bytes)) return too_large(inherited);

  FieldErrors errors;
  CheckNoUnknownFields(spec, errors);
  Validated out{.spec = spec};
  const FieldCheck at(errors, "");
  FillJob(at, out.spec);
  UnfoldStages(at, out.spec);
  std::set<std::string> ids;
  for (int i = 0; i < out.spec.stages_size(); ++i) {
    CheckId(errors, out.spec, i, ids);
    FillStage(FieldCheck(errors, StageWhere(out.spec, i)), out.spec, *out.spec.mutable_stages(i));
  }
  out.stages = ResolveReferences(catalog, now, out.spec, errors);
  VN_RETURN_IF_ERROR(errors.ToStatus());
  if (out.spec.ByteSizeLong() > static_cast<size_t>(max_spec_bytes))
    return too_large(out.spec.ByteSizeLong());
  return out;
}

}  // namespace vernier::server
