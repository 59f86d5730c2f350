// `vernier export` as a job of one stage. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/job.pb.h"

namespace vernier::client {

struct ExportRequest {
  std::string job;           // id, name or "jobs/ID"; "" = a model, perhaps with an adapter
  std::string stage;         // of the job; "" = the only one that published
  std::string model;         // imported model by name
  std::string model_digest;  // that it means now
  std::string adapter;       // "adapters/DIGEST"
  std::string profile;
  std::string type;  // f32 | f16 | q8_0; "" = the default
  bool lora = false;
};

// From the words of the command line. InvalidArgument: words that do not go together, or a source of no known
// form.
absl::StatusOr<ExportRequest> ReadExportRequest(absl::string_view source, absl::string_view model,
                                                absl::string_view profile, absl::string_view type, bool lora);

v1::JobSpec ExportSpec(const ExportRequest& request);

// Equal for equal requests, so that the service answers with the job that it made before. `attempt` from 0:
// one more after each that failed.
std::string ExportRequestId(const ExportRequest& request, int attempt);

// What the adapter that `stage` of `job` published ("": the only one that did) lies on, as a source of
// `vernier export`: the stage or the model that it was trained on; "models/BASE" where that cannot be told.
std::string BaseSourceOf(const v1::Job& job, absl::string_view stage);

}  // namespace vernier::client
