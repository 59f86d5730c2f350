#include "client/cli/data_report.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

constexpr size_t kBarWidth = 40;
// Of a segment of a sample: longer ones are cut in their middle.
constexpr size_t kMaxSegmentBytes = 480;

std::string Percent(int64_t part, int64_t whole) {
  return whole > 0 ? absl::StrFormat("%.1f%%", 100.0 * static_cast<double>(part) / static_cast<double>(whole))
                   : std::string("0%");
}

std::string Rows(int64_t count) { return absl::StrCat(Grouped(count), " ", Noun(count, "row")); }

std::string Tokens(int64_t count) { return absl::StrCat(Grouped(count), " ", Noun(count, "token")); }

void Line(std::string& out, absl::string_view name, absl::string_view text) {
  absl::StrAppendFormat(&out, "  %-16s %s\n", name, text);
}

void AddCounts(const v1::DataReport& report, const DataReportOptions& options, std::string& out) {
  const std::string format =
      absl::StrCat(report.file_format(), report.file_format().empty() ? "" : ", ", "rows of ",
                   report.row_format().empty() ? "no known form" : report.row_format());
  Line(out, "format", format);
  Line(out, "size", HumanBytes(report.num_bytes_read()));
  Line(out, "rows",
       absl::StrCat(Grouped(report.num_rows_read()),
                    options.validation.empty() ? std::string() : std::string(" with those to validate on"),
                    ", ", Grouped(report.num_bad_rows()), " of them bad"));
  if (options.tokenised) {
    Line(out, "tokens",
         absl::StrCat(Grouped(report.num_tokens()), ", ", Grouped(report.num_trained_tokens()),
                      " of them trained (", Percent(report.num_trained_tokens(), report.num_tokens()), ")"));
    Line(out, "row length",
         absl::StrCat("median ", Grouped(report.median_row_tokens()), ", 95% up to ",
                      Grouped(report.p95_row_tokens()), ", longest ", Tokens(report.max_row_tokens())));
  }
  Line(out, "duplicates",
       absl::StrCat(Grouped(report.num_duplicate_rows()), " exact, ",
                    Grouped(report.num_near_duplicate_rows()), " near"));
  if (!options.validation.empty()) {
    Line(out, "validation",
         absl::StrCat(options.validation, ": ", Rows(report.num_validation_rows()), ", ",
                      Grouped(report.num_contaminated_rows()), " of them training rows, ",
                      Grouped(report.num_near_contaminated_rows()), " similar to one"));
  }
  if (!report.unused_columns().empty())
    Line(out, "unused columns", absl::StrJoin(report.unused_columns(), ", "));
}

void AddLengths(const v1::DataReport& report, std::string& out) {
  if (report.lengths().empty()) return;
  int64_t most = 1;
  for (const v1::LengthBucket& bucket : report.lengths()) most = std::max(most, bucket.num_rows());
  absl::StrAppend(&out, "\nlength of rows, in tokens\n");
  int64_t from = 1;
  bool started = false;
  for (const v1::LengthBucket& bucket : report.lengths()) {
    started = started || bucket.num_rows() > 0;
    if (!started) {  // the shortest row is longer
      from = bucket.max_tokens() + 1;
      continue;
    }
    const auto bar =
        static_cast<size_t>((bucket.num_rows() * static_cast<int64_t>(kBarWidth) + most - 1) / most);
    absl::StrAppendFormat(&out, "  %9s - %-9s %-40s %s\n", Grouped(from), Grouped(bucket.max_tokens()),
                          std::string(bar, '#'), Rows(bucket.num_rows()));
    from = bucket.max_tokens() + 1;
  }
}

void AddOverlong(const v1::DataReport& report, const DataReportOptions& options, std::string& out) {
  if (!options.tokenised || options.max_tokens == 0) return;
  absl::StrAppend(&out, "\nlonger than max_tokens = ", Grouped(options.max_tokens), ": ",
                  Rows(report.num_overlong_rows()), "\n");
  for (const v1::OverlongLoss& loss : report.overlong_losses()) {
    const std::string name =
        absl::AsciiStrToLower(v1::OnOverlong_Name(loss.policy()).substr(std::string("ON_OVERLONG_").size()));
    Line(out, name,
         loss.policy() == v1::ON_OVERLONG_REFUSE
             ? std::string("the job ends before it queues (default)")
             : absl::StrCat("loses ", Rows(loss.num_rows()), " and ", Tokens(loss.num_tokens())));
  }
}

void AddPairs(absl::string_view title, const google::protobuf::RepeatedPtrField<v1::RowPair>& pairs,
              std::string& out) {
  if (pairs.empty()) return;
  absl::StrAppend(&out, "\n", title, "\n");
  for (const v1::RowPair& pair : pairs) {
    absl::StrAppend(&out, "  ", pair.row(), pair.similarity() == 1 ? " is equal to " : " is similar to ",
                    pair.other());
    if (pair.similarity() < 1) absl::StrAppendFormat(&out, " (%.2f)", pair.similarity());
    absl::StrAppend(&out, "\n");
  }
}

void AddProblems(const v1::DataReport& report, std::string& out) {
  if (report.problems().empty()) return;
  absl::StrAppend(&out, "\nrows with problems (the first ", report.problems_size(), ")\n");
  for (const v1::RowProblem& problem : report.problems())
    absl::StrAppend(&out, "  line ", problem.line(), ": ", problem.reason(), "\n");
}

size_t CharacterStart(absl::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

// Long text without its middle.
std::string Ends(absl::string_view text) {
  if (text.size() <= kMaxSegmentBytes) return std::string(text);
  const size_t head = CharacterStart(text, kMaxSegmentBytes / 2);
  const size_t tail = CharacterStart(text, text.size() - kMaxSegmentBytes / 2);
  return absl::StrCat(text.substr(0, head), " <", Grouped(static_cast<int64_t>(tail - head)), " bytes> ",
                      text.substr(tail));
}

void AddSamples(const v1::DataReport& report, const DataReportOptions& options, std::string& out) {
  for (const v1::RowSample& sample : report.samples()) {
    absl::StrAppend(&out, "\nsample, line ", sample.line(), ": ", Tokens(sample.num_tokens()), ", ",
                    Grouped(sample.num_trained_tokens()), " trained ",
                    options.color ? "(highlighted)" : "(between [[ and ]])", "\n");
    for (const v1::RowSample::Segment& segment : sample.segments()) {
      const bool trained = segment.weight() > 0;
      absl::StrAppend(&out, trained ? TrainedBegin(options.color) : "", Ends(segment.text()),
                      trained ? TrainedEnd(options.color) : "");
    }
    absl::StrAppend(&out, "\n");
  }
}

}  // namespace

absl::string_view TrainedBegin(bool color) { return color ? "\033[1;30;42m" : "[["; }
absl::string_view TrainedEnd(bool color) { return color ? "\033[0m" : "]]"; }

std::string Grouped(int64_t number) {
  const std::string digits = absl::StrCat(number < 0 ? -number : number);
  std::string out = number < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string DataReportText(const v1::DataReport& report, const DataReportOptions& options) {
  std::string out = absl::StrCat(options.path, "\n");
  AddCounts(report, options, out);
  AddLengths(report, out);
  AddOverlong(report, options, out);
  AddPairs("rows that repeat others (the first)", report.duplicates(), out);
  AddPairs("validation rows among the training rows (the first)", report.contaminations(), out);
  AddProblems(report, out);
  if (!report.notes().empty()) absl::StrAppend(&out, "\nnotes\n");
  for (const std::string& note : report.notes()) absl::StrAppend(&out, "  ", note, "\n");
  AddSamples(report, options, out);
  return out;
}

}  // namespace vernier::cli
