#include "worker/data/prepared_data.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/data/prepare_options.h"
#include "worker/data/prepared_file.h"
#include "worker/data/prepared_manifest.h"
#include "worker/data/store_io.h"

namespace vernier::data {
namespace {

// 8 bytes a token and 24 a row, with room.
constexpr int64_t kMaxFileBytes = kMaxPreparedTokens * 40;

}  // namespace

struct PreparedRows::State {
  MappedFile map;
  std::vector<int64_t> bytes;  // when there is no map; int64_t for its alignment
  PreparedView view;
  std::vector<double> weight_sums;
};

PreparedRows::PreparedRows(std::unique_ptr<State> state) : state_(std::move(state)) {}
PreparedRows::PreparedRows(PreparedRows&&) noexcept = default;
PreparedRows& PreparedRows::operator=(PreparedRows&&) noexcept = default;
PreparedRows::~PreparedRows() = default;

absl::StatusOr<PreparedRows> PreparedRows::Open(Blobs& blobs, absl::string_view prefix, Split split) {
  const std::string folder(prefix);
  const char* name = split == Split::kTrain ? kTrainFile : kValidationFile;
  const std::string key = absl::StrCat(folder, "/", name);
  VN_ASSIGN_OR_RETURN(const PreparedManifest manifest, ReadManifest(blobs, folder));
  auto state = std::make_unique<State>();
  absl::string_view bytes;
  if (const std::string path = blobs.LocalPath(key); !path.empty()) {
    const auto it = manifest.files.find(name);
    if (it == manifest.files.end())
      return absl::DataLossError(absl::StrCat(key, ": the manifest does not list it"));
    absl::StatusOr<MappedFile> map = MappedFile::Open(path);
    if (absl::IsNotFound(map.status()))
      return absl::DataLossError(absl::StrCat(key, ": the file is gone; prepare again"));
    VN_RETURN_IF_ERROR(map.status());
    state->map = *std::move(map);
    bytes = state->map.bytes();
    if (static_cast<int64_t>(bytes.size()) != it->second.size_bytes ||
        Sha256Hex(bytes) != it->second.sha256) {
      return absl::DataLossError(absl::StrCat(key, ": size or digest differs from the manifest; delete ",
                                              folder, " and prepare again"));
    }
  } else {
    VN_ASSIGN_OR_RETURN(const std::string read, ReadListed(blobs, folder, manifest, name, kMaxFileBytes));
    state->bytes.resize((read.size() + 7) / 8);
    if (!read.empty()) std::memcpy(state->bytes.data(), read.data(), read.size());
    bytes = {reinterpret_cast<const char*>(state->bytes.data()), read.size()};
  }
  absl::StatusOr<PreparedView> view = ParsePreparedFile(bytes);
  if (!view.ok()) return Annotate(view.status(), key);
  state->view = *view;
  PreparedRows rows(std::move(state));
  rows.state_->weight_sums.reserve(rows.num_rows());
  for (int64_t r = 0; r < rows.num_rows(); ++r) {
    double sum = 0.0;
    for (const float weight : rows.weights(r)) sum += weight;
    rows.state_->weight_sums.push_back(sum);
  }
  return rows;
}

absl::StatusOr<PreparedRows> PreparedRows::Open(storage::ObjectStore& store, absl::string_view prefix,
                                                Split split) {
  return Open(*BlobsOf(store), prefix, split);
}

absl::StatusOr<v1::DataReport> ReadReport(storage::ObjectStore& store, absl::string_view prefix) {
  const std::unique_ptr<Blobs> blobs = BlobsOf(store);
  const std::string folder(prefix);
  VN_ASSIGN_OR_RETURN(const PreparedManifest manifest, ReadManifest(*blobs, folder));
  VN_ASSIGN_OR_RETURN(const std::string text,
                      ReadListed(*blobs, folder, manifest, kReportFile, kMaxReportBytes));
  absl::StatusOr<v1::DataReport> report = ReportFromJson(text);
  if (!report.ok()) return Annotate(report.status(), folder);
  return report;
}

absl::StatusOr<PreparedFacts> ReadFacts(storage::ObjectStore& store, absl::string_view prefix) {
  VN_ASSIGN_OR_RETURN(PreparedManifest manifest, ReadManifest(*BlobsOf(store), std::string(prefix)));
  return std::move(manifest.facts);
}

int64_t PreparedRows::num_rows() const { return static_cast<int64_t>(state_->view.lines.size()); }
int64_t PreparedRows::num_tokens() const { return static_cast<int64_t>(state_->view.ids.size()); }

int64_t PreparedRows::length(int64_t row) const {
  VN_CHECK(row >= 0 && row < num_rows());
  return state_->view.row_offsets[row + 1] - state_->view.row_offsets[row];
}

absl::Span<const int32_t> PreparedRows::ids(int64_t row) const {
  const int64_t size = length(row);
  return state_->view.ids.subspan(state_->view.row_offsets[row], size);
}

absl::Span<const float> PreparedRows::weights(int64_t row) const {
  const int64_t size = length(row);
  return state_->view.weights.subspan(state_->view.row_offsets[row], size);
}

double PreparedRows::weight_sum(int64_t row) const { return state_->weight_sums.at(row); }

int64_t PreparedRows::line(int64_t row) const {
  VN_CHECK(row >= 0 && row < num_rows());
  return state_->view.lines[row];
}

int64_t PreparedRows::prompt_length(int64_t row) const {
  VN_CHECK(row >= 0 && row < num_rows());
  return state_->view.prompt_lengths[row];
}

std::vector<int64_t> PreparedRows::lengths() const {
  std::vector<int64_t> lengths;
  lengths.reserve(num_rows());
  for (int64_t r = 0; r < num_rows(); ++r) lengths.push_back(length(r));
  return lengths;
}

std::vector<double> PreparedRows::weight_sums() const { return state_->weight_sums; }

}  // namespace vernier::data
