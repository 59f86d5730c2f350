// A Catalog of a few things with names.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/validate/catalog.h"
#include "server/validate/validate.h"

namespace vernier::server {

class FakeCatalog final : public Catalog {
 public:
  FakeCatalog() {
    AddDataset("chat", "messages");
    AddDataset("pairs", "prompt_completion");
    AddDataset("plain", "text");
    AddModel("smollm2", "llama", 8192, true);
    AddModel("bare", "llama", 1024, false);
    AddModel("tiny-gpt2", "gpt2", 1024, false);
    adapters["jobs/aaaa"] = {.key = "tenants/default/jobs/aaaa/stages/train/artifacts/adapter",
                             .model_digest = "digest-smollm2",
                             .model_name = "smollm2"};
    AddModel("neox", "gpt_neox", 1024, false);
    published["jobs/aaaa"] = {.is_adapter = true,
                              .key = "tenants/default/jobs/aaaa/stages/train/artifacts/adapter",
                              .model_digest = "smollm2",
                              .model_name = "smollm2",
                              .prepared_key = "tenants/default/prepared/rows",
                              .chat_template = "{{ messages }}",
                              .source = "jobs/aaaa stage \"train\""};
    published["jobs/full"] = {.key = "tenants/default/jobs/full/stages/train/artifacts/weights",
                              .model_digest = "smollm2",
                              .model_name = "smollm2",
                              .source = "jobs/full stage \"train\""};
    published["jobs/stacked"] = published["jobs/aaaa"];
    published["jobs/stacked"].is_stacked = true;
    adapters["adapters/cafe"] = {.key = "tenants/default/adapters/cafe"};
  }

  absl::StatusOr<v1::Dataset> FindDataset(absl::string_view name) const override {
    return Find(datasets, "dataset", name);
  }
  absl::StatusOr<v1::Model> FindModel(absl::string_view name) const override {
    return Find(models, "model", name);
  }
  absl::StatusOr<AdapterFacts> FindAdapter(const v1::AdapterRef& ref) const override {
    return Find(adapters, "adapter", ref.has_job() ? ref.job() : ref.adapter());
  }

  absl::StatusOr<PublishedFacts> FindPublished(absl::string_view job) const override {
    return Find(published, "job", job);
  }

  void AddDataset(const std::string& name, const std::string& format) {
    v1::Dataset& dataset = datasets[name];
    dataset.set_name(name);
    dataset.set_digest("digest-" + name);
    dataset.set_format(format);
  }
  void AddModel(const std::string& name, const std::string& architecture, int context, bool chat) {
    v1::Model& model = models[name];
    model.set_name(name);
    model.set_digest("digest-" + name);
    model.set_architecture(architecture);
    model.set_context_length(context);
    model.set_has_chat_template(chat);
  }

  std::map<std::string, v1::Dataset> datasets;
  std::map<std::string, v1::Model> models;
  std::map<std::string, AdapterFacts> adapters;
  std::map<std::string, PublishedFacts> published;

 private:
  template <typename T>
  static absl::StatusOr<T> Find(const std::map<std::string, T>& things, absl::string_view what,
                                absl::string_view name) {
    const auto it = things.find(std::string(name));
    if (it != things.end()) return it->second;
    std::vector<std::string> names;
    for (const auto& [known, thing] : things) names.push_back(known);
    return absl::NotFoundError(absl::StrCat(what, " \"", name, "\" is not known", DidYouMean(name, names)));
  }
};

inline const absl::Time kSubmitTime = absl::FromUnixSeconds(1'700'000'000);

inline v1::JobSpec SpecOf(const std::string& text) {
  v1::JobSpec spec;
  if (!google::protobuf::TextFormat::ParseFromString(text, &spec)) ADD_FAILURE() << "not a JobSpec: " << text;
  return spec;
}

inline absl::StatusOr<Validated> Validate(const std::string& text,
                                          const FakeCatalog& catalog = FakeCatalog()) {
  return ValidateSpec(SpecOf(text), catalog, int64_t{4} << 20, kSubmitTime);
}

// Model and data for a job that needs no more.
inline constexpr char kBasics[] = R"(model { base: "smollm2" } data { source: "chat" } )";

}  // namespace vernier::server
