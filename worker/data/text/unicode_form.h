// Unicode normalisation forms that remember where each byte came from.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/aligned_text.h"

namespace vernier::data {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// False: `text` is of that form for sure.
bool MayChangeUnder(UnicodeForm form, absl::string_view text);
// Brings `text` into that form, as the `tokenizers` library does it. A character keeps the place of each of
// its bytes where nothing changed; otherwise the result stands where the first of the characters that were
// composed or decomposed does.
absl::Status ApplyForm(UnicodeForm form, AlignedText& text);

}  // namespace vernier::data
