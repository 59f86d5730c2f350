// A job as one self-contained page: no script, nothing fetched, every foreign text escaped. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/results.h"
#include "vernier/v1/admin_service.pb.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/model.pb.h"

namespace vernier::cli {

struct ReportInput {
  client::JobResults results;
  std::vector<client::StageLedger> ledgers;  // of train stages that have one
  v1::GetServerInfoResponse server;
  std::vector<v1::Model> models;      // those that the job names and that are still there
  std::vector<v1::Dataset> datasets;  // likewise
  std::string client_version;
  absl::Time made;
};

std::string ReportPage(const ReportInput& input);

}  // namespace vernier::cli
