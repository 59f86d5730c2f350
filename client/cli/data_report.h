// What `vernier datasets check` shows: a DataReport as text for people. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "vernier/v1/data.pb.h"

namespace vernier::cli {

struct DataReportOptions {
  std::string path;        // as the user wrote it
  std::string validation;  // likewise; "" = none was given
  bool tokenised = false;  // a model was given: tokens mean something
  int max_tokens = 0;      // 0 = none was given
  bool color = false;      // trained tokens are highlighted, else they stand between [[ and ]]
};

// Ends in a line break.
std::string DataReportText(const v1::DataReport& report, const DataReportOptions& options);

// What starts and ends a trained part.
absl::string_view TrainedBegin(bool color);
absl::string_view TrainedEnd(bool color);

// "1,234,567".
std::string Grouped(int64_t number);

}  // namespace vernier::cli
