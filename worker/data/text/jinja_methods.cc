#include "worker/data/text/jinja_methods.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_callable.h"
#include "worker/data/text/jinja_loop.h"
#include "worker/data/text/jinja_text_methods.h"

namespace vernier::data::jinja {
namespace {

using Kind = Value::Kind;
using Result = absl::StatusOr<Value>;

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// What a method of a list or a dict does that the sandbox lets through.
constexpr absl::string_view kMappingMethods[] = {"items", "keys", "values", "get", "copy"};
constexpr absl::string_view kMappingMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr absl::string_view kListMethods[] = {"index", "count", "copy"};
constexpr absl::string_view kListMutators[] = {"append", "clear", "pop",    "reverse",
                                               "insert", "sort",  "extend", "remove"};
constexpr absl::string_view kLoopMethods[] = {"cycle", "changed"};

template <size_t kSize>
bool In(const absl::string_view (&names)[kSize], absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Result CallMappingMethod(const Value& object, absl::string_view name, const CallArguments& arguments,
                         Budget& budget) {
  const Mapping& mapping = object.mapping();
  if (name == "get") {
    VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                        BoundArguments::Bind("get", arguments, {"key", "default"}, 1));
    const Value* value = mapping.Find(bound.Get(0));
    return value != nullptr ? *value : bound.GetOr(1, Value());
  }
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {}, 0));
  if (name == "copy") return object;
  // A pair takes some 120 bytes.
  VN_RETURN_IF_ERROR(
      budget.Spend(1 + static_cast<int64_t>(mapping.entries.size()) * (name == "items" ? 4 : 1)));
  std::vector<Value> items;
  for (const auto& [key, value] : mapping.entries) {
    if (name == "items") {
      VN_ASSIGN_OR_RETURN(Value pair, Value::Of(Sequence::Kind::kTuple, {key, value}));
      items.push_back(std::move(pair));
    } else {
      items.push_back(name == "keys" ? key : value);
    }
  }
  return Value::Of(name == "items"  ? Sequence::Kind::kItems
                   : name == "keys" ? Sequence::Kind::kKeys
                                    : Sequence::Kind::kValues,
                   std::move(items));
}

Result CallListMethod(const Value& object, absl::string_view name, const CallArguments& arguments,
                      Budget& budget) {
  if (name == "copy") {
    VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {}, 0));
    return object;
  }
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {"value"}, 1));
  int64_t count = 0;
  const auto& items = object.sequence().items;
  for (size_t i = 0; i < items.size(); ++i) {
    VN_ASSIGN_OR_RETURN(const bool equal, Equal(items[i], bound.Get(0), budget));
    if (!equal) continue;
    if (name == "index") return Value::Int(static_cast<int64_t>(i));
    ++count;
  }
  if (name == "index") return Bad("the value is not in the list");
  return Value::Int(count);
}

Result CallLoopMethod(Loop& loop, absl::string_view name, const CallArguments& arguments, Budget& budget) {
  if (!arguments.named.empty()) return Bad(absl::StrCat(name, "() takes no named arguments"));
  if (name == "cycle") {
    if (arguments.positional.empty()) return Bad("no items for cycling given");
    return arguments.positional[static_cast<size_t>(loop.index0) % arguments.positional.size()];
  }
  bool same = loop.last_changed.has_value() && loop.last_changed->size() == arguments.positional.size();
  for (size_t i = 0; same && i < arguments.positional.size(); ++i) {
    VN_ASSIGN_OR_RETURN(same, Equal((*loop.last_changed)[i], arguments.positional[i], budget));
  }
  if (!same) loop.last_changed = arguments.positional;
  return Value::Bool(!same);
}

}  // namespace

std::optional<Value> MethodOf(const Value& object, absl::string_view name) {
  const auto bound = [&] {
    Callable method;
    method.name = std::string(name);
    method.is_method = true;
    method.self = object;
    return Value::Of(std::make_shared<const Callable>(std::move(method)));
  };
  const auto unsafe = [&] {
    return Value::Undefined(
        absl::StrCat("access to attribute '", name, "' of '", object.TypeName(), "' object is unsafe."));
  };
  switch (object.kind()) {
    case Kind::kString:
      if (IsTextMethod(name)) return bound();
      return std::nullopt;
    case Kind::kMapping:
      if (In(kMappingMutators, name)) return unsafe();
      if (In(kMappingMethods, name)) return bound();
      return std::nullopt;
    case Kind::kSequence:
      if (object.sequence().kind == Sequence::Kind::kList && In(kListMutators, name)) return unsafe();
      if ((object.sequence().kind == Sequence::Kind::kList ||
           object.sequence().kind == Sequence::Kind::kTuple) &&
          In(kListMethods, name)) {
        return bound();
      }
      return std::nullopt;
    case Kind::kLoop:
      if (In(kLoopMethods, name)) return bound();
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<Value> CallMethod(const Value& object, absl::string_view name, const CallArguments& arguments,
                                 Budget& budget) {
  VN_RETURN_IF_ERROR(budget.Spend(1));
  switch (object.kind()) {
    case Kind::kString:
      return CallTextMethod(object, name, arguments, budget);
    case Kind::kMapping:
      return CallMappingMethod(object, name, arguments, budget);
    case Kind::kLoop:
      return CallLoopMethod(object.loop(), name, arguments, budget);
    default:
      return CallListMethod(object, name, arguments, budget);
  }
}

}  // namespace vernier::data::jinja
