// The `loop` variable of a for block. Like Jinja's LoopContext it asks for items one at a time, so that a
// filtered loop sees what its body changed, and looks ahead only when `loop.last` or `loop.nextitem` ask for
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

struct ForStatement;
class Scope;

struct Loop {
  using Source = std::function<absl::StatusOr<std::optional<Value>>()>;

  Source source;                // empty once the loop is over
  std::optional<int64_t> size;  // of what is iterated, when it has one
  int64_t index0 = -1;
  int64_t depth0 = 0;
  std::optional<Value> before, current;
  bool peeked = false;
  std::optional<Value> after;                      // the next item, when peeked
  std::optional<std::vector<Value>> last_changed;  // arguments of the last loop.changed()
  const ForStatement* recursive = nullptr;         // what loop(...) runs, with `scope` around it
  Scope* scope = nullptr;

  // Moves to the next item; none at the end.
  absl::StatusOr<std::optional<Value>> Next();
  // The item after the current one; none when that is the last.
  absl::StatusOr<std::optional<Value>> Peek();
  absl::StatusOr<int64_t> Length();
};

}  // namespace vernier::data::jinja
