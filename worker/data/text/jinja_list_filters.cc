#include "worker/data/text/jinja_list_filters.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_access.h"
#include "worker/data/text/jinja_ast.h"
#include "worker/data/text/jinja_filters.h"
#include "worker/data/text/jinja_operators.h"
#include "worker/data/text/jinja_tests.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

using Result = absl::StatusOr<Value>;

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// `attribute` as filters take it: "a.b.0", an index, or None for the value itself.
Result AttributeOf(const Value& item, const Value& attribute, Budget& budget) {
  if (attribute.is_none()) return item;
  if (!attribute.is_string()) return GetItem(item, attribute, budget);
  Value at = item;
  for (const absl::string_view part : absl::StrSplit(attribute.text(), '.')) {
    int64_t index = 0;
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == absl::string_view::npos &&
                        absl::SimpleAtoi(part, &index);
    VN_ASSIGN_OR_RETURN(at,
                        GetItem(at, number ? Value::Int(index) : Value::String(std::string(part)), budget));
  }
  return at;
}

// What elements are compared by: an attribute of theirs, strings without case unless asked.
Result KeyOf(const Value& item, const Value& attribute, bool case_sensitive, Budget& budget) {
  VN_ASSIGN_OR_RETURN(Value key, AttributeOf(item, attribute, budget));
  if (case_sensitive || !key.is_string()) return key;
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(key.text().size())));
  return Value::String(Lower(key.text()));
}

struct Keyed {
  Value key, item;
};

absl::Status SortKeyed(std::vector<Keyed>* list, bool reverse, Budget& budget) {
  absl::Status failed;
  const auto before = [&](const Keyed& a, const Keyed& b) {
    // Python keeps equal elements in place when it sorts in reverse, too.
    const absl::StatusOr<int> order = reverse ? Order(b.key, a.key, budget) : Order(a.key, b.key, budget);
    if (!order.ok()) failed.Update(order.status());
    return order.ok() && *order < 0;
  };
  std::stable_sort(list->begin(), list->end(), before);
  return failed;
}

Result Extreme(const Value& value, const CallArguments& arguments, Budget& budget, absl::string_view name,
               int want) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind(name, arguments, {"case_sensitive", "attribute"}, 0));
  const bool case_sensitive = bound.GetOr(0, Value::Bool(false)).Truth();
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  if (items.empty()) return Value::Undefined("No aggregated item, sequence was empty.");
  const Value attribute = bound.GetOr(1, Value());
  size_t best = 0;
  VN_ASSIGN_OR_RETURN(Value best_key, KeyOf(items[0], attribute, case_sensitive, budget));
  for (size_t i = 1; i < items.size(); ++i) {
    VN_ASSIGN_OR_RETURN(Value key, KeyOf(items[i], attribute, case_sensitive, budget));
    VN_ASSIGN_OR_RETURN(const int order, Order(key, best_key, budget));
    if (order != want) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

// select, reject and their attr forms: keeps elements for which a test gives `want`.
Result Choose(const Value& value, const CallArguments& arguments, Budget& budget, bool by_attribute,
              bool want) {
  if (!arguments.named.empty()) return Bad("select and reject take no named arguments");
  const size_t offset = by_attribute ? 1 : 0;
  if (arguments.positional.size() < offset) return Bad("Missing parameter for attribute name");
  std::string test;
  CallArguments rest;
  if (arguments.positional.size() > offset) {
    const Value& name = arguments.positional[offset];
    if (!name.is_string()) return Bad("the name of a test must be a str");
    test = name.text();
    rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(offset) + 1,
                           arguments.positional.end());
  }
  std::vector<Value> kept;
  if (value.Truth()) {
    VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
    for (const Value& item : items) {
      Value subject = item;
      if (by_attribute) {
        VN_ASSIGN_OR_RETURN(subject, AttributeOf(item, arguments.positional[0], budget));
      }
      bool holds = subject.Truth();
      if (!test.empty()) {
        VN_ASSIGN_OR_RETURN(holds, ApplyTest(test, subject, rest, budget));
      }
      if (holds == want) kept.push_back(item);
    }
  }
  return Value::Of(Sequence::Kind::kGenerator, std::move(kept));
}

}  // namespace

Result FilterBatch(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("batch", arguments, {"linecount", "fill_with"}, 1));
  VN_ASSIGN_OR_RETURN(const int64_t size, bound.IntOr(0, 0));
  if (size < 1) return Bad("batch() needs a linecount above 0");
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  std::vector<Value> batches;
  VN_RETURN_IF_ERROR(budget.Spend(4 * (static_cast<int64_t>(items.size()) / size)));
  for (size_t begin = 0; begin < items.size(); begin += static_cast<size_t>(size)) {
    const size_t end =
        static_cast<size_t>(size) > items.size() - begin ? items.size() : begin + static_cast<size_t>(size);
    std::vector<Value> batch(items.begin() + static_cast<std::ptrdiff_t>(begin),
                             items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound.HasValue(1)) {
      VN_RETURN_IF_ERROR(budget.Spend(size));
      batch.resize(static_cast<size_t>(size), bound.Get(1));
    }
    VN_ASSIGN_OR_RETURN(Value list, Value::Of(Sequence::Kind::kList, std::move(batch)));
    batches.push_back(std::move(list));
    if (end == items.size()) break;
  }
  return Value::Of(Sequence::Kind::kGenerator, std::move(batches));
}

Result FilterSlice(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("slice", arguments, {"slices", "fill_with"}, 1));
  VN_ASSIGN_OR_RETURN(const int64_t count, bound.IntOr(0, 0));
  if (count < 1) return Bad("slice() needs a number of slices above 0");
  if (count > kMaxSteps) return budget.Spend(kMaxSteps + 1);
  VN_RETURN_IF_ERROR(budget.Spend(4 * count));  // a list takes some 100 bytes
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  const int64_t size = static_cast<int64_t>(items.size());
  std::vector<Value> slices;
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t end = begin + size / count + (i < size % count ? 1 : 0);
    std::vector<Value> slice(items.begin() + begin, items.begin() + end);
    begin = end;
    if (bound.HasValue(1) && i >= size % count) slice.push_back(bound.Get(1));
    VN_ASSIGN_OR_RETURN(Value list, Value::Of(Sequence::Kind::kList, std::move(slice)));
    slices.push_back(std::move(list));
  }
  return Value::Of(Sequence::Kind::kGenerator, std::move(slices));
}

Result FilterDictSort(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0));
  VN_ASSIGN_OR_RETURN(const std::string by, bound.TextOr(1, "key"));
  if (by != "key" && by != "value") return Bad("You can only sort by either \"key\" or \"value\"");
  if (value.is_undefined()) return Bad(value.undefined().message);
  if (!value.is_mapping()) return Bad(absl::StrCat("dictsort needs a dict, not ", value.TypeName()));
  std::vector<Keyed> list;
  VN_RETURN_IF_ERROR(budget.Spend(4 * static_cast<int64_t>(value.mapping().entries.size())));
  for (const auto& [key, element] : value.mapping().entries) {
    VN_ASSIGN_OR_RETURN(Value pair, Value::Of(Sequence::Kind::kTuple, {key, element}));
    VN_ASSIGN_OR_RETURN(Value by_what, KeyOf(by == "key" ? key : element, Value(),
                                             bound.GetOr(0, Value::Bool(false)).Truth(), budget));
    list.push_back({std::move(by_what), std::move(pair)});
  }
  VN_RETURN_IF_ERROR(SortKeyed(&list, bound.GetOr(2, Value::Bool(false)).Truth(), budget));
  std::vector<Value> pairs;
  for (Keyed& entry : list) pairs.push_back(std::move(entry.item));
  return Value::Of(Sequence::Kind::kList, std::move(pairs));
}

Result FilterFirst(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("first", arguments, {}, 0));
  if (value.is_sequence() && value.sequence().kind == Sequence::Kind::kGenerator) {
    Sequence& generator = value.generator();
    if (generator.next < generator.items.size()) return generator.items[generator.next++];
    return Value::Undefined("No first item, sequence was empty.");
  }
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  return items.empty() ? Value::Undefined("No first item, sequence was empty.") : items.front();
}

Result FilterLast(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("last", arguments, {}, 0));
  if (value.is_undefined()) return Bad(value.undefined().message);
  if (value.is_sequence() && value.sequence().kind == Sequence::Kind::kGenerator) {
    return Bad("'generator' object is not reversible; use the filter `list` first");
  }
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  return items.empty() ? Value::Undefined("No last item, sequence was empty.") : items.back();
}

Result FilterItems(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("items", arguments, {}, 0));
  std::vector<Value> pairs;
  if (!value.is_undefined()) {
    if (!value.is_mapping()) return Bad("Can only get item pairs from a mapping.");
    VN_RETURN_IF_ERROR(budget.Spend(1 + 4 * static_cast<int64_t>(value.mapping().entries.size())));
    for (const auto& [key, element] : value.mapping().entries) {
      VN_ASSIGN_OR_RETURN(Value pair, Value::Of(Sequence::Kind::kTuple, {key, element}));
      pairs.push_back(std::move(pair));
    }
  }
  return Value::Of(Sequence::Kind::kGenerator, std::move(pairs));
}

Result FilterJoin(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("join", arguments, {"d", "attribute"}, 0));
  VN_ASSIGN_OR_RETURN(const std::string separator, Str(bound.GetOr(0, Value::String("")), budget));
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += separator;
    VN_ASSIGN_OR_RETURN(const Value item, AttributeOf(items[i], bound.GetOr(1, Value()), budget));
    VN_ASSIGN_OR_RETURN(const std::string piece, Str(item, budget));
    text += piece;
    if (static_cast<int64_t>(text.size()) > kMaxTextBytes)
      return budget.SpendText(static_cast<int64_t>(text.size()));
  }
  VN_RETURN_IF_ERROR(budget.SpendText(static_cast<int64_t>(text.size())));
  return Value::String(std::move(text));
}

Result FilterList(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("list", arguments, {}, 0));
  VN_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value, budget));
  return Value::Of(Sequence::Kind::kList, std::move(items));
}

Result FilterMap(const Value& value, const CallArguments& arguments, Budget& budget) {
  std::vector<Value> mapped;
  if (!value.Truth()) return Value::Of(Sequence::Kind::kGenerator, {});
  if (arguments.positional.empty()) {
    VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                        BoundArguments::Bind("map", arguments, {"attribute", "default"}, 1));
    VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
    for (const Value& item : items) {
      VN_ASSIGN_OR_RETURN(Value attribute, AttributeOf(item, bound.Get(0), budget));
      mapped.push_back(attribute.is_undefined() && bound.HasValue(1) ? bound.Get(1) : std::move(attribute));
    }
    return Value::Of(Sequence::Kind::kGenerator, std::move(mapped));
  }
  if (!arguments.positional[0].is_string()) return Bad("map() needs the name of a filter");
  CallArguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  for (const Value& item : items) {
    VN_ASSIGN_OR_RETURN(Value result, ApplyFilter(arguments.positional[0].text(), item, rest, budget));
    mapped.push_back(std::move(result));
  }
  return Value::Of(Sequence::Kind::kGenerator, std::move(mapped));
}

Result FilterMax(const Value& value, const CallArguments& arguments, Budget& budget) {
  return Extreme(value, arguments, budget, "max", 1);
}
Result FilterMin(const Value& value, const CallArguments& arguments, Budget& budget) {
  return Extreme(value, arguments, budget, "min", -1);
}

Result FilterSelect(const Value& value, const CallArguments& arguments, Budget& budget) {
  return Choose(value, arguments, budget, false, true);
}
Result FilterReject(const Value& value, const CallArguments& arguments, Budget& budget) {
  return Choose(value, arguments, budget, false, false);
}
Result FilterSelectAttr(const Value& value, const CallArguments& arguments, Budget& budget) {
  return Choose(value, arguments, budget, true, true);
}
Result FilterRejectAttr(const Value& value, const CallArguments& arguments, Budget& budget) {
  return Choose(value, arguments, budget, true, false);
}

Result FilterReverse(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("reverse", arguments, {}, 0));
  VN_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value, budget));
  std::reverse(items.begin(), items.end());
  if (value.is_string()) {
    std::string text;
    for (const Value& character : items) text += character.text();
    return Value::String(std::move(text));
  }
  // Python: an iterator over a list, a new list over what has no reverse order of its own.
  const bool listed =
      value.is_undefined() || (value.is_sequence() && value.sequence().kind == Sequence::Kind::kGenerator);
  return Value::Of(listed ? Sequence::Kind::kList : Sequence::Kind::kGenerator, std::move(items));
}

Result FilterSort(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0));
  VN_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value, budget));
  std::vector<Keyed> list;
  for (Value& item : items) {
    std::vector<Value> keys;
    const Value attribute = bound.GetOr(2, Value());
    std::vector<Value> attributes = {attribute};
    if (attribute.is_string()) {  // "a,b": by a, then by b
      attributes.clear();
      for (const absl::string_view one : absl::StrSplit(attribute.text(), ',')) {
        attributes.push_back(Value::String(std::string(one)));
      }
    }
    for (const Value& one : attributes) {
      VN_ASSIGN_OR_RETURN(Value key, KeyOf(item, one, bound.GetOr(1, Value::Bool(false)).Truth(), budget));
      keys.push_back(std::move(key));
    }
    VN_ASSIGN_OR_RETURN(Value key, Value::Of(Sequence::Kind::kList, std::move(keys)));
    list.push_back({std::move(key), std::move(item)});
  }
  VN_RETURN_IF_ERROR(SortKeyed(&list, bound.GetOr(0, Value::Bool(false)).Truth(), budget));
  for (size_t i = 0; i < list.size(); ++i) items[i] = std::move(list[i].item);
  return Value::Of(Sequence::Kind::kList, std::move(items));
}

Result FilterSum(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("sum", arguments, {"attribute", "start"}, 0));
  Value total = bound.GetOr(1, Value::Int(0));
  if (total.is_string()) return Bad("sum() can't sum strings; use the filter `join`");
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  for (const Value& item : items) {
    VN_ASSIGN_OR_RETURN(const Value term, AttributeOf(item, bound.GetOr(0, Value()), budget));
    VN_ASSIGN_OR_RETURN(total, Apply(BinaryOperator::kAdd, total, term, budget));
  }
  return total;
}

Result FilterUnique(const Value& value, const CallArguments& arguments, Budget& budget) {
  VN_ASSIGN_OR_RETURN(const BoundArguments bound,
                      BoundArguments::Bind("unique", arguments, {"case_sensitive", "attribute"}, 0));
  VN_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, budget));
  std::vector<Value> kept, seen;
  for (const Value& item : items) {
    VN_ASSIGN_OR_RETURN(
        Value key, KeyOf(item, bound.GetOr(1, Value()), bound.GetOr(0, Value::Bool(false)).Truth(), budget));
    bool known = false;
    for (size_t i = 0; i < seen.size() && !known; ++i) {
      VN_ASSIGN_OR_RETURN(known, Equal(seen[i], key, budget));
    }
    if (known) continue;
    seen.push_back(std::move(key));
    kept.push_back(item);
  }
  return Value::Of(Sequence::Kind::kGenerator, std::move(kept));
}

}  // namespace vernier::data::jinja
