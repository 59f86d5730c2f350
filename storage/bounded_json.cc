// nlohmann's SAX parser feeding a tree. Not its parser with a callback: that one walks all earlier members of
// an object whenever a nested one ends, which takes minutes for the header of a file with many tensors.
#include "storage/bounded_json.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/text.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

class TreeBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit TreeBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Store(nullptr) != nullptr; }
  bool boolean(bool value) override { return Store(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Store(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Store(value) != nullptr; }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    return Store(value) != nullptr;
  }
  bool string(string_t& value) override { return Store(std::move(value)) != nullptr; }
  bool binary(binary_t& /*value*/) override { return Refuse("has binary data"); }
  bool start_object(size_t /*size*/) override { return Open(Json::object()); }
  bool start_array(size_t /*size*/) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    auto& members = open_.back()->get_ref<Json::object_t&>();
    const auto [place, inserted] = members.emplace(std::move(name), nullptr);
    if (!inserted) {
      return Refuse(absl::StrCat("has the name \"", Excerpt(place->first), "\" twice in one object"));
    }
    member_ = &place->second;
    return true;
  }

  bool parse_error(size_t /*position*/, const std::string& /*token*/, const Json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while ...".
    absl::string_view what = error.what();
    if (const size_t bracket = what.find("] "); bracket != absl::string_view::npos) {
      what.remove_prefix(bracket + 2);
    }
    absl::ConsumePrefix(&what, "parse error ");
    absl::ConsumePrefix(&what, "at line 1, ");  // most texts are one line; the caller has named it
    return Refuse(absl::StrCat("is not JSON: ", Excerpt(what, 200)));
  }

  Json TakeRoot() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  bool Refuse(std::string why) {
    error_ = std::move(why);
    return false;
  }

  // The place of the new value, or null when there are too many.
  Json* Store(Json value) {
    if (++num_values_ > limits_.max_values) {
      Refuse(absl::StrCat("has more than the limit of ", limits_.max_values, " values"));
      return nullptr;
    }
    if (open_.empty()) return &(root_ = std::move(value));
    if (!open_.back()->is_array()) return &(*member_ = std::move(value));
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }

  bool Open(Json value) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Refuse(absl::StrCat("is nested deeper than the limit of ", limits_.max_depth));
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

  const JsonLimits& limits_;
  Json root_;
  // Containers being filled, outermost first. A container does not move while one inside it is open.
  std::vector<Json*> open_;
  Json* member_ = nullptr;  // place of the member whose name came last
  int64_t num_values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view name,
                                         const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": has ", text.size(), " bytes of JSON, more than the limit of ", limits.max_bytes));
  }
  TreeBuilder builder(limits);
  if (Json::sax_parse(text.begin(), text.end(), &builder)) return builder.TakeRoot();
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", builder.error()));
}

}  // namespace vernier::storage
