// A job as a user writes it: YAML in, JobSpec out, local files found.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "vernier/v1/job.pb.h"

namespace vernier::client {

// Reads `path` ("-" = standard input) and applies assignments ("train.tuning.lora.rank=16") in order.
// InvalidArgument: every error of the file at once, with lines.
absl::StatusOr<v1::JobSpec> ReadJobFile(const std::string& path, const std::vector<std::string>& assignments);

// "12 rows", or how the file is written where the service did not count them: "csv/alpaca".
std::string CountOf(const v1::Dataset& dataset);

// A name for the dataset that a file becomes: its own without ending, in the letters that names may have.
std::string DatasetNameOf(const std::string& path);

// Every Data message of the job that names rows: job-wide, of `train`, of each stage.
std::vector<v1::Data*> DataOf(v1::JobSpec& spec);

// The file that `name` in the job file `job_path` means: relative to its folder, or to the current one. "":
// there is none.
std::string FindLocalFile(const std::string& job_path, const std::string& name);

// Uploads each `source` and `validation` that is a local file (relative to the job file's folder, or to the
// current one) and puts the dataset's digest in its place. A name with '/' or the ending of a file of rows
// (.jsonl, .csv, .parquet, .gz ...) is always a file: NotFound names it. `say` gets one line per upload.
absl::Status UploadLocalFiles(Client& client, const std::string& job_path, v1::JobSpec& spec,
                              const std::function<void(const std::string&)>& say);

}  // namespace vernier::client
