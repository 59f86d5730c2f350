// The files of an artifact in a local folder.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/client.h"

namespace vernier::cli {

// Creates the folder; files of the same names are replaced.
absl::Status DownloadFiles(client::Client& client, const v1::Artifact& artifact, const std::string& folder);

}  // namespace vernier::cli
