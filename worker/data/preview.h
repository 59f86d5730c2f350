// `vernier datasets preview`: a row as the model will see it, with what is trained.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/codec.h"
#include "worker/data/encode_row.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// Neighbouring tokens of equal weight.
struct PreviewSegment {
  std::string text;
  float weight = 0.0F;
  bool trained() const { return weight > 0; }
};

struct Preview {
  std::vector<PreviewSegment> segments;  // together: the rendered text
  bool adds_bos = false;                 // a token before the text, not shown in it
  bool adds_eos = false;                 // a token after the text, not shown in it
  bool trains_eos = false;               // and trained
  std::string implicit_system_prompt;    // "" = none
  bool hides_reasoning = false;          // the template leaves out reasoning of a trained turn
  int64_t num_tokens = 0;
  int64_t num_trained_tokens = 0;
  int64_t prompt_length = 0;  // tokens; where a generation starts
  // With TURNS_EXPAND: the message that the row is made of.
  std::optional<size_t> message;
};

// What is shown of a row.
struct Previews {
  std::vector<Preview> rows;  // that are made of it; at least 1, at most kMaxPreviews
  size_t num_rows = 0;        // that are made of it, shown or not
};

// `record` is a row as a source gives it. One preview, or with TURNS_EXPAND one for every row made of it.
// InvalidArgument: why the row is bad.
inline constexpr size_t kMaxPreviews = 100;
absl::StatusOr<Previews> RenderPreviews(absl::string_view record, const RowOptions& rows, const Codec& codec,
                                        const EncodeOptions& options);
// The last of them alone, and nothing else rendered.
absl::StatusOr<Preview> RenderLastPreview(absl::string_view record, const RowOptions& rows,
                                          const Codec& codec, const EncodeOptions& options);

// Row `wanted` (from 1) of a source, bad ones counted. InvalidArgument: there are not so many, or it is bad.
absl::StatusOr<Previews> PreviewRow(Source& source, int64_t wanted, const RowOptions& rows,
                                    const Codec& codec, const EncodeOptions& options);

}  // namespace vernier::data
