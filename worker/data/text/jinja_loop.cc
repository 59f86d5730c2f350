#include "worker/data/text/jinja_loop.h"

#include <memory>
#include <utility>

#include "common/status_macros.h"

namespace vernier::data::jinja {

absl::StatusOr<std::optional<Value>> Loop::Next() {
  VN_ASSIGN_OR_RETURN(std::optional<Value> item, Peek());
  peeked = false;
  after.reset();
  if (!item.has_value()) return item;
  ++index0;
  before = std::move(current);
  current = *item;
  return item;
}

absl::StatusOr<std::optional<Value>> Loop::Peek() {
  if (!peeked) {
    if (source) {
      VN_ASSIGN_OR_RETURN(after, source());
    }
    peeked = true;
  }
  return after;
}

absl::StatusOr<int64_t> Loop::Length() {
  if (size.has_value()) return *size;
  // Nobody knows how many will pass the filter: take them all now and hand them out later.
  auto rest = std::make_shared<std::vector<Value>>();
  while (source) {
    VN_ASSIGN_OR_RETURN(std::optional<Value> item, source());
    if (!item.has_value()) break;
    rest->push_back(*std::move(item));
  }
  size = static_cast<int64_t>(rest->size()) + index0 + 1 + (peeked && after.has_value() ? 1 : 0);
  source = [rest, at = size_t{0}]() mutable -> absl::StatusOr<std::optional<Value>> {
    if (at == rest->size()) return std::nullopt;
    return (*rest)[at++];
  };
  return *size;
}

}  // namespace vernier::data::jinja
