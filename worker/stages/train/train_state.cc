#include "worker/stages/train/train_state.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::stages {
namespace {

using Json = nlohmann::json;

Json ValidationToJson(const Validation& validation) {
  return {{"step", validation.step},
          {"weighted_nll", validation.sums.weighted_nll},
          {"weight", validation.sums.weight},
          {"nll", validation.sums.nll},
          {"num_targets", validation.sums.num_targets},
          {"num_correct", validation.sums.num_correct}};
}

// Reads members of a JSON object; remembers the first that is missing or of another kind.
class Reader {
 public:
  Reader(const Json& json, std::string name) : json_(json), name_(std::move(name)) {}

  void Read(const char* member, int64_t& value) {
    const auto found = json_.find(member);
    if (found == json_.end() || !found->is_number_integer()) return Fail(member, "an integer");
    value = found->get<int64_t>();
  }
  void Read(const char* member, double& value) {
    const auto found = json_.find(member);
    if (found == json_.end() || !found->is_number()) return Fail(member, "a number");
    value = found->get<double>();
  }
  void Read(const char* member, bool& value) {
    const auto found = json_.find(member);
    if (found == json_.end() || !found->is_boolean()) return Fail(member, "true or false");
    value = found->get<bool>();
  }
  void Read(const char* member, std::optional<double>& value) {
    if (json_.contains(member)) Read(member, value.emplace());
  }
  void Read(const char* member, std::optional<Validation>& value) {
    const auto found = json_.find(member);
    if (found == json_.end()) return;
    if (!found->is_object()) return Fail(member, "an object");
    Reader reader(*found, absl::StrCat(name_, ".", member));
    Validation& validation = value.emplace();
    reader.Read("step", validation.step);
    reader.Read("weighted_nll", validation.sums.weighted_nll);
    reader.Read("weight", validation.sums.weight);
    reader.Read("nll", validation.sums.nll);
    reader.Read("num_targets", validation.sums.num_targets);
    reader.Read("num_correct", validation.sums.num_correct);
    if (status_.ok()) status_ = reader.status();
  }
  const absl::Status& status() const { return status_; }

 private:
  void Fail(const char* member, absl::string_view kind) {
    if (status_.ok())
      status_ = absl::DataLossError(absl::StrCat(name_, ".", member, ": is missing or not ", kind));
  }

  const Json& json_;
  const std::string name_;
  absl::Status status_;
};

}  // namespace

Json ToJson(const TrainState& state, const TrainIdentity& identity) {
  Json json = {{"step", state.step},
               {"num_updates", state.num_updates},
               {"num_tokens", state.num_tokens},
               {"num_rows", state.num_rows},
               {"num_skipped", state.num_skipped},
               {"num_recomputed", state.num_recomputed},
               {"train_seconds", state.train_seconds},
               {"validation_seconds", state.validation_seconds},
               {"early_stopped", state.early_stopped},
               {"identity", identity}};
  if (state.train_loss.has_value()) json["train_loss"] = *state.train_loss;
  if (state.first.has_value()) json["first_validation"] = ValidationToJson(*state.first);
  if (state.newest.has_value()) json["newest_validation"] = ValidationToJson(*state.newest);
  if (state.best.has_value()) json["best_validation"] = ValidationToJson(*state.best);
  if (state.stop_rule.seen) {
    json["stop_rule_best"] = state.stop_rule.best;
    json["stop_rule_stale"] = state.stop_rule.stale;
  }
  return json;
}

absl::StatusOr<TrainState> TrainStateFromJson(const Json& json, absl::string_view name) {
  TrainState state;
  Reader reader(json, std::string(name));
  reader.Read("step", state.step);
  reader.Read("num_updates", state.num_updates);
  reader.Read("num_tokens", state.num_tokens);
  reader.Read("num_rows", state.num_rows);
  reader.Read("num_skipped", state.num_skipped);
  reader.Read("num_recomputed", state.num_recomputed);
  reader.Read("train_seconds", state.train_seconds);
  reader.Read("validation_seconds", state.validation_seconds);
  reader.Read("early_stopped", state.early_stopped);
  reader.Read("train_loss", state.train_loss);
  reader.Read("first_validation", state.first);
  reader.Read("newest_validation", state.newest);
  reader.Read("best_validation", state.best);
  if (json.contains("stop_rule_best")) {
    state.stop_rule.seen = true;
    reader.Read("stop_rule_best", state.stop_rule.best);
    reader.Read("stop_rule_stale", state.stop_rule.stale);
  }
  VN_RETURN_IF_ERROR(reader.status());
  return state;
}

absl::Status CheckIdentity(const Json& json, const TrainIdentity& identity, absl::string_view name) {
  const auto found = json.find("identity");
  if (found == json.end() || !found->is_object()) {
    return absl::DataLossError(absl::StrCat(name, ".identity: is missing or not an object"));
  }
  std::set<std::string> names;
  for (const auto& [key, value] : identity) names.insert(key);
  for (const auto& [key, value] : found->items()) names.insert(key);
  std::vector<std::string> differences;
  for (const std::string& key : names) {
    const auto mine = identity.find(key);
    const auto theirs = found->find(key);
    const std::string here = mine == identity.end() ? "nothing" : mine->second;
    const std::string there =
        theirs != found->end() && theirs->is_string() ? theirs->get<std::string>() : "nothing";
    if (here != there) {
      differences.push_back(absl::StrCat(key, " was ", Excerpt(there, 300), ", is ", Excerpt(here, 300)));
    }
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "checkpoint ", name, " cannot be continued with the same bits: ", absl::StrJoin(differences, "; "),
      "; run the attempt where it was made, or submit the job again"));
}

}  // namespace vernier::stages
