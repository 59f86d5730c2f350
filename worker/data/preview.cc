#include "worker/data/preview.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace vernier::data {

absl::StatusOr<Preview> RenderPreview(absl::string_view record, const RowOptions& rows, const Codec& codec,
                                      const EncodeOptions& options) {
  VN_ASSIGN_OR_RETURN(const Row row, ParseRow(record, rows));
  VN_RETURN_IF_ERROR(CheckEncodeOptions(options, row.format));
  VN_ASSIGN_OR_RETURN(const RowText laid, LayOutRow(row, options, codec));
  VN_ASSIGN_OR_RETURN(const EncodedRow encoded, EncodeRow(row, options, codec));
  VN_ASSIGN_OR_RETURN(const TokenizedText tokens, codec.Tokenize(laid.text));
  Preview preview;
  preview.adds_bos = laid.add_bos;
  preview.adds_eos = laid.add_eos;
  preview.implicit_system_prompt = laid.implicit_system_prompt;
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

absl::StatusOr<Preview> PreviewRow(Source& source, int64_t wanted, const RowOptions& rows, const Codec& codec,
                                   const EncodeOptions& options) {
  Record record;
  for (int64_t seen = 0;; ++seen) {
    VN_ASSIGN_OR_RETURN(const bool more, source.Next(&record));
    if (!more) return absl::InvalidArgumentError(absl::StrCat("row ", wanted, ": there are ", seen, " rows"));
    if (seen + 1 < wanted) continue;
    const std::string place = absl::StrCat("row ", wanted, " (", source.unit(), " ", record.line, ")");
    if (!record.problem.empty()) return absl::InvalidArgumentError(absl::StrCat(place, ": ", record.problem));
    absl::StatusOr<Preview> preview = RenderPreview(record.bytes, rows, codec, options);
    if (!preview.ok()) return Annotate(preview.status(), place);
    return preview;
  }
}

}  // namespace vernier::data
