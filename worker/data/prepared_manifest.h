// manifest.json and report.json of prepared data (docs/formats/prepared.md).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/prepared_data.h"
#include "worker/data/store_io.h"

namespace vernier::data {

inline constexpr char kTrainFile[] = "train.safetensors";
inline constexpr char kValidationFile[] = "validation.safetensors";
inline constexpr char kReportFile[] = "report.json";
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr int64_t kMaxReportBytes = int64_t{16} << 20;

struct PreparedManifest {
  struct File {
    int64_t size_bytes = 0;
    std::string sha256;
  };
  std::map<std::string, File> files;
  PreparedFacts facts;
};

// The same manifest gives the same bytes.
std::string ManifestToJson(const PreparedManifest& manifest);
// DataLoss: malformed.
absl::StatusOr<PreparedManifest> ManifestFromJson(absl::string_view text);

absl::StatusOr<std::string> ReportToJson(const v1::DataReport& report);
absl::StatusOr<v1::DataReport> ReportFromJson(absl::string_view text);  // DataLoss: malformed

// NotFound: nothing was prepared there (or not finished).
absl::StatusOr<PreparedManifest> ReadManifest(Blobs& blobs, const std::string& prefix);

// The bytes of a file that the manifest lists. DataLoss: missing, or size or digest differ.
absl::StatusOr<std::string> ReadListed(Blobs& blobs, const std::string& prefix,
                                       const PreparedManifest& manifest, const std::string& name,
                                       int64_t max_bytes);

}  // namespace vernier::data
