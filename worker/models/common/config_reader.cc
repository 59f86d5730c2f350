#include "worker/models/common/config_reader.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::models {
namespace {

// A config lists one or a few end tokens; anything longer is none of these.
constexpr size_t kMaxListed = 64;

std::string Shown(const nlohmann::json& value) {
  if (value.is_string()) return absl::StrCat("\"", Excerpt(value.get_ref<const std::string&>(), 40), "\"");
  return Excerpt(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), 40);
}

}  // namespace

const nlohmann::json* ConfigReader::Find(absl::string_view field) const {
  const auto found = object_.find(field);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

absl::Status ConfigReader::Bad(absl::string_view field, absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(where_, ": ", field, " ", what));
}

absl::Status ConfigReader::Refuse(absl::string_view field, absl::string_view why) const {
  const nlohmann::json* value = Find(field);
  return Bad(field,
             absl::StrCat("= ", value == nullptr ? "null" : Shown(*value), " is not supported; ", why));
}

bool ConfigReader::Has(absl::string_view field) const { return Find(field) != nullptr; }

bool ConfigReader::IsNull(absl::string_view field) const {
  const auto found = object_.find(field);
  return found != object_.end() && found->is_null();
}

absl::StatusOr<int64_t> ConfigReader::Int(absl::string_view field, int64_t min, int64_t max,
                                          std::optional<int64_t> fallback) const {
  const nlohmann::json* value = Find(field);
  if (value == nullptr) {
    if (fallback.has_value()) return *fallback;
    return Bad(field, "is missing");
  }
  if (!value->is_number_integer()) return Bad(field, absl::StrCat("= ", Shown(*value), " is not an integer"));
  const bool too_large = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(max);
  if (too_large || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    return Bad(field, absl::StrCat("= ", Shown(*value), " is outside [", min, ", ", max, "]"));
  }
  return value->get<int64_t>();
}

absl::StatusOr<double> ConfigReader::Number(absl::string_view field, double min, double max,
                                            std::optional<double> fallback) const {
  const nlohmann::json* value = Find(field);
  if (value == nullptr) {
    if (fallback.has_value()) return *fallback;
    return Bad(field, "is missing");
  }
  if (!value->is_number()) return Bad(field, absl::StrCat("= ", Shown(*value), " is not a number"));
  const double number = value->get<double>();
  if (!(number >= min && number <= max)) {
    return Bad(field, absl::StrCat("= ", Shown(*value), " is outside [", min, ", ", max, "]"));
  }
  return number;
}

absl::StatusOr<bool> ConfigReader::Bool(absl::string_view field, bool fallback) const {
  const nlohmann::json* value = Find(field);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return Bad(field, absl::StrCat("= ", Shown(*value), " is not true or false"));
  return value->get<bool>();
}

absl::StatusOr<std::string> ConfigReader::String(absl::string_view field, absl::string_view fallback) const {
  const nlohmann::json* value = Find(field);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) return Bad(field, absl::StrCat("= ", Shown(*value), " is not a string"));
  return value->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> ConfigReader::Strings(absl::string_view field,
                                                               int64_t max_entries) const {
  const nlohmann::json* value = Find(field);
  std::vector<std::string> strings;
  if (value == nullptr) return strings;
  if (!value->is_array() || static_cast<int64_t>(value->size()) > max_entries) {
    return Bad(field, absl::StrCat("is not a list of at most ", max_entries, " strings"));
  }
  for (const nlohmann::json& entry : *value) {
    if (!entry.is_string()) return Bad(field, absl::StrCat("has the entry ", Shown(entry), ", not a string"));
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

absl::StatusOr<std::vector<double>> ConfigReader::Numbers(absl::string_view field, double min, double max,
                                                          int64_t max_entries) const {
  const nlohmann::json* value = Find(field);
  std::vector<double> numbers;
  if (value == nullptr) return numbers;
  if (!value->is_array() || static_cast<int64_t>(value->size()) > max_entries) {
    return Bad(field, absl::StrCat("is not a list of at most ", max_entries, " numbers"));
  }
  for (const nlohmann::json& entry : *value) {
    const double number = entry.is_number() ? entry.get<double>() : std::nan("");
    if (!(number >= min && number <= max)) {
      return Bad(field,
                 absl::StrCat("has the entry ", Shown(entry), ", not a number in [", min, ", ", max, "]"));
    }
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<std::string> ConfigReader::OneOf(absl::string_view field,
                                                absl::Span<const absl::string_view> known,
                                                absl::string_view fallback) const {
  VN_ASSIGN_OR_RETURN(std::string value, String(field, fallback));
  for (const absl::string_view name : known) {
    if (name == value) return value;
  }
  return Refuse(field, absl::StrCat("supported: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<ConfigReader> ConfigReader::Object(absl::string_view field) const {
  const nlohmann::json* value = Find(field);
  if (value == nullptr) return Bad(field, "is missing");
  if (!value->is_object()) return Bad(field, absl::StrCat("= ", Shown(*value), " is not an object"));
  return ConfigReader(*value, absl::StrCat(where_, ": ", field));
}

absl::StatusOr<std::vector<int64_t>> ConfigReader::TokenIds(absl::string_view field, int64_t limit) const {
  const nlohmann::json* value = Find(field);
  std::vector<int64_t> ids;
  if (value == nullptr) return ids;
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  if (list.size() > kMaxListed) {
    return Bad(field, absl::StrCat("has ", list.size(), " ids, more than the limit of ", kMaxListed));
  }
  for (const nlohmann::json& id : list) {
    if (!id.is_number_integer()) return Bad(field, absl::StrCat("= ", Shown(id), " is not a token id"));
    if (id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(limit))
      ids.push_back(id.get<int64_t>());
  }
  return ids;
}

}  // namespace vernier::models
