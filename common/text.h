// Small text helpers for messages: nearest names, counts, sizes, escaped excerpts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier {

// Levenshtein distance in bytes.
int EditDistance(absl::string_view a, absl::string_view b);

// The candidate nearest to `name`, or "" when none is near (distance above a third of the length, at least
// 2). Long names (above 64 bytes) are no typing errors: none is near, and no time is spent on them.
std::string NearestName(absl::string_view name, absl::Span<const std::string> candidates);

// "; did you mean \"x\"?" or "" when nothing is near.
std::string DidYouMean(absl::string_view name, absl::Span<const std::string> candidates);

// At most `max_bytes` of `text`, " ..." where cut, for use inside messages: control bytes, backslashes and
// bytes that are not UTF-8 are escaped, quotes are not.
std::string Excerpt(absl::string_view text, size_t max_bytes = 80);

// "row" for one, "rows" for any other number.
std::string Noun(int64_t number, absl::string_view noun);

// "1 row", "2 rows".
std::string Counted(int64_t number, absl::string_view noun);

// "512 B", "1.5 KiB", "98.2 MiB".
std::string HumanBytes(int64_t bytes);

// Byte offset of the first invalid UTF-8 sequence, or npos.
size_t FirstInvalidUtf8(absl::string_view text);

}  // namespace vernier
