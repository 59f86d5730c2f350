#include "storage/bounded_json.h"

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

// Leaves the parser; never leaves ParseJson.
struct Refused {
  std::string why;
};

// Counts values and depth and remembers the names of every open object.
class Guard {
 public:
  explicit Guard(const JsonLimits& limits) : limits_(limits) {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        // `depth` counts the structures already open around this one.
        if (depth >= limits_.max_depth) {
          throw Refused{absl::StrCat("is nested deeper than the limit of ", limits_.max_depth)};
        }
        names_.emplace_back();
        Count();
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        names_.pop_back();
        break;
      case Json::parse_event_t::key: {
        const auto& name = parsed.get_ref<const std::string&>();
        if (!names_.back().insert(name).second) {
          throw Refused{absl::StrCat("has the name \"", Excerpt(name), "\" twice in one object")};
        }
        break;
      }
      case Json::parse_event_t::value:
        Count();
        break;
    }
    return true;
  }

 private:
  void Count() {
    if (++num_values_ > limits_.max_values) {
      throw Refused{absl::StrCat("has more than the limit of ", limits_.max_values, " values")};
    }
  }

  const JsonLimits& limits_;
  int64_t num_values_ = 0;
  std::vector<std::unordered_set<std::string>> names_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view name,
                                         const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": has ", text.size(), " bytes of JSON, more than the limit of ", limits.max_bytes));
  }
  Guard guard(limits);
  try {
    return Json::parse(text.begin(), text.end(), std::ref(guard));
  } catch (const Refused& refused) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", refused.why));
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": is not JSON: ", Excerpt(error.what(), 200)));
  }
}

}  // namespace vernier::storage
