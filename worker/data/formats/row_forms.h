// Names of what files and rows may be, and how the form of a row is told from its columns. No reading: the
// server uses it too.
//   messages           "messages": OpenAI's chat format
//   sharegpt           "conversations": turns of "from" and "value"
//   preference         "chosen" and "rejected" (OpenAI: "preferred_output" and "non_preferred_output")
//   alpaca             "instruction" and "output"
//   prompt_completion  "prompt" and "completion"
//   text               "text"
// A row with the columns of several forms counts as the first of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier::data {

enum class RowForm { kMessages, kShareGpt, kPreference, kAlpaca, kPromptCompletion, kText };
// "messages", "sharegpt", "preference", "alpaca", "prompt_completion", "text".
absl::string_view RowFormName(RowForm form);
// The columns that make a row one, for messages: "instruction and output".
absl::string_view RowFormSign(RowForm form);

// How the rows of a file are written. kLines: each line is a text.
enum class FileFormat { kJsonl, kJson, kCsv, kTsv, kParquet, kLines };
// "jsonl", "json", "csv", "tsv", "parquet", "lines".
absl::string_view FileFormatName(FileFormat format);

// What `data.format` forces; unset: recognised.
struct FormatChoice {
  std::optional<FileFormat> file;
  std::optional<RowForm> form;
};
// "csv", "alpaca" or "csv/alpaca"; "" forces nothing. InvalidArgument: not known.
absl::StatusOr<FormatChoice> ParseFormatChoice(absl::string_view text);

// What the user says about the rows of a dataset.
struct RowOptions {
  std::map<std::string, std::string> columns;  // field -> the column that holds it
  FormatChoice format;
};
// Limits on `columns`.
inline constexpr size_t kMaxMappedColumns = 32;
inline constexpr size_t kMaxColumnNameBytes = 256;

// `data.columns` and `data.format`, checked. InvalidArgument: an unknown field (with the nearest known), an
// empty or too long name, a column used twice, an unknown format; messages start with "columns" or "format".
absl::StatusOr<RowOptions> MakeRowOptions(const std::map<std::string, std::string>& columns,
                                          absl::string_view format);

// Every field that rows have, whatever their form.
absl::Span<const absl::string_view> KnownFields();
// Fields that rows of `form` may have besides those that make it one.
absl::Span<const absl::string_view> OptionalFields(RowForm form);

// The column that holds `field` under `columns`; "" = none, because another field has the column of that
// name.
absl::string_view ColumnOf(const RowOptions& options, absl::string_view field);

// Says whether a row or a header has a column.
using HasColumnFn = absl::FunctionRef<bool(absl::string_view column)>;

// The form that `options` force, else the first that the columns fit. None: they fit none.
std::optional<RowForm> RecogniseForm(HasColumnFn has_column, const RowOptions& options);

// Whether `name` looks like a slip for `known` ("Prompts" for "prompt"; but "test" is none for "text").
bool LooksLikeSlip(absl::string_view name, absl::string_view known);

// What is wrong with these columns, when something is: InvalidArgument for a mapped column that is a near
// miss of one there is, for columns that fit no form (with those there are and a mapping to try), and for a
// near miss of a field that rows of this form may have. Else the columns that no field of the form takes, in
// order.
absl::StatusOr<std::vector<std::string>> JudgeColumns(absl::Span<const std::string> columns,
                                                      const RowOptions& options, std::optional<RowForm> form);

// The same for the header of a table, in which every mapped column must be there.
absl::StatusOr<std::vector<std::string>> JudgeHeader(absl::Span<const std::string> columns,
                                                     const RowOptions& options);

}  // namespace vernier::data
