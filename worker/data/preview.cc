#include "worker/data/preview.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {

namespace {

absl::StatusOr<Preview> PreviewOf(const RowText& laid, const Codec& codec) {
  VN_ASSIGN_OR_RETURN(const EncodedRow encoded, EncodeRow(laid, codec));
  VN_ASSIGN_OR_RETURN(const TokenizedText tokens, codec.Tokenize(laid.text));
  Preview preview;
  preview.adds_bos = laid.add_bos;
  preview.adds_eos = laid.add_eos;
  preview.trains_eos = laid.add_eos && laid.eos_weight > 0;
  preview.implicit_system_prompt = laid.implicit_system_prompt;
  preview.hides_reasoning = laid.hides_reasoning;
  preview.num_tokens = static_cast<int64_t>(encoded.ids.size());
  preview.num_trained_tokens = encoded.num_trained();
  preview.prompt_length = encoded.prompt_length;
  const size_t shift = laid.add_bos ? 1 : 0;
  for (size_t t = 0; t < tokens.ids.size(); ++t) {
    // What a tokenizer drops before the first token stays visible.
    const size_t begin = t == 0 ? 0 : tokens.begins[t];
    const size_t end = t + 1 < tokens.ids.size() ? tokens.begins[t + 1] : laid.text.size();
    const float weight = encoded.weights[t + shift];
    if (preview.segments.empty() || preview.segments.back().weight != weight) {
      preview.segments.push_back({.text = "", .weight = weight});
    }
    preview.segments.back().text.append(laid.text, begin, end - begin);
  }
  return preview;
}

absl::StatusOr<Row> ReadRow(absl::string_view record, const RowOptions& rows, const Codec& codec,
                            const EncodeOptions& options) {
  VN_ASSIGN_OR_RETURN(Row row, ParseRow(record, rows));
  VN_RETURN_IF_ERROR(CheckEncodeOptions(options, row.format));
  VN_RETURN_IF_ERROR(codec.DropReasoning(row));
  return row;
}

// Of the rows [first, first + max) that are made of `row`.
absl::StatusOr<Previews> PreviewsOf(const Row& row, size_t first, size_t max, const Codec& codec,
                                    const EncodeOptions& options) {
  Previews previews;
  VN_RETURN_IF_ERROR(ForEachTrainedRow(row, options, [&](const Row& trained) -> absl::Status {
    const size_t index = previews.num_rows++;
    if (index < first || index - first >= max) return absl::OkStatus();
    VN_ASSIGN_OR_RETURN(const RowText laid, LayOutRow(trained, options, codec));
    VN_ASSIGN_OR_RETURN(Preview preview, PreviewOf(laid, codec));
    if (IsExpanded(row, options)) preview.message = trained.messages.size() - 1;
    previews.rows.push_back(std::move(preview));
    return absl::OkStatus();
  }));
  if (previews.num_rows == 0)
    return absl::InvalidArgumentError("the row has no assistant turn with a weight above 0");
  return previews;
}

}  // namespace

absl::StatusOr<Previews> RenderPreviews(absl::string_view record, const RowOptions& rows, const Codec& codec,
                                        const EncodeOptions& options) {
  VN_ASSIGN_OR_RETURN(const Row row, ReadRow(record, rows, codec, options));
  return PreviewsOf(row, 0, kMaxPreviews, codec, options);
}

absl::StatusOr<Preview> RenderLastPreview(absl::string_view record, const RowOptions& rows,
                                          const Codec& codec, const EncodeOptions& options) {
  VN_ASSIGN_OR_RETURN(const Row row, ReadRow(record, rows, codec, options));
  VN_ASSIGN_OR_RETURN(const Previews counted, PreviewsOf(row, 0, 0, codec, options));
  VN_ASSIGN_OR_RETURN(Previews last, PreviewsOf(row, counted.num_rows - 1, 1, codec, options));
  return std::move(last.rows[0]);
}

absl::StatusOr<Previews> PreviewRow(Source& source, int64_t wanted, const RowOptions& rows,
                                    const Codec& codec, const EncodeOptions& options) {
  Record record;
  for (int64_t seen = 0;; ++seen) {
    VN_ASSIGN_OR_RETURN(const bool more, source.Next(&record));
    if (!more)
      return absl::InvalidArgumentError(
          absl::StrCat("row ", wanted, ": the file has ", Counted(seen, "row")));
    if (seen + 1 < wanted) continue;
    const std::string place = absl::StrCat("row ", wanted, " (", source.unit(), " ", record.line, ")");
    if (!record.problem.empty()) return absl::InvalidArgumentError(absl::StrCat(place, ": ", record.problem));
    absl::StatusOr<Previews> previews = RenderPreviews(record.bytes, rows, codec, options);
    if (!previews.ok()) return Annotate(previews.status(), place);
    return previews;
  }
}

}  // namespace vernier::data
