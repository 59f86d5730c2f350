// Pieces of tokenizer.json that are written rather than read.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/string_view.h"

namespace vernier::data {

using OrderedJson = nlohmann::ordered_json;

// "text" with JSON's escapes and quotes. `text` is UTF-8.
std::string JsonString(absl::string_view text);
// The template that puts `bos`, whose id is `id`, before a text.
OrderedJson BosTemplateJson(const std::string& bos, int64_t id);
OrderedJson AddedTokenEntry(int64_t id, absl::string_view content, bool special);
// One step, or a Sequence of several under `member`; null of none.
OrderedJson StepsJson(OrderedJson steps, absl::string_view member);

}  // namespace vernier::data
