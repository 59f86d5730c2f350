#include "client/job_file.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "proto/yaml.h"

namespace vernier::client {
namespace {

constexpr int64_t kMaxJobBytes = int64_t{4} << 20;

bool LooksLikeFile(absl::string_view name) {
  constexpr absl::string_view kEndings[] = {".jsonl",   ".json", ".csv", ".tsv",
                                            ".parquet", ".txt",  ".gz",  ".zst"};
  return absl::StrContains(name, '/') ||
         std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](absl::string_view ending) { return absl::EndsWith(name, ending); });
}

// `name` in the letters that names may have.
std::string Printable(std::string name) {
  name = name.substr(0, 60);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '_' && c != '-') c = '_';
  }
  return name;
}

// A name for the file in reports: another one than those taken in `data`.
std::string NameOfFile(const v1::Data& data, const std::string& path) {
  const std::string name = Printable(std::filesystem::path(path).filename().string());
  const auto taken = [&data](const std::string& wanted) {
    return std::any_of(data.mix().begin(), data.mix().end(),
                       [&](const v1::DataSource& source) { return source.name() == wanted; });
  };
  std::string free = name;
  for (int i = 2; taken(free); ++i) free = absl::StrCat(name, "-", i);
  return free;
}

// "5%" is a share of the rows.
bool IsShare(absl::string_view name) { return absl::EndsWith(name, "%"); }

// A field of a job that names rows: a dataset of the service, a local file, or a share of other rows.
using OnRows = std::function<absl::Status(absl::string_view field, std::string& name)>;

absl::Status ForEachRows(v1::JobSpec& spec, const OnRows& visit) {
  for (v1::Data* data : DataOf(spec)) {
    VN_RETURN_IF_ERROR(visit("data.source", *data->mutable_source()));
    for (int i = 0; i < data->mix_size(); ++i) {
      v1::DataSource& source = *data->mutable_mix(i);
      const std::string written = source.source();
      VN_RETURN_IF_ERROR(visit(absl::StrCat("data.mix[", i, "].source"), *source.mutable_source()));
      // Reports name the file, not the digest that stands for it.
      if (source.name().empty() && source.source() != written) source.set_name(NameOfFile(*data, written));
    }
    if (data->has_validation() && data->validation().source_case() == v1::ValidationData::kFrom) {
      VN_RETURN_IF_ERROR(visit("data.validation", *data->mutable_validation()->mutable_from()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DigestOfFile(const std::string& path) {
  VN_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Sha256Hex(file.bytes());
}

// Uploads each local file once.
class Uploader {
 public:
  Uploader(Client& client, const std::string& job_path, const std::function<void(const std::string&)>& say)
      : client_(client), folder_(std::filesystem::path(job_path).parent_path()), say_(say) {}

  // NotFound: it looks like a file, and there is none.
  absl::Status Check(absl::string_view field, const std::string& name) const {
    if (name.empty() || IsShare(name) || !Find(name).empty() || !LooksLikeFile(name)) return absl::OkStatus();
    return absl::NotFoundError(
        absl::StrCat(field, ": there is no file ", name,
                     folder_.empty() ? "" : absl::StrCat(", nor below ", folder_.string())));
  }

  // A local file becomes the digest of its dataset; anything else stays.
  absl::Status Resolve(std::string& name) {
    if (name.empty() || IsShare(name)) return absl::OkStatus();
    const std::string path = Find(name);
    if (path.empty()) return absl::OkStatus();  // the name of a dataset in the service
    std::string& digest = digests_[path];
    if (digest.empty()) {
      VN_ASSIGN_OR_RETURN(const std::string own, DigestOfFile(path));
      VN_ASSIGN_OR_RETURN(const std::string wanted, FreeName(path, own));
      VN_ASSIGN_OR_RETURN(const v1::UploadDatasetResponse response,
                          client_.UploadDataset(path, wanted, nullptr, own));
      digest = response.dataset().digest();
      say_(absl::StrCat(response.existed() ? "known    " : "uploaded ", path, " (",
                        HumanBytes(response.dataset().size_bytes()), ", ", CountOf(response.dataset()),
                        ") as dataset ", response.dataset().name()));
    }
    name = digest;
    return absl::OkStatus();
  }

 private:
  std::string Find(const std::string& name) const { return FindLocalFile(folder_ / "job", name); }

  // The file's own, where it is free or stands for the same content; else none, and the service names it by
  // its digest: a file that was edited since the last job is another dataset, not an error.
  absl::StatusOr<std::string> FreeName(const std::string& path, const std::string& digest) {
    const std::string name = DatasetNameOf(path);
    v1::GetDatasetRequest request;
    request.set_name(name);
    const auto taken = client_.Call(&v1::DatasetService::Stub::GetDataset, request);
    if (absl::IsNotFound(taken.status())) return name;
    VN_RETURN_IF_ERROR(taken.status());
    return taken->dataset().digest() == digest ? name : "";
  }

  Client& client_;
  const std::filesystem::path folder_;
  const std::function<void(const std::string&)>& say_;
  std::map<std::string, std::string> digests_;  // by path
};

}  // namespace

std::string FindLocalFile(const std::string& job_path, const std::string& name) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(job_path).parent_path();
  for (const std::filesystem::path& candidate : {folder / name, std::filesystem::path(name)}) {
    if (std::filesystem::is_regular_file(candidate, error)) return candidate.string();
  }
  return "";
}

absl::StatusOr<v1::JobSpec> ReadJobFile(const std::string& path,
                                        const std::vector<std::string>& assignments) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  } else {
    VN_ASSIGN_OR_RETURN(text, ReadFile(path, kMaxJobBytes));
  }
  v1::JobSpec spec;
  VN_RETURN_IF_ERROR(ParseYaml(text, path == "-" ? "standard input" : path, spec));
  for (const std::string& assignment : assignments) VN_RETURN_IF_ERROR(SetField(assignment, spec));
  return spec;
}

std::string DatasetNameOf(const std::string& path) {
  std::string name = Printable(std::filesystem::path(path).stem().string());
  const size_t start = name.find_first_not_of('.');
  return start == std::string::npos ? "rows" : name.substr(start);
}

std::string CountOf(const v1::Dataset& dataset) {
  return dataset.num_rows() > 0 ? Counted(dataset.num_rows(), "row") : dataset.format();
}

std::vector<v1::Data*> DataOf(v1::JobSpec& spec) {
  std::vector<v1::Data*> all;
  if (spec.has_data()) all.push_back(spec.mutable_data());
  if (spec.train().has_data()) all.push_back(spec.mutable_train()->mutable_data());
  for (v1::Stage& stage : *spec.mutable_stages()) {
    if (stage.train().has_data()) all.push_back(stage.mutable_train()->mutable_data());
    if (stage.evaluate().has_data()) all.push_back(stage.mutable_evaluate()->mutable_data());
  }
  return all;
}

absl::Status UploadLocalFiles(Client& client, const std::string& job_path, v1::JobSpec& spec,
                              const std::function<void(const std::string&)>& say) {
  Uploader uploader(client, job_path, say);
  // Nothing is uploaded for a job that names a file that is not there.
  VN_RETURN_IF_ERROR(ForEachRows(
      spec, [&](absl::string_view field, std::string& name) { return uploader.Check(field, name); }));
  return ForEachRows(spec, [&](absl::string_view, std::string& name) { return uploader.Resolve(name); });
}

}  // namespace vernier::client
