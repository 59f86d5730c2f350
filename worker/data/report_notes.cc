#include "worker/data/report_notes.h"

#include "absl/strings/str_cat.h"

namespace vernier::data {

std::vector<std::string> FormatNotes(std::optional<RowFormat> format, const EncodeOptions& options,
                                     const Codec& codec) {
  std::vector<std::string> notes;
  // A chat template writes them itself.
  if (!format.has_value() || *format == RowFormat::kMessages) return notes;
  if (options.turns == v1::TURNS_LAST || options.turns == v1::TURNS_EXPAND) {
    notes.push_back(absl::StrCat("data.turns: ", options.turns == v1::TURNS_LAST ? "last" : "expand",
                                 " changes nothing: the rows have no messages, each stays one row"));
  }
  notes.push_back(codec.eos_id().has_value()
                      ? absl::StrCat("the end-of-sequence token (id ", *codec.eos_id(),
                                     ") is appended to each row",
                                     options.loss_on == v1::LOSS_ON_PROMPT ? "" : " and trained")
                      : "the tokenizer names no end-of-sequence token: none is appended");
  if (codec.bos_id().has_value())
    notes.push_back(
        absl::StrCat("the begin-of-sequence token (id ", *codec.bos_id(), ") is put before each row"));
  return notes;
}

}  // namespace vernier::data
