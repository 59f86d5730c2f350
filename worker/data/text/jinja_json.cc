#include "worker/data/text/jinja_json.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/data/text/jinja_unicode.h"

namespace vernier::data::jinja {
namespace {

using Kind = Value::Kind;

class Writer {
 public:
  Writer(const JsonStyle& style, Budget& budget)
      : style_(style),
        budget_(budget),
        item_separator_(style.item_separator.value_or(style.indent.has_value() ? "," : ", ")),
        key_separator_(style.key_separator.value_or(": ")) {}

  absl::Status Write(const Value& value, int level) {
    VN_RETURN_IF_ERROR(Spend());
    switch (value.kind()) {
      case Kind::kNone:
        out_ += "null";
        return absl::OkStatus();
      case Kind::kBool:
        out_ += value.boolean() ? "true" : "false";
        return absl::OkStatus();
      case Kind::kInt:
        absl::StrAppend(&out_, value.integral());
        return absl::OkStatus();
      case Kind::kFloat:
        out_ += Number(value.number());
        return absl::OkStatus();
      case Kind::kString:
        WriteText(value.text());
        return absl::OkStatus();
      case Kind::kMapping:
        return WriteMapping(value.mapping(), level);
      case Kind::kSequence:
        if (value.sequence().kind == Sequence::Kind::kList ||
            value.sequence().kind == Sequence::Kind::kTuple) {
          return WriteSequence(value.sequence(), level);
        }
        break;
      default:
        break;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("Object of type ", value.TypeName(), " is not JSON serializable"));
  }

  absl::StatusOr<std::string> Take() {
    VN_RETURN_IF_ERROR(Spend());
    return std::move(out_);
  }

 private:
  // Charges what was written since the last call.
  absl::Status Spend() {
    const int64_t size = static_cast<int64_t>(out_.size());
    if (size > kMaxTextBytes) return budget_.SpendText(size);
    const int64_t more = size - charged_;
    charged_ = size;
    return budget_.SpendText(more);
  }

  static std::string Number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return FloatText(value);
  }

  void WriteText(absl::string_view text) {
    out_.push_back('"');
    ForEachCharacter(text, [&](char32_t c, size_t begin, size_t size) {
      switch (c) {
        case '"':
          out_ += "\\\"";
          return;
        case '\\':
          out_ += "\\\\";
          return;
        case '\n':
          out_ += "\\n";
          return;
        case '\r':
          out_ += "\\r";
          return;
        case '\t':
          out_ += "\\t";
          return;
        case '\b':
          out_ += "\\b";
          return;
        case '\f':
          out_ += "\\f";
          return;
        default:
          break;
      }
      if (c >= 0x10000 && style_.ensure_ascii) {
        const unsigned rest = static_cast<unsigned>(c) - 0x10000;
        absl::StrAppendFormat(&out_, "\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
      } else if (c < 0x20 || (style_.ensure_ascii && c > 0x7E)) {
        absl::StrAppendFormat(&out_, "\\u%04x", static_cast<unsigned>(c));
      } else {
        absl::StrAppend(&out_, text.substr(begin, size));
      }
    });
    out_.push_back('"');
  }

  void NewLine(int level) {
    if (!style_.indent.has_value()) return;
    out_.push_back('\n');
    for (int i = 0; i < level; ++i) out_ += *style_.indent;
  }

  absl::Status WriteSequence(const Sequence& sequence, int level) {
    if (sequence.items.empty()) {
      out_ += "[]";
      return absl::OkStatus();
    }
    out_.push_back('[');
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) out_ += item_separator_;
      NewLine(level + 1);
      VN_RETURN_IF_ERROR(Write(sequence.items[i], level + 1));
    }
    NewLine(level);
    out_.push_back(']');
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> KeyText(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key.text();
      case Kind::kNone:
        return std::string("null");
      case Kind::kBool:
        return std::string(key.boolean() ? "true" : "false");
      case Kind::kInt:
        return absl::StrCat(key.integral());
      case Kind::kFloat:
        return Number(key.number());
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("keys must be str, int, float, bool or None, not ", key.TypeName()));
    }
  }

  absl::Status WriteMapping(const Mapping& mapping, int level) {
    if (mapping.entries.empty()) {
      out_ += "{}";
      return absl::OkStatus();
    }
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : mapping.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      absl::Status failed;
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        const absl::StatusOr<int> order = Order(a->first, b->first, budget_);
        if (!order.ok()) failed = order.status();
        return order.ok() && *order < 0;
      });
      VN_RETURN_IF_ERROR(failed);
    }
    out_.push_back('{');
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += item_separator_;
      NewLine(level + 1);
      VN_ASSIGN_OR_RETURN(const std::string key, KeyText(entries[i]->first));
      WriteText(key);
      out_ += key_separator_;
      VN_RETURN_IF_ERROR(Write(entries[i]->second, level + 1));
    }
    NewLine(level);
    out_.push_back('}');
    return absl::OkStatus();
  }

  const JsonStyle& style_;
  Budget& budget_;
  const std::string item_separator_, key_separator_;
  std::string out_;
  int64_t charged_ = 0;
};

}  // namespace

absl::StatusOr<std::string> ToJson(const Value& value, const JsonStyle& style, Budget& budget) {
  Writer writer(style, budget);
  VN_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Take();
}

}  // namespace vernier::data::jinja
