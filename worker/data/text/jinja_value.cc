#include "worker/data/text/jinja_value.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_callable.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

// Mappings of more entries than this get an index.
constexpr size_t kSearchedEntries = 16;
// Between two looks at the clock.
constexpr int64_t kStepsPerLook = 1024;

// Equality of dictionary keys: scalars by value, everything else by identity (templates cannot hash lists).
bool SameKey(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return a.text() == b.text();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  return a.SameAs(b);
}

// The same text for keys that are the same (SameKey).
std::string KeyText(const Value& key) {
  if (key.is_string()) return absl::StrCat("s", key.text());
  if (key.is_number()) return absl::StrCat("n", FloatText(key.number() == 0 ? 0 : key.number()));
  return absl::StrCat("o",
                      key.kind() == Value::Kind::kNone ? 0 : reinterpret_cast<uintptr_t>(key.identity()));
}

absl::Status TooDeep() {
  return absl::InvalidArgumentError(
      absl::StrCat("a value is nested deeper than ", kMaxValueDepth, " levels"));
}

// Everything that walks over characters relies on it.
absl::Status CheckUtf8(absl::string_view text) {
  if (FirstInvalidUtf8(text) == absl::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("not UTF-8: ", Excerpt(text, 60)));
}

}  // namespace

absl::Status Budget::Spend(int64_t steps) {
  // Sizes come from templates: none may give steps back, nor run over.
  steps_left_ = steps > steps_left_ ? -1 : steps_left_ - std::max<int64_t>(0, steps);
  if (steps_left_ > next_look_) return absl::OkStatus();
  if (steps_left_ < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the template takes more than ", max_steps_, " steps; ", kSpentMark));
  }
  // Not below 0: what is beyond the limit stays below it.
  next_look_ = std::max<int64_t>(0, steps_left_ - kStepsPerLook);
  if (!time_.Spent()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the template takes more than ", absl::FormatDuration(time_.limit()), " of CPU time; ", kSpentMark));
}

absl::Status Budget::SpendText(int64_t bytes) {
  if (bytes > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the template makes a text of more than ", kMaxTextBytes >> 20, " MiB"));
  }
  // A step for 64 bytes: strings of 640 MB in all, however short-lived.
  return Spend(1 + bytes / 64);
}

const Value* Mapping::Find(absl::string_view key) const {
  if (!index.empty()) {
    const auto it = index.find(absl::StrCat("s", key));
    return it == index.end() ? nullptr : &entries[it->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (name.is_string() && name.text() == key) return &value;
  }
  return nullptr;
}

const Value* Mapping::Find(const Value& key) const {
  if (key.is_string()) return Find(key.text());
  if (!index.empty()) {
    const auto it = index.find(KeyText(key));
    return it == index.end() ? nullptr : &entries[it->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (SameKey(name, key)) return &value;
  }
  return nullptr;
}

Value Value::Undefined(std::string message) {
  return Value(Data(std::make_shared<const UndefinedValue>(UndefinedValue{std::move(message)})));
}

Value Value::String(std::string text, bool markup) {
  return Value(Data(std::make_shared<const Text>(Text{std::move(text), markup})));
}

absl::StatusOr<Value> Value::Of(Sequence::Kind kind, std::vector<Value> items) {
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  for (const Value& item : items) sequence->depth = std::max(sequence->depth, 1 + item.depth());
  if (sequence->depth > kMaxValueDepth) return TooDeep();
  sequence->items = std::move(items);
  return Value(Data(std::move(sequence)));
}

absl::StatusOr<Value> Value::Of(std::vector<std::pair<Value, Value>> entries) {
  auto mapping = std::make_shared<Mapping>();
  mapping->entries.reserve(entries.size());
  const bool indexed = entries.size() > kSearchedEntries;
  for (auto& [key, value] : entries) {
    mapping->depth = std::max(mapping->depth, 1 + std::max(key.depth(), value.depth()));
    // Finding needs the index, which grows along.
    if (const Value* old = mapping->entries.empty() ? nullptr : mapping->Find(key)) {
      const_cast<Value&>(*old) = std::move(value);
      continue;
    }
    if (indexed) mapping->index.emplace(KeyText(key), mapping->entries.size());
    mapping->entries.emplace_back(std::move(key), std::move(value));
  }
  if (mapping->depth > kMaxValueDepth) return TooDeep();
  return Value(Data(std::shared_ptr<const Mapping>(std::move(mapping))));
}

absl::StatusOr<Value> Value::FromJson(const nlohmann::ordered_json& json) {
  switch (json.type()) {
    case nlohmann::detail::value_t::boolean:
      return Bool(json.get<bool>());
    case nlohmann::detail::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return absl::InvalidArgumentError(
            absl::StrCat("the integer ", json.dump(), " does not fit into 64 bits"));
      }
      return Int(json.get<int64_t>());
    case nlohmann::detail::value_t::number_integer:
      return Int(json.get<int64_t>());
    case nlohmann::detail::value_t::number_float:
      return Float(json.get<double>());
    case nlohmann::detail::value_t::string: {
      const std::string& text = json.get_ref<const std::string&>();
      VN_RETURN_IF_ERROR(CheckUtf8(text));
      return String(text);
    }
    case nlohmann::detail::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& element : json) {
        VN_ASSIGN_OR_RETURN(Value item, FromJson(element));
        items.push_back(std::move(item));
      }
      return Of(Sequence::Kind::kList, std::move(items));
    }
    case nlohmann::detail::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [key, element] : json.items()) {
        VN_RETURN_IF_ERROR(CheckUtf8(key));
        VN_ASSIGN_OR_RETURN(Value value, FromJson(element));
        entries.emplace_back(String(key), std::move(value));
      }
      return Of(std::move(entries));
    }
    default:
      return Value();
  }
}

bool Value::Truth() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return boolean();
    case Kind::kInt:
      return integral() != 0;
    case Kind::kFloat:
      return number() != 0;
    case Kind::kString:
      return !text().empty();
    case Kind::kSequence:
      return sequence().kind == Sequence::Kind::kGenerator || !sequence().items.empty();
    case Kind::kMapping:
      return !mapping().entries.empty();
    case Kind::kNamespace:
    case Kind::kCallable:
    case Kind::kLoop:
      return true;
  }
  return true;
}

int Value::depth() const {
  if (is_sequence()) return sequence().depth;
  if (is_mapping()) return mapping().depth;
  // A bound method holds its object.
  if (kind() == Kind::kCallable) return 1 + callable().self.depth();
  return 0;
}

const void* Value::identity() const {
  return std::visit(
      [](const auto& held) -> const void* {
        if constexpr (requires { held.get(); }) return held.get();
        return nullptr;
      },
      data_);
}

bool Value::SameAs(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return boolean() == other.boolean();
    case Kind::kInt:
      return integral() == other.integral();
    case Kind::kFloat:
      return number() == other.number();
    case Kind::kString:  // Python shares equal short strings; templates cannot tell more
      return text() == other.text();
    case Kind::kUndefined:
      return &undefined() == &other.undefined();
    case Kind::kSequence:
      return &sequence() == &other.sequence();
    case Kind::kMapping:
      return &mapping() == &other.mapping();
    case Kind::kNamespace:
      return &names() == &other.names();
    case Kind::kCallable:
      return &callable() == &other.callable();
    case Kind::kLoop:
      return &loop() == &other.loop();
  }
  return false;
}

absl::string_view Value::TypeName() const {
  switch (kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return is_markup() ? "Markup" : "str";
    case Kind::kSequence:
      switch (sequence().kind) {
        case Sequence::Kind::kList:
          return "list";
        case Sequence::Kind::kTuple:
          return "tuple";
        case Sequence::Kind::kRange:
          return "range";
        case Sequence::Kind::kKeys:
          return "dict_keys";
        case Sequence::Kind::kValues:
          return "dict_values";
        case Sequence::Kind::kItems:
          return "dict_items";
        case Sequence::Kind::kGenerator:
          return "generator";
      }
      return "list";
    case Kind::kMapping:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kCallable:
      return callable().definition != nullptr ? "Macro" : "function";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

}  // namespace vernier::data::jinja
