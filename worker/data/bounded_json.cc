// ParseBoundedJson: nlohmann's SAX parser feeding a tree, with limits checked before anything is stored.
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/text.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

// At most 160 bytes; quotes, which Excerpt escapes, stay as they are.
std::string Readable(absl::string_view what) {
  return absl::StrReplaceAll(Excerpt(what, 160), {{"\\'", "'"}, {"\\\"", "\""}});
}

class TreeBuilder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Store(Json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return Store(Json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return Store(Json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Store(Json(value)) != nullptr; }
  bool number_float(number_float_t value, const string_t& token) override {
    // The parser hands on integers of more than 64 bits as floating point: another number.
    if (token.find_first_of(".eE") == string_t::npos) {
      return Fail(absl::StrCat("the integer ", Excerpt(token, 40), " has more than 64 bits; write it as a string"));
    }
    return Store(Json(value)) != nullptr;
  }
  bool string(string_t& value) override { return Store(Json(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return Fail("binary data in JSON"); }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& key) override {
    Json& object = *open_.back();
    if (object.size() >= static_cast<size_t>(kMaxJsonKeys)) {
      return Fail(absl::StrCat("an object has more than ", kMaxJsonKeys, " keys"));
    }
    if (object.contains(key)) return Fail(absl::StrCat("the key \"", Excerpt(key, 40), "\" appears twice"));
    key_ = std::move(key);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token, const Json::exception& e) override {
    absl::string_view what = e.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while ...": keep the
    // end.
    if (const size_t at = what.find("column "); at != absl::string_view::npos) {
      if (const size_t colon = what.find(": ", at); colon != absl::string_view::npos)
        what.remove_prefix(colon + 2);
    } else if (const size_t bracket = what.find("] "); bracket != absl::string_view::npos) {
      what.remove_prefix(bracket + 2);
    }
    (void)token;
    return Fail(absl::StrCat("broken JSON at column ", position, ": ", Readable(what)));
  }

  Json TakeRoot() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  bool Fail(std::string reason) {
    error_ = std::move(reason);
    return false;
  }

  // The place of the new value, or null when a limit is passed.
  Json* Store(Json value) {
    if (++num_values_ > kMaxJsonValues) {
      Fail(absl::StrCat("the row has more than ", kMaxJsonValues, " JSON values"));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool Open(Json value) {
    if (open_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      return Fail(absl::StrCat("JSON is nested deeper than ", kMaxJsonDepth, " levels"));
    }
    Json* place = Store(std::move(value));
    if (place == nullptr) return false;
    open_.push_back(place);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  // Containers being filled, outermost first. A container's place does not move while a child of it is open.
  std::vector<Json*> open_;
  std::string key_;
  int64_t num_values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<Json> ParseBoundedJson(absl::string_view text) {
  if (text.size() > static_cast<size_t>(kMaxRowBytes)) {
    return absl::InvalidArgumentError(absl::StrCat("the row is larger than the limit of ",
                                                   HumanBytes(kMaxRowBytes), "; shorten or split it"));
  }
  if (const size_t at = FirstInvalidUtf8(text); at != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("not UTF-8: byte ", at + 1, " of the line is invalid; save the file as UTF-8"));
  }
  TreeBuilder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(builder.error());
  }
  return builder.TakeRoot();
}

}  // namespace vernier::data
