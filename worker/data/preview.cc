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

}  // namespace

absl::StatusOr<std::vector<Preview>> RenderPreviews(absl::string_view record, const RowOptions& rows,
                                                    const Codec& codec, const EncodeOptions& options) {
  VN_ASSIGN_OR_RETURN(const Row row, ParseRow(record, rows));
  VN_RETURN_IF_ERROR(CheckEncodeOptions(options, row.format));
  std::vector<Preview> previews;
  VN_RETURN_IF_ERROR(ForEachTrainedRow(row, options, [&](const Row& trained) -> absl::Status {
    if (previews.size() == kMaxPreviews) return absl::OkStatus();
    VN_ASSIGN_OR_RETURN(const RowText laid, LayOutRow(trained, options, codec));
    VN_ASSIGN_OR_RETURN(Preview preview, PreviewOf(laid, codec));
    previews.push_back(std::move(preview));
    return absl::OkStatus();
  }));
  if (previews.empty())
    return absl::InvalidArgumentError("the row has no assistant turn with a weight above 0");
  return previews;
}

absl::StatusOr<std::vector<Preview>> PreviewRow(Source& source, int64_t wanted, const RowOptions& rows,
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
    absl::StatusOr<std::vector<Preview>> previews = RenderPreviews(record.bytes, rows, codec, options);
    if (!previews.ok()) return Annotate(previews.status(), place);
    return previews;
  }
}

}  // namespace vernier::data
