#include "server/validate/field_check.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/text.h"
#include "google/protobuf/unknown_field_set.h"

namespace vernier::server {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxErrors = 100;

const FieldDescriptor* FieldOf(const Message& message, absl::string_view name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(std::string(name));
  VN_CHECK(field != nullptr);
  return field;
}

std::string NumberText(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (value == std::floor(value) && std::fabs(value) < 1e15) return absl::StrCat(static_cast<int64_t>(value));
  return absl::StrFormat("%.6g", value);
}

double GetNumber(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(reflection->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->GetDouble(message, field);
    default:
      CheckFailed(__FILE__, __LINE__, "a number", field->full_name());
  }
}

void SetNumber(Message& message, const FieldDescriptor* field, double value) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->SetInt32(&message, field, static_cast<int32_t>(value));
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->SetInt64(&message, field, static_cast<int64_t>(value));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->SetDouble(&message, field, value);
    default:
      CheckFailed(__FILE__, __LINE__, "a number", field->full_name());
  }
}

// "refuse, truncate, drop": as YAML writes them, without the prefix that all share with the zero value.
std::string EnumNames(const EnumDescriptor* descriptor) {
  constexpr absl::string_view kZeroSuffix = "UNSPECIFIED";
  const std::string& zero = descriptor->value(0)->name();
  const size_t prefix = zero.size() - kZeroSuffix.size();
  std::vector<std::string> names;
  for (int i = 1; i < descriptor->value_count(); ++i) {
    names.push_back(absl::AsciiStrToLower(descriptor->value(i)->name().substr(prefix)));
  }
  return absl::StrJoin(names, ", ");
}

void FindUnknown(const Message& message, const std::string& path, FieldErrors& errors) {
  const Reflection* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    errors.Add(absl::StrCat(path.empty() ? "job" : path, ": field number ", unknown.field(i).number(),
                            " is not known to this server; upgrade vernierd or remove the field"));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    const std::string at = absl::StrCat(path, path.empty() ? "" : ".", field->name());
    if (!field->is_repeated()) {
      FindUnknown(reflection->GetMessage(message, field), at, errors);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      FindUnknown(reflection->GetRepeatedMessage(message, field, i), absl::StrCat(at, "[", i, "]"), errors);
    }
  }
}

}  // namespace

bool FieldErrors::full() const { return lines_.size() >= kMaxErrors; }

void FieldErrors::Add(std::string line) {
  if (lines_.size() < kMaxErrors) {
    lines_.push_back(std::move(line));
  } else {
    ++num_left_out_;
  }
}

absl::Status FieldErrors::ToStatus() const {
  if (lines_.empty()) return absl::OkStatus();
  std::string text = absl::StrJoin(lines_, "\n");
  if (num_left_out_ > 0) absl::StrAppend(&text, "\nand ", num_left_out_, " more");
  return absl::InvalidArgumentError(text);
}

bool Interval::Contains(double value) const {
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string Interval::ToString() const {
  return absl::StrCat(low_open ? "(" : "[", NumberText(low), ", ", NumberText(high), high_open ? ")" : "]");
}

FieldCheck FieldCheck::In(absl::string_view field) const {
  return FieldCheck(*errors_, where_, absl::StrCat(path_, field, "."));
}

void FieldCheck::Error(absl::string_view field, absl::string_view text) const {
  errors_->Add(absl::StrCat(where_, path_, field, text));
}

void FieldCheck::Number(Message& message, absl::string_view name, Interval range,
                        std::optional<double> fallback) const {
  const FieldDescriptor* field = FieldOf(message, name);
  VN_CHECK(field->has_presence());
  if (!message.GetReflection()->HasField(message, field)) {
    if (fallback) SetNumber(message, field, *fallback);
    return;
  }
  const double value = GetNumber(message, field);
  if (range.Contains(value)) return;
  Error(name, absl::StrCat(" = ", NumberText(value), " is outside ", range.ToString(), "; ",
                           fallback ? absl::StrCat("use ", NumberText(*fallback), " or ") : "",
                           "remove the field for the default"));
}

void FieldCheck::Flag(Message& message, absl::string_view name, bool fallback) const {
  const FieldDescriptor* field = FieldOf(message, name);
  if (!message.GetReflection()->HasField(message, field)) {
    message.GetReflection()->SetBool(&message, field, fallback);
  }
}

void FieldCheck::Enum(Message& message, absl::string_view name, int fallback) const {
  const FieldDescriptor* field = FieldOf(message, name);
  const int value = message.GetReflection()->GetEnumValue(message, field);
  if (value == 0) {
    message.GetReflection()->SetEnumValue(&message, field, fallback);
  } else if (field->enum_type()->FindValueByNumber(value) == nullptr) {
    Error(name,
          absl::StrCat(" = ", value, " is not known to this server; known: ", EnumNames(field->enum_type())));
  }
}

void FieldCheck::Text(const Message& message, absl::string_view name, size_t max_bytes) const {
  const std::string text = message.GetReflection()->GetString(message, FieldOf(message, name));
  if (text.size() <= max_bytes) return;
  Error(name, absl::StrCat(": ", text.size(), " bytes are more than ", max_bytes, "; shorten it"));
}

void FieldCheck::Texts(const Message& message, absl::string_view name, int max_items,
                       size_t max_bytes) const {
  const FieldDescriptor* field = FieldOf(message, name);
  const Reflection* reflection = message.GetReflection();
  const int size = reflection->FieldSize(message, field);
  if (size > max_items) {
    Error(name, absl::StrCat(": ", size, " items are more than ", max_items, "; remove some"));
    return;
  }
  for (int i = 0; i < size; ++i) {
    const std::string text = reflection->GetRepeatedString(message, field, i);
    if (text.empty()) Error(absl::StrCat(name, "[", i, "]"), " is empty; remove it");
    if (text.size() > max_bytes) {
      Error(absl::StrCat(name, "[", i, "]"),
            absl::StrCat(": ", text.size(), " bytes are more than ", max_bytes));
    }
  }
}

void CheckNoUnknownFields(const Message& message, FieldErrors& errors) { FindUnknown(message, "", errors); }

}  // namespace vernier::server
