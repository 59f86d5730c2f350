#include "worker/stages/train/compose.h"

#include <ATen/Parallel.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/stages/start.h"
#include "worker/stages/train/init_from.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

absl::StatusOr<data::BatchPlan> MakePlan(const v1::TrainStage& stage, const data::PreparedRows& rows,
                                         const data::PreparedFacts& facts, uint64_t seed) {
  data::BatchPlanOptions options;
  options.seed = seed;
  options.mixture = facts.mixture;
  if (stage.batch().size_case() == v1::Batch::kRows) options.batch_rows = stage.batch().rows();
  if (stage.batch().size_case() == v1::Batch::kTokens) options.batch_tokens = stage.batch().tokens();
  if (stage.has_virtual_shards()) options.virtual_shards = stage.virtual_shards();
  if (stage.has_micro_batch_tokens()) options.micro_batch_tokens = stage.micro_batch_tokens();
  if (stage.layout() == v1::LAYOUT_PADDED) options.layout = data::Layout::kPadded;
  return data::BatchPlan::Create(rows.lengths(), rows.weight_sums(), options);
}

absl::StatusOr<int64_t> TotalSteps(const v1::TrainStage& stage, const data::BatchPlan& plan) {
  if (stage.has_max_steps()) {
    if (stage.max_steps() < 1 || stage.max_steps() > 100'000'000) {
      return absl::InvalidArgumentError(
          absl::StrCat("max_steps = ", stage.max_steps(), " is outside [1, 100000000]"));
    }
    return stage.max_steps();
  }
  const double epochs = stage.has_epochs() ? stage.epochs() : 1.0;
  if (!(epochs > 0 && epochs <= 1000)) {
    return absl::InvalidArgumentError(absl::StrCat("epochs = ", epochs, " is outside (0, 1000]"));
  }
  return plan.TotalSteps(epochs);
}

// Every set field of the stage that the bits of the result depend on.
void AddStageFields(v1::TrainStage stage, TrainIdentity& identity) {
  stage.clear_model();      // the base's digest says which
  stage.clear_data();       // the prepared data's digest does
  stage.clear_init_from();  // the key does
  stage.clear_checkpoint();
  stage.clear_threads();              // in the numeric class
  stage.clear_checkpointed_layers();  // moves no bit
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  stage.GetReflection()->ListFields(stage, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    std::string text;
    google::protobuf::TextFormat::PrintFieldValueToString(stage, field, /*index=*/-1, &text);
    identity[absl::StrCat("stage.", field->name())] = text;
  }
}

// The adapters to merge into the base, in order.
absl::StatusOr<std::vector<std::string>> AdaptersToMerge(storage::ObjectStore& store,
                                                         const v1::TrainTask& task) {
  std::vector<std::string> of_init, of_start;
  if (!task.init_adapter_key().empty()) {
    VN_ASSIGN_OR_RETURN(of_init, AdaptersBelow(store, task.init_adapter_key()));
  }
  if (task.start_adapter_key().empty()) return of_init;
  VN_ASSIGN_OR_RETURN(of_start, AdaptersBelow(store, task.start_adapter_key()));
  of_start.push_back(task.start_adapter_key());
  if (!of_init.empty() && of_init != of_start) {
    return absl::FailedPreconditionError(
        absl::StrCat("init_from: that adapter was trained above [", absl::StrJoin(of_init, ", "),
                     "], the stage's model has [", absl::StrJoin(of_start, ", "), "]; use one or the other"));
  }
  return of_start;
}

}  // namespace

absl::StatusOr<TrainSetup> Compose(const StageContext& context) {
  const v1::TrainTask& task = context.task.train();
  const v1::TrainStage& stage = task.stage();
  const uint64_t seed = context.task.seed();
  TrainSetup setup;
  const trainer::PrecisionChoice precision = ReportStart(context, stage.precision());
  setup.numeric_class = NumericClassOf(precision.dtype).ToString();

  VN_ASSIGN_OR_RETURN(BaseModel base, LoadBaseModel(context.store, task.model_key(), precision.dtype));
  setup.base = std::make_unique<BaseModel>(std::move(base));
  models::CausalLm& model = *setup.base->model;
  VN_ASSIGN_OR_RETURN(const std::vector<std::string> below, AdaptersToMerge(context.store, task));
  for (const std::string& key : below) VN_RETURN_IF_ERROR(MergeAdapter(context.store, key, model));
  if (!below.empty()) setup.start_adapter = below.back();

  VN_ASSIGN_OR_RETURN(data::PreparedRows train,
                      OpenRows(context.store, task.prepared_key(), data::Split::kTrain, model.config()));
  setup.train = std::make_unique<data::PreparedRows>(std::move(train));
  VN_ASSIGN_OR_RETURN(data::PreparedRows validation,
                      OpenRows(context.store, task.prepared_key(), data::Split::kValidation, model.config()));
  setup.validation = std::make_unique<data::PreparedRows>(std::move(validation));
  VN_ASSIGN_OR_RETURN(const data::PreparedFacts facts, data::ReadFacts(context.store, task.prepared_key()));
  VN_ASSIGN_OR_RETURN(data::BatchPlan plan, MakePlan(stage, *setup.train, facts, seed));
  setup.plan = std::make_unique<data::BatchPlan>(std::move(plan));
  setup.forward = {.micro_batch_tokens = setup.plan->options().micro_batch_tokens,
                   .layout = setup.plan->options().layout};
  VN_ASSIGN_OR_RETURN(const int64_t total_steps, TotalSteps(stage, *setup.plan));
  VN_ASSIGN_OR_RETURN(setup.cadence, MakeCadence(stage, total_steps, setup.validation->num_rows() > 0));

  std::unique_ptr<adapters::Tuning> tuning;
  if (task.init_adapter_key().empty()) {
    VN_ASSIGN_OR_RETURN(tuning, trainer::TorchCall("tuning", [&] {
                          return adapters::CreateTuning(model, stage.tuning(), seed);
                        }));
  } else {
    VN_ASSIGN_OR_RETURN(const Adapter start, LoadAdapter(context.store, task.init_adapter_key(), model));
    if (!start.base_digest.empty() && start.base_digest != setup.base->digest) {
      context.events.ReportLog("warning",
                               absl::StrCat("init_from: the adapter was trained on base ", start.base_digest,
                                            ", the stage trains on ", setup.base->digest));
    }
    VN_ASSIGN_OR_RETURN(tuning, trainer::TorchCall("init_from", [&] {
                          return ContinueAdapter(model, *start.tuning, stage.tuning(), seed);
                        }));
  }
  const int max_lanes = std::min(at::get_num_threads(), setup.plan->options().virtual_shards);
  VN_ASSIGN_OR_RETURN(setup.run, trainer::TorchCall("run", [&] {
                        return trainer::Run::Create(model, std::move(tuning), stage, max_lanes);
                      }));
  setup.identity = {{"numeric_class", setup.numeric_class},
                    {"base_digest", setup.base->digest},
                    {"data_digest", facts.digest},
                    {"adapters_below", absl::StrJoin(below, " ")},
                    {"init_adapter", task.init_adapter_key()},
                    {"seed", absl::StrCat(seed)},
                    {"total_steps", absl::StrCat(total_steps)}};
  AddStageFields(stage, setup.identity);
  return setup;
}

}  // namespace vernier::stages
