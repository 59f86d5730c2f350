// Remarks of a report that are about the model as much as about the rows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "worker/data/codec.h"
#include "worker/data/encode_row.h"
#include "worker/data/rows.h"

namespace vernier::data {

// Which tokens are put around rows of this format, and what of `options` means nothing for them.
std::vector<std::string> FormatNotes(std::optional<RowFormat> format, const EncodeOptions& options,
                                     const Codec& codec);

}  // namespace vernier::data
