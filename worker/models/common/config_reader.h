// Fields of a config.json that came from a stranger: typed, bounded, and every message names the file and the
// field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier::models {

// Bounds of what a config may ask for. Far above published models, and small enough that no product of two
// overflows and no loop over one hurts; tensors are sized by the files, never by a config alone.
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxHeads = 4096;
inline constexpr int64_t kMaxHeadDim = 1024;
inline constexpr int64_t kMaxHiddenSize = int64_t{1} << 17;
inline constexpr int64_t kMaxIntermediateSize = int64_t{1} << 20;
inline constexpr int64_t kMaxVocabSize = int64_t{1} << 24;
inline constexpr int64_t kMaxPositions = int64_t{1} << 24;

// An absent field and a null are the same thing, as in Hugging Face's files. InvalidArgument: a field that is
// needed is absent, has another type or lies outside its bounds. Lifetime: refers to the JSON.
class ConfigReader {
 public:
  // `where` starts every message: the file, and the path of a nested object within it.
  ConfigReader(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool Has(absl::string_view field) const;
  // There and null: switched off, where an absent field would stand for a default.
  bool IsNull(absl::string_view field) const;
  // In [min, max]. Without a fallback the field is needed.
  absl::StatusOr<int64_t> Int(absl::string_view field, int64_t min, int64_t max,
                              std::optional<int64_t> fallback = std::nullopt) const;
  absl::StatusOr<double> Number(absl::string_view field, double min, double max,
                                std::optional<double> fallback = std::nullopt) const;
  absl::StatusOr<bool> Bool(absl::string_view field, bool fallback) const;
  absl::StatusOr<std::string> String(absl::string_view field, absl::string_view fallback) const;
  // Absent: empty.
  absl::StatusOr<std::vector<std::string>> Strings(absl::string_view field, int64_t max_entries = 64) const;
  // Each in [min, max]. Absent: empty.
  absl::StatusOr<std::vector<double>> Numbers(absl::string_view field, double min, double max,
                                              int64_t max_entries) const;
  // One of `known`; the message lists them.
  absl::StatusOr<std::string> OneOf(absl::string_view field, absl::Span<const absl::string_view> known,
                                    absl::string_view fallback) const;
  // A nested object, which is needed.
  absl::StatusOr<ConfigReader> Object(absl::string_view field) const;
  // The field's ids (one number or a list) below `limit`; others are dropped, since no model of that
  // vocabulary can answer them (transformers' defaults name such ids for small vocabularies).
  absl::StatusOr<std::vector<int64_t>> TokenIds(absl::string_view field, int64_t limit) const;
  // The field asks for something we do not do.
  absl::Status Refuse(absl::string_view field, absl::string_view why) const;
  // "<where>: <field> <what>".
  absl::Status Bad(absl::string_view field, absl::string_view what) const;

 private:
  const nlohmann::json* Find(absl::string_view field) const;

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace vernier::models
