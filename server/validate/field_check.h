// Checks fields of a message by name and fills in their defaults: one line a field, errors collected, never
// thrown.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace vernier::server {

// Every field error of a job, in the order found; at most 100 are kept. Thread-compatible.
class FieldErrors {
 public:
  void Add(std::string line);
  bool empty() const { return lines_.empty(); }
  // No more are kept: what only looks for further ones may stop.
  bool full() const;
  // InvalidArgument with one line each, or OK.
  absl::Status ToStatus() const;

 private:
  std::vector<std::string> lines_;
  int64_t num_left_out_ = 0;
};

// Numbers from `low` to `high`. NaN is in none.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;

  bool Contains(double value) const;
  // "[1, 512]", "(0, 10]", "[0, inf)".
  std::string ToString() const;
};
inline Interval Closed(double low, double high) { return {low, high}; }
inline Interval Above(double low) { return {low, std::numeric_limits<double>::infinity(), true, true}; }
inline Interval AtLeast(double low) { return {low, std::numeric_limits<double>::infinity(), false, true}; }

// Where in the job we are: `where` starts each line ("stage \"sft\": "), `path` the field ("tuning.lora.").
// Field names that a message does not have are our bug (VN_CHECK).
class FieldCheck {
 public:
  FieldCheck(FieldErrors& errors, std::string where, std::string path = "")
      : errors_(&errors), where_(std::move(where)), path_(std::move(path)) {}

  // The same place, one message deeper.
  FieldCheck In(absl::string_view field) const;

  // `<where><path><field><text>`, e.g. Error("rank", " = 0 is outside [1, 512]").
  void Error(absl::string_view field, absl::string_view text) const;

  // A number with presence: set, it must lie in `range`; unset, it becomes `fallback`, if there is one.
  void Number(google::protobuf::Message& message, absl::string_view field, Interval range,
              std::optional<double> fallback = std::nullopt) const;
  void Flag(google::protobuf::Message& message, absl::string_view field, bool fallback) const;
  // Zero becomes `fallback`; a number that is no value of the enum is an error.
  void Enum(google::protobuf::Message& message, absl::string_view field, int fallback) const;
  // Not above `max_bytes`.
  void Text(const google::protobuf::Message& message, absl::string_view field, size_t max_bytes) const;
  // At most `max_items` texts, none empty or above `max_bytes`.
  void Texts(const google::protobuf::Message& message, absl::string_view field, int max_items,
             size_t max_bytes) const;

  const std::string& where() const { return where_; }

 private:
  FieldErrors* errors_;
  std::string where_;
  std::string path_;
};

// Fields that this server does not know (a newer client's), anywhere in `message`, are errors: they would be
// ignored.
void CheckNoUnknownFields(const google::protobuf::Message& message, FieldErrors& errors);

}  // namespace vernier::server
