#include "worker/data/text/jinja_access.h"

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_callable.h"
#include "worker/data/text/jinja_loop.h"
#include "worker/data/text/jinja_methods.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

using Kind = Value::Kind;

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// How Jinja names an object in messages.
std::string ObjectName(const Value& value) {
  return value.is_none() ? "None" : absl::StrCat(value.TypeName(), " object");
}

Value Missing(const Value& object, absl::string_view name) {
  return Value::Undefined(
      absl::StrCat("'", ObjectName(object), "' has no attribute '", Excerpt(name, 60), "'"));
}

absl::StatusOr<Value> LoopAttribute(const Value& object, absl::string_view name) {
  Loop& loop = object.loop();
  if (name == "index0") return Value::Int(loop.index0);
  if (name == "index") return Value::Int(loop.index0 + 1);
  if (name == "first") return Value::Bool(loop.index0 == 0);
  if (name == "depth0") return Value::Int(loop.depth0);
  if (name == "depth") return Value::Int(loop.depth0 + 1);
  if (name == "last" || name == "nextitem") {
    VN_ASSIGN_OR_RETURN(std::optional<Value> next, loop.Peek());
    if (name == "last") return Value::Bool(!next.has_value());
    return next.has_value() ? *next : Value::Undefined("there is no next item");
  }
  if (name == "previtem") {
    return loop.before.has_value() ? *loop.before : Value::Undefined("there is no previous item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    VN_ASSIGN_OR_RETURN(const int64_t length, loop.Length());
    return Value::Int(name == "length"     ? length
                      : name == "revindex" ? length - loop.index0
                                           : length - loop.index0 - 1);
  }
  return MethodOf(object, name).value_or(Missing(object, name));
}

// A Python index into `size` elements; none when it is outside.
std::optional<size_t> Place(int64_t index, size_t size) {
  const int64_t count = static_cast<int64_t>(size);
  if (index < 0) index += count;
  if (index < 0 || index >= count) return std::nullopt;
  return static_cast<size_t>(index);
}

}  // namespace

absl::StatusOr<Value> GetAttribute(const Value& object, absl::string_view name) {
  switch (object.kind()) {
    case Kind::kUndefined:
      return Bad(object.undefined().message);
    case Kind::kNamespace:
      for (const auto& [key, value] : object.names().attributes) {
        if (key == name) return value;
      }
      return Missing(object, name);
    case Kind::kLoop:
      return LoopAttribute(object, name);
    default:
      break;
  }
  if (std::optional<Value> method = MethodOf(object, name)) return *std::move(method);
  if (object.is_mapping()) {
    if (const Value* value = object.mapping().Find(name)) return *value;
  }
  if (absl::StartsWith(name, "__")) {
    return Value::Undefined(absl::StrCat("access to attribute '", Excerpt(name, 60), "' of '",
                                         object.TypeName(), "' object is unsafe."));
  }
  return Missing(object, name);
}

absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  if (key.is_string()) VN_RETURN_IF_ERROR(budget.SpendLook(key.text()));
  if (object.is_undefined()) return Bad(object.undefined().message);
  if (object.is_mapping()) {
    if (const Value* value = object.mapping().Find(key)) return *value;
  } else if (object.is_string() && key.is_integral()) {
    // Finding a character takes a walk over the text.
    VN_RETURN_IF_ERROR(budget.Spend(static_cast<int64_t>(object.text().size()) / 64));
    const absl::string_view text = object.text();
    if (const auto place = Place(key.integral(), static_cast<size_t>(CountCharacters(text)))) {
      const size_t begin = OffsetOf(text, static_cast<int64_t>(*place));
      return Value::String(std::string(text.substr(begin, OffsetOf(text.substr(begin), 1))),
                           object.is_markup());
    }
  } else if (object.is_sequence() && key.is_integral()) {
    const Sequence& sequence = object.sequence();
    if (sequence.kind == Sequence::Kind::kList || sequence.kind == Sequence::Kind::kTuple ||
        sequence.kind == Sequence::Kind::kRange) {
      if (const auto place = Place(key.integral(), sequence.items.size())) return sequence.items[*place];
    }
  }
  // An item of that name would have been found above; what is left are methods and attributes.
  if (key.is_string()) return GetAttribute(object, key.text());
  VN_ASSIGN_OR_RETURN(const std::string shown, Repr(key, budget));
  return Value::Undefined(absl::StrCat(ObjectName(object), " has no element ", Excerpt(shown, 60)));
}

absl::StatusOr<Value> GetSlice(const Value& object, const Value& start, const Value& stop, const Value& step,
                               Budget& budget) {
  if (object.is_undefined()) return Bad(object.undefined().message);
  for (const Value* bound : {&start, &stop, &step}) {
    if (!bound->is_none() && !bound->is_integral()) {
      return Bad(absl::StrCat("slice indices must be integers or None, not ", bound->TypeName()));
    }
  }
  const bool sliceable =
      object.is_string() || (object.is_sequence() && object.sequence().kind != Sequence::Kind::kGenerator &&
                             object.sequence().kind <= Sequence::Kind::kRange);
  if (!sliceable) {
    // Like an item that is not there.
    return Value::Undefined(absl::StrCat(ObjectName(object), " has no slices"));
  }
  const absl::string_view whole = object.is_string() ? absl::string_view(object.text()) : absl::string_view();
  VN_RETURN_IF_ERROR(budget.Spend(1 + static_cast<int64_t>(whole.size()) / 64));
  const int64_t size =
      object.is_string() ? CountCharacters(whole) : static_cast<int64_t>(object.sequence().items.size());
  const int64_t stride = step.is_none() ? 1 : step.integral();
  if (stride == 0) return Bad("slice step cannot be zero");
  // Python's slice.indices().
  const int64_t lowest = stride > 0 ? 0 : -1;
  const int64_t highest = stride > 0 ? size : size - 1;
  const auto clamp = [&](const Value& bound, int64_t open) {
    if (bound.is_none()) return open;
    int64_t at = bound.integral();
    if (at < 0) at = at < -size ? lowest : at + size;
    return std::clamp(at, lowest, highest);
  };
  const int64_t begin = clamp(start, stride > 0 ? lowest : highest);
  const int64_t end = clamp(stop, stride > 0 ? highest : lowest);
  if (object.is_string() && stride == 1) {
    const size_t from = OffsetOf(whole, begin);
    const size_t bytes = OffsetOf(whole.substr(from), std::max<int64_t>(0, end - begin));
    return Value::String(std::string(whole.substr(from, bytes)), object.is_markup());
  }
  std::vector<absl::string_view> characters;
  if (object.is_string()) {
    VN_RETURN_IF_ERROR(budget.Spend(size));
    characters = Characters(whole);
  }
  std::vector<Value> items;
  std::string text;
  for (int64_t at = begin; stride > 0 ? at < end : at > end;) {
    VN_RETURN_IF_ERROR(budget.Spend(1));
    if (object.is_string()) {
      absl::StrAppend(&text, characters[static_cast<size_t>(at)]);
    } else {
      items.push_back(object.sequence().items[static_cast<size_t>(at)]);
    }
    // The next index may lie beyond 64 bits.
    if (stride > 0 ? stride > end - at : stride < end - at) break;
    at += stride;
  }
  if (object.is_string()) return Value::String(std::move(text), object.is_markup());
  return Value::Of(object.sequence().kind, std::move(items));
}

}  // namespace vernier::data::jinja
