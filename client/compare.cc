#include "client/compare.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "proto/canonical_bytes.h"
#include "proto/yaml_schema.h"

namespace vernier::client {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kNumericClass = "numeric class: ";

void Flatten(const std::string& path, const Json& json, std::map<std::string, std::string>& leaves) {
  if (json.is_object() && !json.empty()) {
    for (const auto& [name, value] : json.items()) {
      Flatten(path.empty() ? name : absl::StrCat(path, ".", name), value, leaves);
    }
  } else if (json.is_array() && !json.empty()) {
    for (size_t i = 0; i < json.size(); ++i) {
      const bool named = json[i].is_object() && json[i].contains("id") && json[i]["id"].is_string();
      const std::string name = named ? json[i]["id"].get<std::string>() : absl::StrCat(i);
      Json value = json[i];
      if (named) value.erase("id");
      Flatten(absl::StrCat(path, ".", name), value, leaves);
    }
  } else {
    leaves[path] = json.is_string() ? json.get<std::string>() : json.dump();
  }
}

// Enumerations as they are written in YAML: `refuse`, not ON_OVERLONG_REFUSE.
void ShortenEnums(const google::protobuf::Message& message, Json& json);

void ShortenField(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                  Json& json) {
  const auto found = json.find(field.name());
  if (found == json.end() || field.is_map()) return;
  if (field.type() == google::protobuf::FieldDescriptor::TYPE_ENUM && !field.is_repeated()) {
    *found = ShortEnumName(message.GetReflection()->GetEnum(message, &field));
  } else if (field.type() == google::protobuf::FieldDescriptor::TYPE_MESSAGE) {
    if (!field.is_repeated()) {
      ShortenEnums(message.GetReflection()->GetMessage(message, &field), *found);
      return;
    }
    for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
      ShortenEnums(message.GetReflection()->GetRepeatedMessage(message, &field, i), (*found)[i]);
    }
  }
}

void ShortenEnums(const google::protobuf::Message& message, Json& json) {
  if (!json.is_object()) return;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* const field : fields) ShortenField(message, *field, json);
}

// "precision=bf16 threads=2 ..." as leaves of their own.
void AddNumericClass(const std::string& stage, absl::string_view text,
                     std::map<std::string, std::string>& leaves) {
  for (const absl::string_view part : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    leaves[absl::StrCat("stages.", stage, " (numeric class).", field.first)] = std::string(field.second);
  }
}

std::map<std::string, std::string> FlattenJob(const v1::Job& job) {
  std::map<std::string, std::string> leaves = FlattenSpec(job.spec());
  for (const v1::StageStatus& stage : job.stages()) {
    for (absl::string_view note : stage.notes()) {
      if (absl::ConsumePrefix(&note, kNumericClass)) AddNumericClass(stage.id(), note, leaves);
    }
  }
  return leaves;
}

// The stage of `job` that corresponds to `stage` of `of`, or null.
const v1::StageStatus* Counterpart(const v1::Job& of, const v1::StageStatus& stage, const v1::Job& job) {
  for (const v1::StageStatus& other : job.stages()) {
    if (other.id() == stage.id() && other.kind() == stage.kind()) return &other;
  }
  const auto of_kind = [&](const v1::StageStatus& other) { return other.kind() == stage.kind(); };
  if (absl::c_count_if(of.stages(), of_kind) != 1 || absl::c_count_if(job.stages(), of_kind) != 1)
    return nullptr;
  return &*absl::c_find_if(job.stages(), of_kind);
}

std::optional<double> ResultOf(const v1::StageStatus* stage, const std::string& metric) {
  if (stage == nullptr) return std::nullopt;
  const auto found = stage->results().find(metric);
  if (found == stage->results().end()) return std::nullopt;
  return found->second;
}

// The data that the evaluate stage `id` judged.
const v1::Data* DataOfEvaluation(const v1::Job& job, const std::string& id) {
  for (const v1::Stage& stage : job.spec().stages()) {
    if (stage.id() == id && stage.has_evaluate()) return &stage.evaluate().data();
  }
  return nullptr;
}

std::vector<std::string> CommonMetrics(const Evaluation& before, const Evaluation& after) {
  std::vector<std::string> common;
  for (const auto& [name, value] : before.metrics) {
    if (after.metrics.contains(name)) common.push_back(name);
  }
  return common;
}

std::string ChooseMetric(const std::vector<std::string>& common, absl::string_view wanted) {
  if (!wanted.empty()) return absl::c_linear_search(common, wanted) ? std::string(wanted) : "";
  for (const char* const name : {"rouge_l", "exact_match", "loss"}) {
    if (absl::c_linear_search(common, name)) return name;
  }
  return common.empty() ? "" : common.front();
}

// What decides which rows a dataset's training split has.
std::string SourcesOf(const v1::Data& data) {
  v1::Data sources;
  sources.set_source(data.source());
  *sources.mutable_mix() = data.mix();
  return CanonicalBytes(sources);
}

// Where a metric of the name is missing, NaN.
double ScoreOf(const Prediction& row, const std::string& metric) {
  const auto found = row.scores.find(metric);
  return found == row.scores.end() ? std::nan("") : found->second;
}

const Evaluation* FindEvaluation(const JobResults& job, absl::string_view stage) {
  for (const Evaluation& evaluation : job.evaluations) {
    if (evaluation.stage == stage) return &evaluation;
  }
  return nullptr;
}

}  // namespace

std::map<std::string, std::string> FlattenSpec(const v1::JobSpec& spec) {
  v1::JobSpec nameless = spec;
  nameless.clear_name();
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  VN_CHECK(google::protobuf::util::MessageToJsonString(nameless, &text, options).ok());
  Json json = Json::parse(text);
  ShortenEnums(nameless, json);
  std::map<std::string, std::string> leaves;
  if (!json.empty()) Flatten("", json, leaves);
  return leaves;
}

std::vector<Difference> CompareSpecs(absl::Span<const v1::Job> jobs) {
  std::vector<std::map<std::string, std::string>> flat;
  std::set<std::string> paths;
  for (const v1::Job& job : jobs) {
    flat.push_back(FlattenJob(job));
    for (const auto& [path, value] : flat.back()) paths.insert(path);
  }
  std::vector<Difference> differences;
  for (const std::string& path : paths) {
    Difference difference{.path = path};
    for (const auto& leaves : flat) {
      const auto found = leaves.find(path);
      difference.values.push_back(found == leaves.end() ? std::nullopt : std::optional(found->second));
    }
    const bool differs = absl::c_any_of(
        difference.values, [&](const auto& value) { return value != difference.values.front(); });
    if (differs) differences.push_back(std::move(difference));
  }
  return differences;
}

std::vector<ComparedMetric> CompareResults(absl::Span<const v1::Job> jobs) {
  std::vector<ComparedMetric> compared;
  std::set<const v1::StageStatus*> done;
  for (const v1::Job& job : jobs) {
    for (const v1::StageStatus& stage : job.stages()) {
      if (done.contains(&stage)) continue;
      std::vector<const v1::StageStatus*> row;
      std::set<std::string> metrics;
      for (const v1::Job& other : jobs) {
        row.push_back(&other == &job ? &stage : Counterpart(job, stage, other));
        if (row.back() == nullptr) continue;
        done.insert(row.back());
        for (const auto& [name, value] : row.back()->results()) metrics.insert(name);
      }
      for (const std::string& metric : metrics) {
        ComparedMetric& line = compared.emplace_back(ComparedMetric{.stage = stage.id(), .metric = metric});
        for (const v1::StageStatus* const of : row) line.values.push_back(ResultOf(of, metric));
      }
    }
  }
  return compared;
}

bool LowerIsBetter(absl::string_view metric) {
  return absl::StrContains(metric, "loss") || absl::StrContains(metric, "perplexity") ||
         absl::EndsWith(metric, "seconds");
}

bool SameRows(const v1::Job& before_job, const Evaluation& before, const v1::Job& after_job,
              const Evaluation& after) {
  if (before.split != after.split) return false;
  const v1::Data* const a = DataOfEvaluation(before_job, before.stage);
  const v1::Data* const b = DataOfEvaluation(after_job, after.stage);
  if (a == nullptr || b == nullptr) return false;
  if (before.split == "validation") {
    if (a->validation().from() != b->validation().from()) return false;
    // Another dataset, whatever is trained on; else a share of the rows to train on.
    if (!absl::EndsWith(a->validation().from(), "%")) return true;
  }
  return SourcesOf(*a) == SourcesOf(*b);
}

std::optional<RowComparison> CompareRows(const Evaluation& before, const Evaluation& after,
                                         absl::string_view metric) {
  RowComparison comparison;
  comparison.metrics = CommonMetrics(before, after);
  comparison.metric = ChooseMetric(comparison.metrics, metric);
  if (comparison.metric.empty()) return std::nullopt;
  std::map<std::pair<int64_t, int>, const Prediction*> by_place;  // (line, which of that line)
  std::map<int64_t, int> seen;
  for (const Prediction& row : before.rows) by_place[{row.line, seen[row.line]++}] = &row;
  seen.clear();
  for (const Prediction& row : after.rows) {
    const auto found = by_place.find({row.line, seen[row.line]++});
    if (found == by_place.end() || found->second->reference != row.reference) {
      ++comparison.num_only_one;
      continue;
    }
    ComparedRow& both = comparison.rows.emplace_back();
    both.line = row.line;
    both.before = found->second;
    both.after = &row;
    both.score_before = ScoreOf(*both.before, comparison.metric);
    both.score_after = ScoreOf(row, comparison.metric);
    const double rise = both.score_after - both.score_before;
    both.gain = LowerIsBetter(comparison.metric) ? -rise : rise;
    by_place.erase(found);
  }
  comparison.num_only_one += static_cast<int64_t>(by_place.size());
  if (comparison.rows.empty()) return std::nullopt;
  int64_t num_scored = 0;
  for (const ComparedRow& row : comparison.rows) {
    (row.gain > 0 ? comparison.num_better : row.gain < 0 ? comparison.num_worse : comparison.num_equal) += 1;
    if (std::isnan(row.gain)) continue;
    ++num_scored;
    comparison.mean_before += row.score_before;
    comparison.mean_after += row.score_after;
  }
  if (num_scored > 0) {
    comparison.mean_before /= static_cast<double>(num_scored);
    comparison.mean_after /= static_cast<double>(num_scored);
  }
  // A gain that is not a number counts as none.
  const auto rank = [](const ComparedRow& row) { return std::isnan(row.gain) ? 0.0 : row.gain; };
  absl::c_stable_sort(comparison.rows, [&](const ComparedRow& a, const ComparedRow& b) {
    return rank(a) > rank(b) || (rank(a) == rank(b) && a.line < b.line);
  });
  return comparison;
}

std::vector<EvaluationPair> PairEvaluations(absl::Span<const JobResults> jobs) {
  std::vector<EvaluationPair> pairs;
  const auto add = [&](const JobResults& before_job, const Evaluation& before, const JobResults& after_job,
                       const Evaluation& after) {
    if (SameRows(before_job.job, before, after_job.job, after)) {
      pairs.push_back({&before_job, &before, &after_job, &after});
    }
  };
  const JobResults& first = jobs.front();
  if (jobs.size() == 1) {
    for (size_t i = 1; i < first.evaluations.size(); ++i)
      add(first, first.evaluations[0], first, first.evaluations[i]);
    return pairs;
  }
  for (const JobResults& other : jobs.subspan(1)) {
    for (const Evaluation& before : first.evaluations) {
      const Evaluation* after = FindEvaluation(other, before.stage);
      if (after == nullptr && first.evaluations.size() == 1 && other.evaluations.size() == 1) {
        after = &other.evaluations.front();
      }
      if (after != nullptr) add(first, before, other, *after);
    }
  }
  return pairs;
}

}  // namespace vernier::client
