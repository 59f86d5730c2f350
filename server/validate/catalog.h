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
};

class Catalog {
 public:
  virtual ~Catalog() = default;
  // By name or digest. NotFound names the nearest; InvalidArgument: a prefix of several digests.
  virtual absl::StatusOr<v1::Dataset> FindDataset(absl::string_view name) const = 0;
  virtual absl::StatusOr<v1::Model> FindModel(absl::string_view name) const = 0;
  // Of `job` or `adapter`, not of `stage`. NotFound, FailedPrecondition: the job published none (yet).
  virtual absl::StatusOr<AdapterFacts> FindAdapter(const v1::AdapterRef& ref) const = 0;
};

}  // namespace vernier::server
