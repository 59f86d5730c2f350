// Equality, order, membership, iteration and length of values, as Python has them.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_loop.h"
#include "worker/data/text/jinja_unicode.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {
namespace {

using Kind = Value::Kind;

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

template <typename T>
int Sign(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

absl::StatusOr<bool> EqualSequences(const Sequence& a, const Sequence& b, Budget& budget) {
  if (a.kind != b.kind || a.items.size() != b.items.size()) return false;
  if (a.kind == Sequence::Kind::kGenerator || a.kind == Sequence::Kind::kValues) return &a == &b;
  for (size_t i = 0; i < a.items.size(); ++i) {
    VN_ASSIGN_OR_RETURN(const bool equal, Equal(a.items[i], b.items[i], budget));
    if (!equal) return false;
  }
  return true;
}

absl::StatusOr<bool> EqualMappings(const Mapping& a, const Mapping& b, Budget& budget) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    if (key.is_string()) VN_RETURN_IF_ERROR(budget.SpendLook(key.text()));
    const Value* other = b.Find(key);
    if (other == nullptr) return false;
    VN_ASSIGN_OR_RETURN(const bool equal, Equal(value, *other, budget));
    if (!equal) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<bool> Equal(const Value& a, const Value& b, Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  if (a.is_integral() && b.is_integral()) return a.integral() == b.integral();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      VN_RETURN_IF_ERROR(budget.SpendLook(a.text()));
      return a.text() == b.text();
    case Kind::kSequence:
      return EqualSequences(a.sequence(), b.sequence(), budget);
    case Kind::kMapping:
      return EqualMappings(a.mapping(), b.mapping(), budget);
    default:
      return a.SameAs(b);
  }
}

absl::StatusOr<int> Order(const Value& a, const Value& b, Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  for (const Value* side : {&a, &b}) {
    if (side->is_undefined()) return Bad(side->undefined().message);
  }
  if (a.is_integral() && b.is_integral()) return Sign(a.integral(), b.integral());
  if (a.is_number() && b.is_number()) return Sign(a.number(), b.number());
  // The bytes of UTF-8 order as its characters do.
  if (a.is_string() && b.is_string()) {
    VN_RETURN_IF_ERROR(budget.SpendLook(a.text().size() < b.text().size() ? a.text() : b.text()));
    return Sign(a.text(), b.text());
  }
  const auto ordered = [](const Value& value) {
    return value.is_sequence() && (value.sequence().kind == Sequence::Kind::kList ||
                                   value.sequence().kind == Sequence::Kind::kTuple);
  };
  if (ordered(a) && ordered(b) && a.sequence().kind == b.sequence().kind) {
    const auto& left = a.sequence().items;
    const auto& right = b.sequence().items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      VN_ASSIGN_OR_RETURN(const bool equal, Equal(left[i], right[i], budget));
      if (!equal) return Order(left[i], right[i], budget);
    }
    return Sign(left.size(), right.size());
  }
  return Bad(absl::StrCat("'", a.TypeName(), "' and '", b.TypeName(), "' have no order"));
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget& budget) {
  if (container.is_string()) {
    if (!item.is_string()) {
      return Bad(absl::StrCat("'in <string>' requires string as left operand, not ", item.TypeName()));
    }
    VN_RETURN_IF_ERROR(budget.Spend(1));
    VN_RETURN_IF_ERROR(budget.SpendLook(container.text()));
    return FindText(container.text(), item.text()) != absl::string_view::npos;
  }
  if (container.is_mapping()) {
    if (item.is_mapping() || (item.is_sequence() && item.sequence().kind == Sequence::Kind::kList)) {
      return Bad(absl::StrCat("unhashable type: '", item.TypeName(), "'"));
    }
    VN_RETURN_IF_ERROR(budget.Spend(1));
    if (item.is_string()) VN_RETURN_IF_ERROR(budget.SpendLook(item.text()));
    return container.mapping().Find(item) != nullptr;
  }
  if (!IsIterable(container)) {
    return Bad(absl::StrCat("argument of type '", container.TypeName(), "' is not iterable"));
  }
  const bool listed = container.is_sequence() && container.sequence().kind != Sequence::Kind::kGenerator;
  std::vector<Value> taken;
  if (!listed) {
    VN_ASSIGN_OR_RETURN(taken, Iterate(container, budget));
  }
  for (const Value& element : listed ? container.sequence().items : taken) {
    VN_ASSIGN_OR_RETURN(const bool equal, Equal(element, item, budget));
    if (equal) return true;
  }
  return false;
}

bool IsIterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is_mapping() ||
         value.kind() == Kind::kLoop;
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Budget& budget) {
  std::vector<Value> items;
  if (value.is_undefined()) return items;
  if (value.is_string()) {
    // A character on its own takes some 90 bytes.
    VN_RETURN_IF_ERROR(budget.Spend(4 * static_cast<int64_t>(value.text().size())));
    for (const absl::string_view character : Characters(value.text())) {
      items.push_back(Value::String(std::string(character)));
    }
    return items;
  }
  if (value.is_sequence()) {
    const Sequence& sequence = value.sequence();
    VN_RETURN_IF_ERROR(budget.Spend(1 + static_cast<int64_t>(sequence.items.size())));
    if (sequence.kind != Sequence::Kind::kGenerator) return sequence.items;
    items.assign(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.next), sequence.items.end());
    value.generator().next = sequence.items.size();
    return items;
  }
  if (value.is_mapping()) {
    VN_RETURN_IF_ERROR(budget.Spend(1 + static_cast<int64_t>(value.mapping().entries.size())));
    for (const auto& [key, unused] : value.mapping().entries) items.push_back(key);
    return items;
  }
  if (value.kind() == Kind::kLoop) return Bad("iterating over `loop` is not supported");
  return Bad(absl::StrCat("'", value.TypeName(), "' object is not iterable"));
}

absl::StatusOr<int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return CountCharacters(value.text());
    case Kind::kSequence:
      if (value.sequence().kind == Sequence::Kind::kGenerator) break;
      return static_cast<int64_t>(value.sequence().items.size());
    case Kind::kMapping:
      return static_cast<int64_t>(value.mapping().entries.size());
    case Kind::kLoop:
      return value.loop().Length();
    default:
      break;
  }
  return Bad(absl::StrCat("object of type '", value.TypeName(), "' has no len()"));
}

}  // namespace vernier::data::jinja
