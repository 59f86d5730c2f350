// A JSON value and where it stands in its file, so that every complaint says where.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// Borrows the value, which may be missing. Copyable.
class JsonAt {
 public:
  // `where` starts every message: the file's name, to which members add theirs ("tokenizer.json:
  // model.vocab").
  JsonAt(const nlohmann::json* value, std::string where) : value_(value), where_(std::move(where)) {}

  // Missing or null.
  bool IsNull() const { return value_ == nullptr || value_->is_null(); }
  bool IsString() const { return value_ != nullptr && value_->is_string(); }
  bool IsObject() const { return value_ != nullptr && value_->is_object(); }
  bool IsArray() const { return value_ != nullptr && value_->is_array(); }
  // Of an object or array.
  size_t size() const { return value_->size(); }
  const nlohmann::json& value() const { return *value_; }
  const std::string& where() const { return where_; }

  // A member; missing when this is no object or has none of that name.
  JsonAt Member(absl::string_view name) const;
  // An element of an array.
  JsonAt Element(size_t index) const;

  // InvalidArgument: another kind, or missing. With a default, missing or null gives that.
  absl::StatusOr<std::string> String() const;
  absl::StatusOr<bool> Bool(std::optional<bool> fallback = std::nullopt) const;
  absl::StatusOr<int64_t> Integer() const;
  absl::StatusOr<double> Number() const;  // finite; whole ones too
  absl::Status ExpectArray() const;
  absl::Status ExpectObject() const;

  // InvalidArgument: "<where>: <what>".
  absl::Status Refuse(absl::string_view what) const;

 private:
  absl::Status WrongKind(absl::string_view expected) const;

  const nlohmann::json* value_;
  std::string where_;
};

}  // namespace vernier::data
