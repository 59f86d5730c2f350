#include "worker/data/check.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/data/policies.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

absl::StatusOr<CheckResult> ParseOnly(Source& source) {
  RowSetChecker checker;
  Findings findings;
  int64_t num_good = 0, num_read = 0;
  Record record;
  while (true) {
    VN_ASSIGN_OR_RETURN(const bool more, source.Next(&record));
    if (!more) break;
    ++num_read;
    absl::Status status =
        record.problem.empty() ? absl::OkStatus() : absl::InvalidArgumentError(record.problem);
    if (status.ok()) {
      const absl::StatusOr<Row> row = ParseRow(record.bytes);
      status = row.ok() ? checker.Add(record.line, *row) : row.status();
    }
    if (status.ok()) {
      ++num_good;
    } else {
      findings.AddBad("", record.line, status.message(), 0);
    }
  }
  if (num_read == 0) return absl::InvalidArgumentError("the dataset has no rows; the file is empty or blank");
  CheckResult result;
  result.report.set_num_rows(num_good);
  result.report.set_num_bad_rows(findings.num_bad());
  result.report.set_num_duplicate_rows(checker.num_duplicates());
  for (v1::RowProblem& problem : findings.Problems()) *result.report.add_problems() = std::move(problem);
  for (const std::string& note : source.Notes()) result.report.add_notes(note);
  for (const std::string& note : checker.Notes()) result.report.add_notes(note);
  if (checker.format().has_value()) result.format = std::string(RowFormatName(*checker.format()));
  return result;
}

}  // namespace

absl::StatusOr<CheckResult> CheckData(ReadAtFn read, const Codec* codec, const PrepareOptions& options) {
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<Source> source, CreateSource("jsonl", std::move(read)));
  if (codec == nullptr) return ParseOnly(*source);
  PrepareInputs inputs;
  inputs.train = source.get();
  CheckResult result;
  VN_ASSIGN_OR_RETURN(result.report, InspectRows(inputs, options, *codec, nullptr, &result.format));
  return result;
}

absl::StatusOr<CheckResult> CheckFile(const std::string& path, const Codec* codec,
                                      const PrepareOptions& options) {
  VN_ASSIGN_OR_RETURN(ReadAtFn read, ReadFromFile(path));
  absl::StatusOr<CheckResult> result = CheckData(std::move(read), codec, options);
  if (!result.ok()) return Annotate(result.status(), path);
  return result;
}

}  // namespace vernier::data
