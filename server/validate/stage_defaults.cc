#include "server/validate/stage_defaults.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/text.h"
#include "worker/data/formats/row_forms.h"

namespace vernier::server {
namespace {

constexpr int64_t kMaxSteps = 100'000'000;
constexpr int kMaxNames = 1024;  // of modules
constexpr size_t kMaxNameBytes = 256;
constexpr int kMaxMixSources = 64;

// Judged by `evaluate`; those from kFirstGenerated on compare generated answers.
const char* const kMetrics[] = {"loss", "perplexity", "token_accuracy", "exact_match", "rouge_l"};
constexpr int kFirstGenerated = 3;

// Of `export`.
const char* const kProfiles[] = {"peft", "serving", "merged", "gguf"};

// Each of `names` among `known`, and there once.
void CheckNames(const FieldCheck& at, absl::string_view field,
                const google::protobuf::RepeatedPtrField<std::string>& names,
                const std::vector<std::string>& known) {
  if (names.size() > static_cast<int>(known.size())) {
    at.Error(field,
             absl::StrCat(": ", names.size(), " of them, and there are ", known.size(), "; name each once"));
    return;
  }
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!absl::c_linear_search(known, name)) {
      at.Error(field, absl::StrCat(": \"", Excerpt(name), "\" is not known; known: ",
                                   absl::StrJoin(known, ", "), DidYouMean(name, known)));
    } else if (!seen.insert(name).second) {
      at.Error(field, absl::StrCat(": \"", name, "\" is there twice; remove one"));
    }
  }
}

void FillLora(const FieldCheck& at, bool shape_from_adapter, v1::Lora& lora) {
  // `init_from` continues an adapter of the shape it has: a default here would be untrue.
  const auto unless_given = [&](double fallback) {
    return shape_from_adapter ? std::nullopt : std::optional<double>(fallback);
  };
  at.Number(lora, "rank", Closed(1, 512), unless_given(8));
  at.Number(lora, "alpha", Above(0), unless_given(2.0 * lora.rank()));
  at.Number(lora, "dropout", {.low = 0, .high = 1, .high_open = true}, 0);
  at.Texts(lora, "targets", kMaxNames, kMaxNameBytes);
  if (!shape_from_adapter) {
    if (lora.targets().empty()) lora.add_targets("all_linear");
    at.Flag(lora, "rslora", false);
  }
  const auto check_modules = [&](absl::string_view field, const auto& modules) {
    const bool few = modules.size() <= kMaxNames;
    if (!few) at.Error(field, absl::StrCat(": ", modules.size(), " modules are more than ", kMaxNames));
    const bool short_names =
        absl::c_all_of(modules, [](const auto& module) { return module.first.size() <= kMaxNameBytes; });
    if (!short_names)
      at.Error(field, absl::StrCat(": a module's name has more than ", kMaxNameBytes, " bytes"));
    return few && short_names;
  };
  if (check_modules("rank_by_module", lora.rank_by_module())) {
    for (const auto& [module, rank] : std::map(lora.rank_by_module().begin(), lora.rank_by_module().end())) {
      if (rank < 1 || rank > 512) {
        at.Error("rank_by_module", absl::StrCat(".", Excerpt(module), " = ", rank, " is outside [1, 512]"));
      }
    }
  }
  if (check_modules("alpha_by_module", lora.alpha_by_module())) {
    for (const auto& [module, alpha] :
         std::map(lora.alpha_by_module().begin(), lora.alpha_by_module().end())) {
      if (!Above(0).Contains(alpha)) {
        at.Error("alpha_by_module", absl::StrCat(".", Excerpt(module), " = ", alpha, " is not above 0"));
      }
    }
  }
}

void FillTuning(const FieldCheck& at, bool shape_from_adapter, v1::Tuning& tuning) {
  if (tuning.method_case() == v1::Tuning::METHOD_NOT_SET) tuning.mutable_lora();
  if (tuning.has_lora()) FillLora(at.In("lora"), shape_from_adapter, *tuning.mutable_lora());
  if (tuning.has_full()) at.In("full").Texts(tuning.full(), "freeze", kMaxNames, kMaxNameBytes);
}

void FillOptimizer(const FieldCheck& at, bool full, v1::Optimizer& optimizer) {
  if (optimizer.rule_case() == v1::Optimizer::RULE_NOT_SET) optimizer.mutable_adamw();
  const Interval rate = {.low = 0, .high = 1, .high_open = true};
  if (optimizer.has_adamw()) {
    v1::AdamW& adamw = *optimizer.mutable_adamw();
    const FieldCheck in = at.In("adamw");
    in.Number(adamw, "learning_rate", {.low = 0, .high = 10, .low_open = true}, full ? 2e-5 : 2e-4);
    in.Number(adamw, "beta1", rate, 0.9);
    in.Number(adamw, "beta2", rate, 0.999);
    in.Number(adamw, "epsilon", Above(0), 1e-8);
    in.Number(adamw, "weight_decay", AtLeast(0), 0);
    return;
  }
  v1::Sgd& sgd = *optimizer.mutable_sgd();
  const FieldCheck in = at.In("sgd");
  in.Number(sgd, "learning_rate", {.low = 0, .high = 1000, .low_open = true}, 1e-2);
  in.Number(sgd, "momentum", rate, 0);
  in.Flag(sgd, "nesterov", false);
  in.Number(sgd, "weight_decay", AtLeast(0), 0);
  if (sgd.nesterov() && sgd.momentum() == 0) {
    in.Error("nesterov", " = true needs momentum above 0; set momentum, e.g. 0.9, or remove nesterov");
  }
}

void FillSchedule(const FieldCheck& at, v1::Schedule& schedule) {
  if (schedule.shape_case() == v1::Schedule::SHAPE_NOT_SET) schedule.mutable_linear();
  const Interval share = Closed(0, 1);
  switch (schedule.shape_case()) {
    case v1::Schedule::kConstant:
    case v1::Schedule::SHAPE_NOT_SET:
      break;
    case v1::Schedule::kLinear:
      at.In("linear").Number(*schedule.mutable_linear(), "min_ratio", share, 0);
      break;
    case v1::Schedule::kCosine:
      at.In("cosine").Number(*schedule.mutable_cosine(), "min_ratio", share, 0);
      break;
    case v1::Schedule::kPolynomial:
      at.In("polynomial").Number(*schedule.mutable_polynomial(), "power", Above(0), 1);
      at.In("polynomial").Number(*schedule.mutable_polynomial(), "min_ratio", share, 0);
      break;
    case v1::Schedule::kWsd:
      at.In("wsd").Number(*schedule.mutable_wsd(), "decay_ratio", {.low = 0, .high = 1, .low_open = true},
                          0.1);
      at.In("wsd").Number(*schedule.mutable_wsd(), "min_ratio", share, 0);
      break;
  }
  if (schedule.has_warmup_steps() && schedule.has_warmup_ratio()) {
    at.Error("warmup_ratio", " is set beside warmup_steps; remove one of them");
  }
  at.Number(schedule, "warmup_ratio", {.low = 0, .high = 1, .high_open = true});
  at.Number(schedule, "warmup_steps", Closed(0, kMaxSteps),
            schedule.has_warmup_ratio() ? std::nullopt : std::optional<double>(0));
}

void FillBatch(const FieldCheck& at, v1::Batch& batch) {
  if (batch.size_case() == v1::Batch::SIZE_NOT_SET) batch.set_rows(16);
  if (batch.has_rows()) at.Number(batch, "rows", Closed(1, 65536), 16);
  if (batch.has_tokens()) at.Number(batch, "tokens", Closed(64, 16777216));
}

void FillLength(const FieldCheck& at, v1::TrainStage& train) {
  if (train.has_epochs() && train.has_max_steps()) {
    at.Error("max_steps", " is set beside epochs; remove one of them");
  }
  at.Number(train, "max_steps", Closed(1, kMaxSteps));
  at.Number(train, "epochs", {.low = 0, .high = 1000, .low_open = true},
            train.has_max_steps() ? std::nullopt : std::optional<double>(1));
}

void FillValidation(const FieldCheck& at, v1::TrainStage& train) {
  const bool has_rows = train.data().has_validation();
  if (has_rows) {
    // A tenth of the steps. With epochs the number of steps is known once the data is prepared.
    const auto tenth =
        train.has_max_steps()
            ? std::optional<double>(static_cast<double>(std::max<int64_t>(1, train.max_steps() / 10)))
            : std::nullopt;
    at.In("validate").Number(*train.mutable_validate(), "every_steps", Closed(0, kMaxSteps), tenth);
  } else if (train.validate().every_steps() > 0) {
    at.Error("validate", " needs rows to validate on; set data.validation, e.g. 5%, or remove validate");
  }
  at.Enum(train, "publish", has_rows ? v1::PUBLISH_BEST : v1::PUBLISH_LAST);
  if (train.publish() == v1::PUBLISH_BEST && !has_rows) {
    at.Error("publish", " = best needs rows to judge on; set data.validation, e.g. 5%, or use last");
  }
  if (!train.has_early_stopping()) return;
  if (!has_rows) {
    at.Error("early_stopping",
             " needs rows to judge on; set data.validation, e.g. 5%, or remove early_stopping");
  }
  at.In("early_stopping").Number(*train.mutable_early_stopping(), "patience", Closed(1, 1e6), 3);
  at.In("early_stopping").Number(*train.mutable_early_stopping(), "min_delta", AtLeast(0), 0);
}

}  // namespace

void FillTrain(const FieldCheck& at, v1::TrainStage& train) {
  FillTuning(at.In("tuning"), train.has_init_from(), *train.mutable_tuning());
  if (train.has_init_from() && train.tuning().has_full()) {
    at.Error("init_from", " continues an adapter, and tuning is full; use tuning: {lora: {}}");
  }
  if (train.objective().loss_case() == v1::Objective::LOSS_NOT_SET)
    train.mutable_objective()->mutable_causal_lm();
  if (train.data().reasoning() == v1::REASONING_MASK &&
      train.objective().causal_lm().loss_on() == v1::LOSS_ON_PROMPT) {
    at.Error("data.reasoning",
             " = mask contradicts objective.causal_lm.loss_on = prompt, which trains no answer; remove one "
             "of them");
  }
  FillOptimizer(at.In("optimizer"), train.tuning().has_full(), *train.mutable_optimizer());
  FillSchedule(at.In("schedule"), *train.mutable_schedule());
  FillBatch(at.In("batch"), *train.mutable_batch());
  FillLength(at, train);
  at.Number(train, "clip_norm", AtLeast(0), 1);
  at.Enum(train, "precision", v1::PRECISION_AUTO);
  FillValidation(at, train);
  at.In("checkpoint").Number(*train.mutable_checkpoint(), "every_steps", Closed(0, kMaxSteps), 50);
  at.In("checkpoint").Number(*train.mutable_checkpoint(), "keep", Closed(1, 1000), 2);
  at.Enum(train, "layout", v1::LAYOUT_PACKED);
  at.Number(train, "micro_batch_tokens", Closed(64, 1048576), 2048);
  at.Number(train, "checkpointed_layers", Closed(0, 1024));
  at.Number(train, "virtual_shards", Closed(1, 64), 4);
  if (const int shards = train.virtual_shards(); shards > 0 && (shards & (shards - 1)) != 0) {
    at.Error("virtual_shards",
             absl::StrCat(" = ", shards, " is no power of two; use 1, 2, 4, 8, 16, 32 or 64"));
  }
  at.Enum(train, "on_nonfinite", v1::ON_NONFINITE_FAIL);
  at.Number(train, "threads", Closed(1, 256));
}

void FillEvaluate(const FieldCheck& at, uint64_t seed, v1::EvaluateStage& evaluate) {
  if (evaluate.metrics().empty()) {
    evaluate.add_metrics("loss");
    evaluate.add_metrics("token_accuracy");
  }
  constexpr int kNumMetrics = static_cast<int>(std::size(kMetrics));
  if (evaluate.metrics_size() > kNumMetrics) {
    at.Error("metrics", absl::StrCat(": ", evaluate.metrics_size(), " of them, and there are ", kNumMetrics,
                                     "; name each once"));
    return;
  }
  CheckNames(at, "metrics", evaluate.metrics(), {std::begin(kMetrics), std::end(kMetrics)});
  if (Generates(evaluate)) {
    FillDecoding(at.In("decoding"), seed, *evaluate.mutable_decoding());
  } else if (evaluate.has_decoding()) {
    at.Error("decoding",
             " is set, but no metric generates answers; add exact_match or rouge_l, or remove decoding");
  }
  at.Number(evaluate, "max_rows", Closed(1, static_cast<double>(kMaxCount)));
  at.Enum(evaluate, "precision", v1::PRECISION_AUTO);
  at.Number(evaluate, "threads", Closed(1, 256));
}

bool HasProfile(const v1::ExportStage& stage, absl::string_view profile) {
  return absl::c_linear_search(stage.profiles(), profile);
}

void FillExport(const FieldCheck& at, v1::ExportStage& stage) {
  if (stage.profiles().empty()) stage.add_profiles("merged");
  CheckNames(at, "profiles", stage.profiles(), {std::begin(kProfiles), std::end(kProfiles)});
  at.Text(stage, "job", 256);
  if (HasProfile(stage, "gguf")) {
    v1::GgufExport& gguf = *stage.mutable_gguf();
    at.In("gguf").Flag(gguf, "lora", false);
    at.In("gguf").Enum(gguf, "type", gguf.lora() ? v1::GGUF_TYPE_F32 : v1::GGUF_TYPE_F16);
  } else if (stage.has_gguf()) {
    at.Error("gguf", " is set, but gguf is not among the profiles; add it, or remove gguf");
  }
  at.Number(stage, "threads", Closed(1, 256));
}

template <typename ColumnMap>
void CheckColumns(const FieldCheck& at, const ColumnMap& columns, absl::string_view format) {
  // Messages start with the field's name.
  const auto options = data::MakeRowOptions({columns.begin(), columns.end()}, format);
  if (!options.ok()) at.Error("", options.status().message());
}

// What the datasets of a mixture may say. No defaults: unset means what the schema says.
void CheckMix(const FieldCheck& at, v1::Data& data) {
  if (data.mix().empty()) return;
  if (!data.source().empty()) at.Error("mix", " and source are both set; move source into mix, or remove it");
  if (data.has_max_rows())
    at.Error("max_rows", " does not go with mix; set max_rows of the datasets in it instead");
  if (data.mix_size() > kMaxMixSources) {
    at.Error("mix", absl::StrCat(" has ", data.mix_size(), " datasets; the limit is ", kMaxMixSources));
    return;
  }
  int num_weights = 0;
  std::set<std::string> names;
  for (int i = 0; i < data.mix_size(); ++i) {
    v1::DataSource& source = *data.mutable_mix(i);
    const FieldCheck in = at.In(absl::StrCat("mix[", i, "]"));
    in.Text(source, "source", 256);
    CheckColumns(in, source.columns(), "");
    if (source.source().empty()) in.Error("source", " is missing; name a dataset or a local file");
    in.Number(source, "weight", {.low = 0, .high = 1e6, .low_open = true});
    in.Number(source, "max_rows", Closed(1, static_cast<double>(kMaxCount)));
    num_weights += source.has_weight() ? 1 : 0;
    const bool good_name = source.name().size() <= 64 && absl::c_all_of(source.name(), [](char c) {
                             return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
                           });
    if (!good_name) {
      in.Error("name", absl::StrCat(" = \"", Excerpt(source.name()), "\": use 1 to 64 of A-Z a-z 0-9 . _ -"));
    } else if (!source.name().empty() && !names.insert(source.name()).second) {
      in.Error("name", absl::StrCat(" = \"", source.name(), "\" is there twice; rename one of them"));
    }
  }
  if (num_weights != 0 && num_weights != data.mix_size()) {
    at.Error("mix", absl::StrCat(": ", num_weights, " of ", data.mix_size(),
                                 " datasets have a weight; give one to each, or to none"));
  }
}

void CheckDuplicates(const FieldCheck& at, v1::Data& data) {
  if (data.has_deduplicate()) {
    const FieldCheck in = at.In("deduplicate");
    v1::Deduplicate& deduplicate = *data.mutable_deduplicate();
    in.Enum(deduplicate, "kind", v1::DUPLICATE_KIND_NONE);
    in.Number(deduplicate, "threshold", Closed(0.5, 0.99));
    in.Number(deduplicate, "ngram_words", Closed(1, 32));
  }
  if (data.has_validation()) {
    at.Enum(data, "on_contamination", v1::ON_CONTAMINATION_REPORT);
  } else if (data.on_contamination() != v1::ON_CONTAMINATION_UNSPECIFIED) {
    at.Error("on_contamination",
             " is set, but there are no validation rows; set data.validation, or remove it");
  }
}

void FillData(const FieldCheck& at, v1::Data& data) {
  at.Text(data, "source", 256);
  at.Number(data, "max_tokens", Closed(8, 1048576));
  at.Enum(data, "on_overlong", v1::ON_OVERLONG_REFUSE);
  at.Enum(data, "on_bad_row", v1::ON_BAD_ROW_FAIL);
  at.Text(data, "chat_template", size_t{1} << 20);
  at.Enum(data, "turns", v1::TURNS_UNSPECIFIED);
  at.Enum(data, "reasoning", v1::REASONING_TRAIN);
  at.Number(data, "max_rows", Closed(1, static_cast<double>(kMaxCount)));
  CheckColumns(at, data.columns(), data.format());
  CheckMix(at, data);
  CheckDuplicates(at, data);
  if (data.has_validation()) {
    at.In("validation")
        .Number(*data.mutable_validation(), "max_rows", Closed(1, static_cast<double>(kMaxCount)));
    at.In("validation").Text(data.validation(), "from", 256);
  }
  absl::Time time;
  std::string error;
  if (data.has_template_time() && !absl::ParseTime(absl::RFC3339_full, data.template_time(), &time, &error)) {
    at.Error("template_time", absl::StrCat(" = \"", Excerpt(data.template_time()),
                                           "\" is no RFC 3339 time; write e.g. 2026-01-31T12:00:00Z"));
  }
}

void FillDecoding(const FieldCheck& at, uint64_t seed, v1::Decoding& decoding) {
  at.Number(decoding, "max_new_tokens", Closed(1, 65536), 128);
  at.Number(decoding, "temperature", Closed(0, 10), 0);
  at.Number(decoding, "top_p", {.low = 0, .high = 1, .low_open = true}, 1);
  at.Number(decoding, "top_k", Closed(0, 1 << 30), 0);
  if (!decoding.has_seed()) decoding.set_seed(seed);
  at.Texts(decoding, "stop", 16, 1024);
}

bool Generates(const v1::EvaluateStage& evaluate) {
  return absl::c_any_of(evaluate.metrics(), [](const std::string& metric) {
    return std::find(std::begin(kMetrics) + kFirstGenerated, std::end(kMetrics), metric) !=
           std::end(kMetrics);
  });
}

}  // namespace vernier::server
