// The variables of a template at one place: a chain of scopes, innermost first.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

class Scope {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}

  // The value of the nearest variable of this name, or null.
  const Value* Find(int symbol) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
      if (const size_t at = scope->PlaceOf(symbol); at < scope->values_.size())
        return &scope->values_[at].second;
    }
    return nullptr;
  }

  // Sets a variable of this scope.
  void Set(int symbol, Value value) {
    if (const size_t at = PlaceOf(symbol); at < values_.size()) {
      values_[at].second = std::move(value);
      return;
    }
    values_.emplace_back(symbol, std::move(value));
    if (values_.size() <= kSearchedVariables) return;
    if (places_ == nullptr) {
      places_ = std::make_unique<absl::flat_hash_map<int, size_t>>();
      for (size_t i = 0; i + 1 < values_.size(); ++i) places_->emplace(values_[i].first, i);
    }
    places_->emplace(symbol, values_.size() - 1);
  }

  // A macro defined here sees these variables for the rest of the render.
  void Capture() {
    for (Scope* scope = this; scope != nullptr && !scope->captured_; scope = scope->parent_)
      scope->captured_ = true;
  }
  bool captured() const { return captured_; }
  void Clear() {
    values_.clear();
    places_.reset();
  }

 private:
  // Scopes of more variables than this get an index; real templates have few.
  static constexpr size_t kSearchedVariables = 16;

  // The index in values_; its size: not there.
  size_t PlaceOf(int symbol) const {
    if (places_ != nullptr) {
      const auto place = places_->find(symbol);
      return place == places_->end() ? values_.size() : place->second;
    }
    size_t at = 0;
    while (at < values_.size() && values_[at].first != symbol) ++at;
    return at;
  }

  Scope* const parent_;
  std::vector<std::pair<int, Value>> values_;
  std::unique_ptr<absl::flat_hash_map<int, size_t>> places_;
  bool captured_ = false;
};

}  // namespace vernier::data::jinja
