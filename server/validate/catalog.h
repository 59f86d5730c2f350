// What a job may refer to: the things of one tenant, as they are now.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/model.pb.h"

namespace vernier::server {

// A published or imported adapter.
struct AdapterFacts {
  std::string key;           // object prefix
  std::string model_digest;  // of the base it was trained on; "" = not known
  std::string model_name;
  // Of the stage that trained it; "" = not known, or the model's own.
  std::string prepared_key, chat_template;
};

// What a job published: an adapter or whole weights, with what they were made on.
struct PublishedFacts {
  bool is_adapter = false;
  bool is_stacked = false;   // the adapter lies on top of another one
  std::string key;           // object prefix
  std::string model_digest;  // of the imported base
  std::string model_name;
  std::string model_key;  // weights of another stage that are the base; "" = the imported one
  std::string prepared_key, chat_template;
  std::string source;  // "jobs/ID stage "sft""
};

class Catalog {
 public:
  virtual ~Catalog() = default;
  // By name or digest. NotFound names the nearest; InvalidArgument: a prefix of several digests.
  virtual absl::StatusOr<v1::Dataset> FindDataset(absl::string_view name) const = 0;
  virtual absl::StatusOr<v1::Model> FindModel(absl::string_view name) const = 0;
  // Of `job` or `adapter`, not of `stage`. NotFound, FailedPrecondition: the job published none (yet).
  virtual absl::StatusOr<AdapterFacts> FindAdapter(const v1::AdapterRef& ref) const = 0;
  // "jobs/ID" or "jobs/ID/stages/STAGE". NotFound, FailedPrecondition: it published nothing (yet).
  // InvalidArgument: several stages of it did.
  virtual absl::StatusOr<PublishedFacts> FindPublished(absl::string_view job) const = 0;
};

}  // namespace vernier::server
