// Arguments of a call, bound to the parameters of what is called.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// The arguments in the order of the parameters.
class BoundArguments {
 public:
  // `required`: how many of the first parameters must be given. InvalidArgument, as Python: too many,
  // unknown, twice.
  static absl::StatusOr<BoundArguments> Bind(absl::string_view function, const CallArguments& arguments,
                                             std::initializer_list<absl::string_view> parameters,
                                             size_t required);

  bool Has(size_t i) const { return values_[i].has_value(); }
  // Given and not None.
  bool HasValue(size_t i) const { return Has(i) && !values_[i]->is_none(); }
  const Value& Get(size_t i) const { return *values_[i]; }
  Value GetOr(size_t i, Value otherwise) const { return Has(i) ? *values_[i] : otherwise; }
  // The argument, `otherwise` when it is absent or None. InvalidArgument: of another type.
  absl::StatusOr<int64_t> IntOr(size_t i, int64_t otherwise) const;
  absl::StatusOr<std::string> TextOr(size_t i, absl::string_view otherwise) const;

 private:
  std::string function_;
  std::vector<std::string> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace vernier::data::jinja
