// Small pieces of HTML, in which every foreign text is escaped.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::cli {

// Safe as text and inside quoted attributes; what is no UTF-8 and what no document may hold (control
// characters) comes out as U+FFFD.
std::string HtmlText(absl::string_view text);

// The same of at most about `max_bytes`, "..." where cut.
std::string HtmlExcerpt(absl::string_view text, size_t max_bytes);

// A table with a caption for readers that cannot see it. Cells are HTML already; columns in `numeric` (from
// 0) are aligned right. "" without rows.
std::string HtmlTable(absl::string_view caption, const std::vector<std::string>& header,
                      const std::vector<std::vector<std::string>>& rows,
                      const std::vector<int>& numeric = {});

// Names beside values, both HTML already. "" when empty.
std::string HtmlFacts(const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace vernier::cli
