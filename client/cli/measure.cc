#include "client/cli/measure.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/check.h"
#include "worker/data/prepare_task.h"

namespace vernier::cli {
namespace {

bool IsShare(absl::string_view validation) { return absl::EndsWith(validation, "%"); }

// The options of the service's own task for these rows, whose keys nobody reads here.
absl::StatusOr<data::PrepareOptions> OptionsFor(const v1::TrainStage& train) {
  v1::Task task;
  task.set_tenant("local");
  v1::PrepareTask& prepare = *task.mutable_prepare();
  prepare.set_dataset_key("local");
  prepare.set_model_key("local");
  *prepare.mutable_data() = train.data();
  prepare.set_loss_on(train.objective().causal_lm().loss_on());
  absl::string_view share = train.data().validation().from();
  double percent = 0;
  if (absl::ConsumeSuffix(&share, "%") && absl::SimpleAtod(share, &percent)) {
    prepare.set_validation_fraction(percent / 100);
  }
  return data::OptionsOf(task);
}

}  // namespace

absl::StatusOr<v1::DataReport> MeasureRows(const LocalRows& rows, const v1::TrainStage& train,
                                           const data::Codec& codec, const data::ProgressFn& progress) {
  data::CheckRequest request;
  request.codec = &codec;
  request.num_samples = 0;
  VN_ASSIGN_OR_RETURN(request.options, OptionsFor(train));
  request.options.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 256U));
  VN_ASSIGN_OR_RETURN(request.rows, data::CheckInputOf(rows.train));
  if (!rows.validation.empty()) {
    VN_ASSIGN_OR_RETURN(request.validation, data::CheckInputOf(rows.validation));
  }
  return data::CheckData(request, progress);
}

std::vector<std::string> NotMeasured(const LocalRows& rows, const v1::Data& data) {
  if (!data.mix().empty()) {
    return {
        "data.mix is not looked at before a job has prepared it: each of its rows counts as long as it may "
        "be"};
  }
  const std::string& validation = data.validation().from();
  if (rows.train.empty() || validation.empty() || IsShare(validation) || !rows.validation.empty()) return {};
  return {absl::StrCat("the rows of data.validation \"", Excerpt(validation),
                       "\" are in the service alone: the time of validations is not counted")};
}

}  // namespace vernier::cli
