// One row of a dataset: a line of JSON in one of three formats, checked.
//   messages           {"messages": [{"role", "content", "weight"?, "name"?, "tool_calls"?}], "tools"?}
//   prompt_completion  {"prompt": "...", "completion": "..."}
//   text               {"text": "..."}
// A row with several of them counts as the first named above. An `id` (string or number) is optional and
// unique.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace vernier::data {

// Keeps the order of keys, which templates show to the model (tool schemas).
using Json = nlohmann::ordered_json;

// Limits on what a row may be.
inline constexpr int64_t kMaxRowBytes = int64_t{8} << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr int kMaxJsonKeys = 1024;       // in one object
inline constexpr int kMaxJsonValues = 1 << 20;  // in one row
inline constexpr int kMaxMessages = 4096;

enum class RowFormat { kMessages, kPromptCompletion, kText };
// "messages", "prompt_completion", "text".
absl::string_view RowFormatName(RowFormat format);

struct Message {
  std::string role;
  std::string content;
  std::string name;
  double weight = 1.0;  // of its tokens in the loss; assistant only
  Json object;          // as given, `content` joined to one string: what the template sees
};

struct Row {
  RowFormat format = RowFormat::kText;
  std::vector<Message> messages;   // kMessages
  Json tools;                      // null when absent
  std::string prompt, completion;  // kPromptCompletion
  std::string text;                // kText
  std::optional<std::string> id;   // as JSON, so "1" and 1 differ
  std::vector<std::string> unused_columns;

  // SHA-256 of what the model can see of the row (no id, no unused columns, no layout of the JSON).
  std::string ContentDigest() const;
};

// Parses JSON within the limits above. InvalidArgument: "broken JSON at column 12: ...", a duplicate key, a
// limit.
absl::StatusOr<Json> ParseBoundedJson(absl::string_view text);

// Parses and checks one line (no line break; a final CR is ignored). InvalidArgument: the reason, without the
// line number. Thread-safe.
absl::StatusOr<Row> ParseRow(absl::string_view line);

// What only the whole file shows: one format, unique ids, unused columns. Feed rows in order.
// Thread-compatible.
class RowSetChecker {
 public:
  // InvalidArgument: the row's format differs from the first one's, or its id is taken.
  absl::Status Add(int64_t line, const Row& row);
  std::optional<RowFormat> format() const { return format_; }
  // Rows whose content was seen before.
  int64_t num_duplicates() const { return num_duplicates_; }
  // Notes for DataReport: unused columns and duplicates, each once.
  std::vector<std::string> Notes() const;

 private:
  std::optional<RowFormat> format_;
  int64_t format_line_ = 0;
  absl::flat_hash_map<std::string, int64_t> id_lines_;
  absl::flat_hash_map<std::string, int64_t> content_lines_;  // first 16 bytes of the digest
  int64_t num_duplicates_ = 0;
  int64_t first_duplicate_line_ = 0;
  int64_t first_original_line_ = 0;
  std::set<std::string> unused_;
};

}  // namespace vernier::data
