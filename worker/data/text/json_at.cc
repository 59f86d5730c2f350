#include "worker/data/text/json_at.h"

#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace vernier::data {

JsonAt JsonAt::Member(absl::string_view name) const {
  std::string where = absl::StrCat(where_, absl::StrContains(where_, ":") ? "." : ": ", name);
  if (!IsObject()) return {nullptr, std::move(where)};
  const auto found = value_->find(std::string(name));
  return {found == value_->end() ? nullptr : &*found, std::move(where)};
}

JsonAt JsonAt::Element(size_t index) const {
  return {&(*value_)[index], absl::StrCat(where_, "[", index, "]")};
}

absl::StatusOr<std::string> JsonAt::String() const {
  if (!IsString()) return WrongKind("a string");
  return value_->get<std::string>();
}

absl::StatusOr<bool> JsonAt::Bool(std::optional<bool> fallback) const {
  if (IsNull() && fallback) return *fallback;
  if (value_ == nullptr || !value_->is_boolean()) return WrongKind("true or false");
  return value_->get<bool>();
}

absl::StatusOr<int64_t> JsonAt::Integer() const {
  if (value_ == nullptr || !value_->is_number_integer()) return WrongKind("a whole number");
  if (value_->is_number_unsigned() && value_->get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
    return Refuse("the number is too large");
  }
  return value_->get<int64_t>();
}

absl::StatusOr<double> JsonAt::Number() const {
  if (value_ == nullptr || !value_->is_number()) return WrongKind("a number");
  const auto number = value_->get<double>();
  if (!std::isfinite(number)) return Refuse("the number is too large");
  return number;
}

absl::Status JsonAt::ExpectArray() const { return IsArray() ? absl::OkStatus() : WrongKind("a list"); }
absl::Status JsonAt::ExpectObject() const { return IsObject() ? absl::OkStatus() : WrongKind("an object"); }

absl::Status JsonAt::Refuse(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(where_, ": ", what));
}

absl::Status JsonAt::WrongKind(absl::string_view expected) const {
  if (value_ == nullptr) return Refuse(absl::StrCat("is missing; expected ", expected));
  const std::string shown = value_->is_structured()
                                ? std::string(value_->type_name())
                                : value_->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return Refuse(absl::StrCat("expected ", expected, ", found ", Excerpt(shown, 60)));
}

}  // namespace vernier::data
