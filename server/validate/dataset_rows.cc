#include "server/validate/dataset_rows.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/formats/recognise.h"

namespace vernier::server {

absl::StatusOr<std::optional<data::RowForm>> FormOfRows(const v1::Dataset& dataset,
                                                        const std::map<std::string, std::string>& columns,
                                                        absl::string_view format) {
  // A format that is not known was reported where the field is checked.
  const absl::StatusOr<data::FormatChoice> forced = data::ParseFormatChoice(format);
  std::optional<data::RowForm> form;
  if (forced.ok()) form = forced->form;
  if (!form.has_value() && columns.empty()) {
    const auto seen = data::ParseFormatChoice(data::FormOfDatasetFormat(dataset.format()));
    if (seen.ok()) form = seen->form;
    // These show their columns to the upload; the others may hide them.
    const bool shown = dataset.format() == "jsonl" || dataset.format() == "csv" || dataset.format() == "tsv";
    if (!form.has_value() && shown && (!forced.ok() || !forced->file.has_value())) {
      return absl::InvalidArgumentError(
          absl::StrCat(": dataset \"", Excerpt(dataset.name()),
                       "\" has no columns that make a form of rows; say with data.columns which "
                       "holds what, e.g. {prompt: question, completion: answer} (vernier datasets check FILE "
                       "lists them)"));
    }
  }
  if (form == data::RowForm::kPreference) {
    return absl::InvalidArgumentError(absl::StrCat(
        ": dataset \"", Excerpt(dataset.name()),
        "\" has preference pairs; they are validated, but training on them comes in a "
        "later version; to train on the chosen answers alone set data.columns: {completion: chosen}"));
  }
  return form;
}

v1::LossOn DefaultLossOn(std::optional<data::RowForm> form) {
  if (!form.has_value()) return v1::LOSS_ON_UNSPECIFIED;
  switch (*form) {
    case data::RowForm::kMessages:
    case data::RowForm::kShareGpt:
    case data::RowForm::kAlpaca:
      return v1::LOSS_ON_ASSISTANT;
    case data::RowForm::kPromptCompletion:
      return v1::LOSS_ON_COMPLETION;
    case data::RowForm::kText:
      return v1::LOSS_ON_ALL;
    case data::RowForm::kPreference:
      break;
  }
  return v1::LOSS_ON_UNSPECIFIED;
}

}  // namespace vernier::server
