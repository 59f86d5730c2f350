#include "server/validate/references.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/text.h"
#include "server/validate/architectures.h"
#include "server/validate/dataset_rows.h"
#include "server/validate/exports.h"
#include "server/validate/stage_defaults.h"

namespace vernier::server {
namespace {

const v1::ModelRef& ModelOf(const v1::Stage& stage) {
  if (stage.has_evaluate()) return stage.evaluate().model();
  return stage.has_export_() ? stage.export_().model() : stage.train().model();
}
const v1::AdapterRef& AdapterOf(const v1::Stage& stage) {
  if (stage.has_evaluate()) return stage.evaluate().adapter();
  return stage.has_export_() ? stage.export_().adapter() : stage.train().init_from();
}
bool HasAdapter(const v1::Stage& stage) {
  if (stage.has_evaluate()) return stage.evaluate().has_adapter();
  return stage.has_export_() ? stage.export_().has_adapter() : stage.train().has_init_from();
}
absl::string_view AdapterField(const v1::Stage& stage) { return stage.has_train() ? "init_from" : "adapter"; }
v1::Data& DataOf(v1::Stage& stage) {
  return stage.has_evaluate() ? *stage.mutable_evaluate()->mutable_data()
                              : *stage.mutable_train()->mutable_data();
}
bool PublishesWeights(const v1::Stage& stage) { return stage.train().tuning().has_full(); }

class Resolver {
 public:
  Resolver(const Catalog& catalog, absl::Time now, v1::JobSpec& spec, FieldErrors& errors)
      : catalog_(catalog), now_(now), spec_(spec), errors_(errors) {}

  std::vector<StageRecord> Run() {
    const int num_stages = spec_.stages_size();
    records_.resize(num_stages);
    models_.resize(num_stages);
    needs_.resize(num_stages);
    stacked_.resize(num_stages);
    for (int i = 0; i < num_stages; ++i) {
      records_[i].set_id(spec_.stages(i).id());
      ids_.push_back(spec_.stages(i).id());
      index_.emplace(spec_.stages(i).id(), i);
    }
    // Nearest names cost time: a job that is wrong everywhere must not take all of the server's.
    for (int i = 0; i < num_stages && !errors_.full(); ++i) CollectNeeds(i);
    if (errors_.full()) return std::move(records_);
    for (const int i : InOrder()) {
      if (!errors_.full()) ResolveStage(i);
    }
    return std::move(records_);
  }

 private:
  FieldCheck At(int i) const { return FieldCheck(errors_, StageWhere(spec_, i)); }

  // The stage called `id`, or -1 with an error.
  int Find(int i, absl::string_view field, const std::string& id) {
    const auto it = index_.find(id);
    if (it != index_.end()) return it->second;
    At(i).Error(field, absl::StrCat(": \"", Excerpt(id), "\" is no stage of this job", DidYouMean(id, ids_)));
    return -1;
  }

  void Need(int i, absl::string_view field, const std::string& id) {
    const int needed = Find(i, field, id);
    if (needed < 0 || !needs_[i].insert(needed).second) return;
    records_[i].add_needs(id);
  }

  void CollectNeeds(int i) {
    const v1::Stage& stage = spec_.stages(i);
    if (ModelOf(stage).has_stage()) Need(i, "model.stage", ModelOf(stage).stage());
    if (AdapterOf(stage).has_stage()) {
      Need(i, absl::StrCat(AdapterField(stage), ".stage"), AdapterOf(stage).stage());
    }
    if (stage.after_size() > spec_.stages_size()) {
      At(i).Error("after", absl::StrCat(": ", stage.after_size(), " names are more than the job has stages (",
                                        spec_.stages_size(), ")"));
      return;
    }
    for (const std::string& id : stage.after()) Need(i, "after", id);
  }

  // Every stage after those it needs; those of a cycle are left out, with one error.
  std::vector<int> InOrder() {
    std::vector<int> order;
    std::vector<bool> done(records_.size(), false);
    for (bool moved = true; moved;) {
      moved = false;
      for (int i = 0; i < static_cast<int>(records_.size()); ++i) {
        if (done[i] || !absl::c_all_of(needs_[i], [&](int needed) { return done[needed]; })) continue;
        done[i] = moved = true;
        order.push_back(i);
      }
    }
    const auto stuck = std::find(done.begin(), done.end(), false);
    if (stuck != done.end()) ReportCycle(static_cast<int>(stuck - done.begin()), done);
    return order;
  }

  void ReportCycle(int start, const std::vector<bool>& done) {
    // Every stuck stage needs a stuck one: following them must come back.
    std::vector<int> path;
    int at = start;
    while (absl::c_find(path, at) == path.end()) {
      path.push_back(at);
      at = *absl::c_find_if(needs_[at], [&](int needed) { return !done[needed]; });
    }
    path.erase(path.begin(), absl::c_find(path, at));
    path.push_back(at);
    errors_.Add(
        absl::StrCat("stages: they wait for each other in a circle (",
                     absl::StrJoin(path, " needs ", [&](std::string* out, int i) { *out += ids_[i]; }),
                     "); remove one of these references"));
  }

  void ResolveStage(int i) {
    v1::Stage& stage = *spec_.mutable_stages(i);
    if (stage.kind_case() == v1::Stage::KIND_NOT_SET) return;
    if (stage.has_export_()) return ResolveExport(i);
    if (ResolveModel(i)) ResolveAdapter(i);
    ResolveData(i);
    if (stage.has_train()) CheckTargets(i);
  }

  // False: no model, an error was added.
  bool ResolveModel(int i) {
    const v1::ModelRef& ref = ModelOf(spec_.stages(i));
    StageRecord& record = records_[i];
    if (ref.has_base()) {
      const absl::StatusOr<v1::Model> model = catalog_.FindModel(ref.base());
      if (!model.ok()) {
        At(i).Error(
            "model",
            absl::StrCat(": ", model.status().message(),
                         index_.contains(ref.base())
                             ? absl::StrCat("; a stage has this name: write model: {stage: ", ref.base(), "}")
                             : ""));
        return false;
      }
      models_[i] = *model;
      record.set_model_name(ref.base());
      record.set_model_digest(model->digest());
      record.set_context_length(model->context_length());
      if (model->has_shape() && spec_.stages(i).has_train()) *record.mutable_shape() = model->shape();
      return true;
    }
    const auto it = index_.find(ref.stage());
    if (!ref.has_stage() || it == index_.end()) return false;  // said before
    const int from = it->second;
    const v1::Stage& source = spec_.stages(from);
    if (!source.has_train()) {
      At(i).Error("model.stage",
                  absl::StrCat(": \"", ref.stage(), "\" publishes no model; name a train stage"));
      return false;
    }
    const StageRecord& base = records_[from];
    if (base.model_digest().empty()) return false;  // its own error says why
    models_[i] = models_[from];
    record.set_model_name(base.model_name());
    record.set_model_digest(base.model_digest());
    record.set_context_length(base.context_length());
    if (models_[i].has_shape() && spec_.stages(i).has_train()) *record.mutable_shape() = models_[i].shape();
    if (PublishesWeights(source)) {
      record.set_weights_stage(source.id());
      return true;
    }
    record.set_weights_stage(base.weights_stage());
    // An export merges all of them.
    if (!base.start_adapter_stage().empty() && !spec_.stages(i).has_export_()) {
      At(i).Error(
          "model.stage",
          absl::StrCat(": the adapter of \"", source.id(), "\" lies on top of the adapter of \"",
                       base.start_adapter_stage(), "\", and two cannot be stacked; in \"", source.id(),
                       "\" use init_from: {stage: ", base.start_adapter_stage(), "} or tuning: {full: {}}"));
      return false;
    }
    if (spec_.stages(i).has_train()) {
      record.set_start_adapter_stage(source.id());
    } else {
      record.set_adapter_stage(source.id());
    }
    return true;
  }

  void ResolveExport(int i) {
    const v1::ExportStage& stage = spec_.stages(i).export_();
    if (stage.job().empty()) {
      if (!ResolveModel(i) || !ResolveAdapter(i)) return;
      SetSource(i);
    } else if (!ResolvePublished(i, stage)) {
      return;
    }
    CheckExportProfiles(At(i), stage, records_[i], stacked_[i], models_[i].architecture());
  }

  // What another job published. False: an error was added.
  bool ResolvePublished(int i, const v1::ExportStage& stage) {
    if (stage.has_model() || stage.has_adapter()) {
      At(i).Error("job", " is set beside model or adapter; it names both already, remove them");
      return false;
    }
    const absl::StatusOr<PublishedFacts> found = catalog_.FindPublished(stage.job());
    if (!found.ok()) {
      At(i).Error("job", absl::StrCat(": ", found.status().message()));
      return false;
    }
    const absl::StatusOr<v1::Model> model = catalog_.FindModel(found->model_digest);
    if (!model.ok()) {
      At(i).Error("job", absl::StrCat(": its base: ", model.status().message()));
      return false;
    }
    models_[i] = *model;
    StageRecord& record = records_[i];
    FillFromPublished(*found, record);
    record.set_context_length(model->context_length());
    stacked_[i] = found->is_stacked;
    return true;
  }

  // What is said of a source that is named by model and adapter.
  void SetSource(int i) {
    StageRecord& record = records_[i];
    record.set_source_is_adapter(!record.adapter_stage().empty() || !record.adapter_key().empty());
    const std::string& id = record.adapter_stage().empty() ? record.weights_stage() : record.adapter_stage();
    if (const auto it = index_.find(id); it != index_.end()) {
      record.set_chat_template(spec_.stages(it->second).train().data().chat_template());
      record.set_source(absl::StrCat("stage \"", id, "\""));
      stacked_[i] = !record.adapter_stage().empty() && !records_[it->second].start_adapter_stage().empty();
    } else {
      record.set_source(absl::StrCat("model \"", record.model_name(), "\"",
                                     record.source_is_adapter() ? " with an adapter" : ""));
    }
  }

  // False: an error was added.
  bool ResolveAdapter(int i) {
    const v1::Stage& stage = spec_.stages(i);
    const v1::AdapterRef& ref = AdapterOf(stage);
    StageRecord& record = records_[i];
    const auto refuse = [&](const auto&... what) {
      At(i).Error(AdapterField(stage), absl::StrCat(what...));
      return false;
    };
    if (ref.source_case() == v1::AdapterRef::SOURCE_NOT_SET) {
      return !HasAdapter(stage) || refuse(" names no adapter; write e.g. {job: jobs/ID} or remove it");
    }
    if (!record.adapter_stage().empty()) {
      return refuse(" is set, but model: {stage: ", record.adapter_stage(),
                    "} is an adapter already; remove one of them");
    }
    if (ref.has_stage()) return ResolveAdapterOfStage(i);
    const absl::StatusOr<AdapterFacts> adapter = catalog_.FindAdapter(ref);
    if (!adapter.ok()) return refuse(": ", adapter.status().message());
    if (!adapter->model_digest.empty() && adapter->model_digest != record.model_digest()) {
      return refuse(": that adapter was trained on model \"", adapter->model_name,
                    "\", and this stage uses \"", record.model_name(), "\"; use the same model");
    }
    record.set_adapter_key(adapter->key);
    if (stage.has_export_()) {
      record.set_source_prepared_key(adapter->prepared_key);
      record.set_chat_template(adapter->chat_template);
    }
    return true;
  }

  bool ResolveAdapterOfStage(int i) {
    const v1::Stage& stage = spec_.stages(i);
    const std::string& id = AdapterOf(stage).stage();
    const auto it = index_.find(id);
    if (it == index_.end()) return false;  // said before
    const v1::Stage& source = spec_.stages(it->second);
    StageRecord& record = records_[i];
    const StageRecord& base = records_[it->second];
    const auto refuse = [&](const auto&... what) {
      At(i).Error(absl::StrCat(AdapterField(stage), ".stage"), absl::StrCat(what...));
      return false;
    };
    const std::string instead = absl::StrCat("; use model: {stage: ", id, "}");
    if (!source.has_train() || PublishesWeights(source)) {
      return refuse(": \"", id, "\" publishes no adapter", source.has_train() ? instead : "");
    }
    if (!base.model_digest().empty() &&
        (base.model_digest() != record.model_digest() || base.weights_stage() != record.weights_stage() ||
         base.start_adapter_stage() != record.start_adapter_stage())) {
      // An export takes all that lies below the adapter; its model names no stack.
      const bool whole = stage.has_export_() && !base.start_adapter_stage().empty();
      return refuse(": the adapter of \"", id, "\" was trained on another model",
                    whole ? absl::StrCat(instead, " alone, without adapter") : "; give both the same model");
    }
    record.set_adapter_stage(id);
    return true;
  }

  void ResolveData(int i) {
    v1::Stage& stage = *spec_.mutable_stages(i);
    v1::Data& data = DataOf(stage);
    StageRecord& record = records_[i];
    if (!data.mix().empty()) {
      ResolveMix(i, data);
    } else if (data.source().empty()) {
      return;  // said before
    } else if (const absl::StatusOr<v1::Dataset> dataset = catalog_.FindDataset(data.source());
               !dataset.ok()) {
      At(i).Error("data.source", absl::StrCat(": ", dataset.status().message()));
    } else {
      record.set_has_data(true);
      record.set_dataset_digest(dataset->digest());
      CheckFormat(i, *dataset);
    }
    if (data.has_validation()) ResolveValidation(i, data.validation());
    FillLengths(i, data);
    if (!data.has_template_time()) {
      data.set_template_time(absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", now_, absl::UTCTimeZone()));
    }
  }

  void ResolveMix(int i, const v1::Data& data) {
    StageRecord& record = records_[i];
    for (int m = 0; m < data.mix_size(); ++m) {
      const std::string field = absl::StrCat("data.mix[", m, "].source");
      if (data.mix(m).source().empty()) return;  // said before
      const absl::StatusOr<v1::Dataset> dataset = catalog_.FindDataset(data.mix(m).source());
      if (!dataset.ok()) {
        At(i).Error(field, absl::StrCat(": ", dataset.status().message()));
        continue;
      }
      record.set_has_data(true);
      record.add_mix_digests(dataset->digest());
      // Preparing refuses datasets of other rows than the first one's.
      if (m == 0) CheckFormat(i, *dataset);
    }
  }

  void ResolveValidation(int i, const v1::ValidationData& validation) {
    absl::string_view share = validation.from();
    if (share.empty()) {
      At(i).Error("data.validation.from", " is empty; write a share like 5%, or the name of a dataset");
    } else if (absl::ConsumeSuffix(&share, "%")) {
      double percent = 0;
      if (!absl::SimpleAtod(share, &percent) || !(percent > 0 && percent < 100)) {
        At(i).Error("data.validation", absl::StrCat(" = \"", Excerpt(validation.from()),
                                                    "\" is no share above 0% and below 100%; write e.g. 5%"));
        return;
      }
      records_[i].set_validation_fraction(percent / 100);
    } else if (const auto dataset = catalog_.FindDataset(validation.from()); dataset.ok()) {
      records_[i].set_validation_digest(dataset->digest());
    } else {
      At(i).Error("data.validation",
                  absl::StrCat(": ", dataset.status().message(), ", or write a share like 5%"));
    }
  }

  void FillLengths(int i, v1::Data& data) {
    const int context = records_[i].context_length();
    if (context <= 0) return;
    if (!data.has_max_tokens()) data.set_max_tokens(context);
    if (data.max_tokens() > context) {
      At(i).Error("data.max_tokens",
                  absl::StrCat(" = ", data.max_tokens(), " is above the context of model \"",
                               records_[i].model_name(), "\", ", context, " tokens; use ", context,
                               " or remove the field"));
    }
    const v1::EvaluateStage& evaluate = spec_.stages(i).evaluate();
    if (Generates(evaluate) && evaluate.decoding().max_new_tokens() >= context) {
      At(i).Error(
          "decoding.max_new_tokens",
          absl::StrCat(" = ", evaluate.decoding().max_new_tokens(), " leaves no room for the prompt in the ",
                       context, " tokens of model \"", records_[i].model_name(), "\"; use less"));
    }
  }

  // What the kind of rows decides: which tokens are trained, whether a chat template is needed, what can be
  // judged.
  void CheckFormat(int i, const v1::Dataset& dataset) {
    v1::Stage& stage = *spec_.mutable_stages(i);
    const v1::Data& data = DataOf(stage);
    const std::string& name = data.mix().empty() ? data.source() : data.mix(0).source();
    const auto& columns =
        data.mix().empty() || data.mix(0).columns().empty() ? data.columns() : data.mix(0).columns();
    const absl::StatusOr<std::optional<data::RowForm>> form =
        FormOfRows(dataset, {columns.begin(), columns.end()}, data.format());
    if (!form.ok()) {
      At(i).Error(data.mix().empty() ? "data.source" : "data.mix[0].source", form.status().message());
      return;
    }
    v1::LossOn loss_on = DefaultLossOn(*form);
    const v1::LossOn by_format = loss_on;
    if (stage.has_train()) {
      v1::CausalLm& objective = *stage.mutable_train()->mutable_objective()->mutable_causal_lm();
      At(i).In("objective").In("causal_lm").Enum(objective, "loss_on", loss_on);
      loss_on = objective.loss_on();
    } else if (const std::string& judged = ModelOf(stage).stage(); !judged.empty()) {
      // Judged on the tokens it was trained on, so that its loss compares with the training's.
      const auto it = index_.find(judged);
      const v1::LossOn trained = it == index_.end()
                                     ? v1::LOSS_ON_UNSPECIFIED
                                     : spec_.stages(it->second).train().objective().causal_lm().loss_on();
      const bool fits = trained == v1::LOSS_ON_ALL || by_format != v1::LOSS_ON_ALL;
      if (trained != v1::LOSS_ON_UNSPECIFIED && fits) loss_on = trained;
    }
    records_[i].set_loss_on(loss_on);
    if (by_format == v1::LOSS_ON_ALL && loss_on != v1::LOSS_ON_ALL) {
      At(i).Error(
          "objective.causal_lm.loss_on",
          absl::StrCat(
              ": dataset \"", name,
              "\" is plain text without assistant turns or completions; use all or remove the field"));
    }
    const bool last = data.turns() == v1::TURNS_LAST, expand = data.turns() == v1::TURNS_EXPAND;
    if ((last || expand) && (loss_on == v1::LOSS_ON_ALL || loss_on == v1::LOSS_ON_PROMPT)) {
      At(i).Error("data.turns",
                  absl::StrCat(last ? " = last" : " = expand", " contradicts objective.causal_lm.loss_on = ",
                               loss_on == v1::LOSS_ON_ALL ? "all" : "prompt", "; remove one of them"));
    }
    if (expand && loss_on == v1::LOSS_ON_COMPLETION && by_format == v1::LOSS_ON_ASSISTANT) {
      At(i).Error(
          "data.turns",
          " = expand contradicts objective.causal_lm.loss_on = completion, which trains the last turn "
          "only; remove one of them");
    }
    if (by_format == v1::LOSS_ON_ASSISTANT && !records_[i].model_digest().empty() &&
        !models_[i].has_chat_template() && !data.has_chat_template()) {
      At(i).Error("data.chat_template",
                  absl::StrCat(" is needed: dataset \"", name, "\" has chat messages and model \"",
                               records_[i].model_name(), "\" has no chat template"));
    }
    if (by_format == v1::LOSS_ON_ALL && Generates(stage.evaluate())) {
      At(i).Error("metrics",
                  absl::StrCat(": dataset \"", name,
                               "\" is plain text without answers to compare with; judge loss, perplexity or "
                               "token_accuracy"));
    }
  }

  void CheckTargets(int i) {
    const v1::Lora& lora = spec_.stages(i).train().tuning().lora();
    const std::string& architecture = models_[i].architecture();
    const std::vector<std::string> known = LinearLayersOf(architecture);
    if (known.empty()) return;
    const FieldCheck at = At(i).In("tuning").In("lora");
    const auto check = [&](const std::string& field, const std::string& name) {
      const std::vector<std::string> parts = absl::StrSplit(name, '.');
      if (absl::c_linear_search(known, parts.back())) return;
      at.Error(field, absl::StrCat(": \"", Excerpt(name), "\" is no linear layer of ", architecture,
                                   DidYouMean(parts.back(), known), "; it has ", absl::StrJoin(known, ", ")));
    };
    for (const std::string& target : lora.targets()) {
      if (target != "all_linear") check("targets", target);
    }
    std::set<std::string> modules;
    for (const auto& [module, rank] : lora.rank_by_module()) modules.insert(module);
    for (const auto& [module, alpha] : lora.alpha_by_module()) modules.insert(module);
    for (const std::string& module : modules) {
      check(lora.rank_by_module().contains(module) ? "rank_by_module" : "alpha_by_module", module);
    }
  }

  const Catalog& catalog_;
  const absl::Time now_;
  v1::JobSpec& spec_;
  FieldErrors& errors_;
  std::vector<StageRecord> records_;
  std::vector<v1::Model> models_;
  std::vector<std::set<int>> needs_;
  std::vector<bool> stacked_;  // of an export: its adapter lies on top of another one
  std::vector<std::string> ids_;
  std::map<std::string, int> index_;
};

}  // namespace

std::string StageWhere(const v1::JobSpec& spec, int stage) {
  const std::string& id = spec.stages(stage).id();
  if (id.empty() || id.size() > 40) return absl::StrCat("stages[", stage, "]: ");
  return absl::StrCat("stage \"", Excerpt(id), "\": ");
}

std::vector<StageRecord> ResolveReferences(const Catalog& catalog, absl::Time now, v1::JobSpec& spec,
                                           FieldErrors& errors) {
  return Resolver(catalog, now, spec, errors).Run();
}

}  // namespace vernier::server
