// Values of the template language: what Python's None, bool, int, float, str, list, tuple and dict are to
// Jinja, with Python's rules for truth, equality, order and printing.
//
// Values are immutable and shared; only namespaces and generators change, and both belong to one render.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "worker/data/text/cpu_budget.h"

namespace vernier::data::jinja {

// Limits of one render. A template is somebody else's program.
inline constexpr int64_t kMaxSteps = 10'000'000;
inline constexpr absl::Duration kMaxTime = absl::Seconds(20);  // of the CPU; steps end nearly all before it
inline constexpr int64_t kMaxTextBytes = int64_t{64} << 20;    // of one string, and of the output
inline constexpr int64_t kMaxRange = 100'000;                  // what Jinja's own sandbox allows
inline constexpr int kMaxValueDepth = 200;
// How the errors of a render that spent its steps or its time end.
inline constexpr absl::string_view kSpentMark = "it may loop without end";
inline constexpr int kMaxEvalDepth = 800;
inline constexpr size_t kMaxAttributes = 256;  // of a namespace

struct Limits {
  int64_t steps = kMaxSteps;
  absl::Duration cpu_time = kMaxTime;
};

// What a render may still spend. Thread-compatible.
class Budget {
 public:
  explicit Budget(const Limits& limits = {})
      : max_steps_(limits.steps),
        steps_left_(limits.steps),
        next_look_(limits.steps),
        time_(limits.cpu_time) {}

  // InvalidArgument: the limit is passed. A negative amount is none.
  absl::Status Spend(int64_t steps);
  // For making a string of `bytes`, which is also checked against kMaxTextBytes.
  absl::Status SpendText(int64_t bytes);
  // For looking at the bytes of a string.
  absl::Status SpendLook(absl::string_view text) { return Spend(static_cast<int64_t>(text.size()) / 64); }

 private:
  const int64_t max_steps_;
  int64_t steps_left_;
  int64_t next_look_;  // at the clock
  CpuBudget time_;
};

class Value;
struct Callable;
struct Loop;

// A variable or attribute that is not there. Printing it gives "", using it fails with `message`.
struct UndefinedValue {
  std::string message;
};

struct Text {
  std::string text;
  bool markup = false;  // made by `safe`: adding a plain string escapes that one, as Markup does
};

struct Sequence {
  enum class Kind { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };
  Kind kind = Kind::kList;
  std::vector<Value> items;
  int depth = 1;
  size_t next = 0;  // kGenerator: items before it are consumed
};

struct Mapping {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  int depth = 1;
  // Of the keys (KeyText), only in mappings too large to be searched.
  absl::flat_hash_map<std::string, size_t> index;

  const Value* Find(const Value& key) const;
  const Value* Find(absl::string_view key) const;
};

// namespace(): the one thing a template can change.
struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

class Value {
 public:
  // In the order of the variant's alternatives.
  enum class Kind {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kSequence,
    kMapping,
    kNamespace,
    kCallable,
    kLoop
  };

  Value() : data_(nullptr) {}  // None
  static Value Undefined(std::string message);
  static Value Bool(bool value) { return Value(Data(value)); }
  static Value Int(int64_t value) { return Value(Data(value)); }
  static Value Float(double value) { return Value(Data(value)); }
  static Value String(std::string text, bool markup = false);
  static Value Of(std::shared_ptr<Namespace> value) { return Value(Data(std::move(value))); }
  static Value Of(std::shared_ptr<const Callable> value) { return Value(Data(std::move(value))); }
  static Value Of(std::shared_ptr<Loop> value) { return Value(Data(std::move(value))); }
  // InvalidArgument: nested deeper than kMaxValueDepth.
  static absl::StatusOr<Value> Of(Sequence::Kind kind, std::vector<Value> items);
  // Later entries replace earlier ones of an equal key, in their place.
  static absl::StatusOr<Value> Of(std::vector<std::pair<Value, Value>> entries);
  // InvalidArgument: an integer outside 64 bits, text that is not UTF-8, nested too deep.
  static absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_undefined() const { return kind() == Kind::kUndefined; }
  bool is_none() const { return kind() == Kind::kNone; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_sequence() const { return kind() == Kind::kSequence; }
  bool is_mapping() const { return kind() == Kind::kMapping; }
  bool is_float() const { return kind() == Kind::kFloat; }
  // int or bool, as isinstance(x, int).
  bool is_integral() const { return kind() == Kind::kInt || is_bool(); }
  bool is_number() const { return is_integral() || is_float(); }

  const UndefinedValue& undefined() const { return *std::get<0>(data_); }
  bool boolean() const { return std::get<bool>(data_); }
  int64_t integral() const { return is_bool() ? static_cast<int64_t>(boolean()) : std::get<int64_t>(data_); }
  double number() const { return is_float() ? std::get<double>(data_) : static_cast<double>(integral()); }
  const std::string& text() const { return std::get<5>(data_)->text; }
  bool is_markup() const { return is_string() && std::get<5>(data_)->markup; }
  const Sequence& sequence() const { return *std::get<6>(data_); }
  Sequence& generator() const { return *std::get<6>(data_); }
  const Mapping& mapping() const { return *std::get<7>(data_); }
  Namespace& names() const { return *std::get<8>(data_); }
  const Callable& callable() const { return *std::get<9>(data_); }
  Loop& loop() const { return *std::get<10>(data_); }

  bool Truth() const;
  int depth() const;
  // Of the object that it shares; null for None, numbers and bool.
  const void* identity() const;
  // Whether both are the same object (`is` in Python, for what templates compare with it).
  bool SameAs(const Value& other) const;
  // The type's name in Python: "str", "dict", "NoneType", ...
  absl::string_view TypeName() const;

 private:
  using Data =
      std::variant<std::shared_ptr<const UndefinedValue>, std::nullptr_t, bool, int64_t, double,
                   std::shared_ptr<const Text>, std::shared_ptr<Sequence>, std::shared_ptr<const Mapping>,
                   std::shared_ptr<Namespace>, std::shared_ptr<const Callable>, std::shared_ptr<Loop>>;
  explicit Value(Data data) : data_(std::move(data)) {}
  Data data_;
};

// a == b.
absl::StatusOr<bool> Equal(const Value& a, const Value& b, Budget& budget);
// -1, 0 or 1. InvalidArgument: '<' is not supported between these types.
absl::StatusOr<int> Order(const Value& a, const Value& b, Budget& budget);
// `item in container`.
absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget& budget);

// The elements that iterating gives; consumes generators. InvalidArgument: not iterable.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Budget& budget);
bool IsIterable(const Value& value);
// len(). InvalidArgument: has none.
absl::StatusOr<int64_t> Length(const Value& value);

// str(), and repr() as printing a list shows its elements.
absl::StatusOr<std::string> Str(const Value& value, Budget& budget);
absl::StatusOr<std::string> Repr(const Value& value, Budget& budget);
// As Python prints a float: the shortest digits that read back.
std::string FloatText(double value);

}  // namespace vernier::data::jinja
