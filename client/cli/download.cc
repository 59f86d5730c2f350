#include "client/cli/download.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/cli.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {

absl::Status DownloadFiles(client::Client& client, const v1::Artifact& artifact, const std::string& folder) {
  VN_RETURN_IF_ERROR(MakeDirs(folder));
  LiveLine live;
  for (const v1::ArtifactFile& file : artifact.files()) {
    live.Show(absl::StrCat("pulling ", file.name(), "  ", HumanBytes(file.size_bytes())));
    const std::filesystem::path path = std::filesystem::path(folder) / file.name();
    VN_RETURN_IF_ERROR(MakeDirs(path.parent_path().string()));
    VN_RETURN_IF_ERROR(client.DownloadArtifact(artifact, file, path.string()));
  }
  return absl::OkStatus();
}

}  // namespace vernier::cli
