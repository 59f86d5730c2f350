// The variables of a template at one place: a chain of scopes, innermost first.
#pragma once

#include <utility>
#include <vector>

#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

class Scope {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}

  // The value of the nearest variable of this name, or null.
  const Value* Find(int symbol) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
      for (const auto& [name, value] : scope->values_) {
        if (name == symbol) return &value;
      }
    }
    return nullptr;
  }

  // Sets a variable of this scope.
  void Set(int symbol, Value value) {
    for (auto& [name, old] : values_) {
      if (name == symbol) {
        old = std::move(value);
        return;
      }
    }
    values_.emplace_back(symbol, std::move(value));
  }

  // A macro defined here sees these variables for the rest of the render.
  void Capture() {
    for (Scope* scope = this; scope != nullptr && !scope->captured_; scope = scope->parent_)
      scope->captured_ = true;
  }
  bool captured() const { return captured_; }
  void Clear() { values_.clear(); }

 private:
  Scope* const parent_;
  std::vector<std::pair<int, Value>> values_;
  bool captured_ = false;
};

}  // namespace vernier::data::jinja
