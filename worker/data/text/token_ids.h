// Who has which id, while a tokenizer's description is read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/tokenizer_spec.h"

namespace vernier::data {

// Fills the vocabulary and the added tokens of a description, which must outlive it.
class TokenIds {
 public:
  explicit TokenIds(TokenizerSpec* spec) : spec_(spec) {}

  // A vocabulary {"token": id, ...}.
  absl::Status ReadVocabulary(const JsonAt& vocabulary);
  // A vocabulary [["token", score], ...], whose places are its ids.
  absl::Status ReadScores(const JsonAt& vocabulary);

  std::optional<int32_t> Find(absl::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
  }
  bool IsAdded(absl::string_view token) const { return added_.contains(token); }

  // A token known by its content is changed, another is added. `at` is for messages.
  absl::Status Add(AddedToken token, const JsonAt& at);

 private:
  absl::Status CheckSize(const JsonAt& vocabulary) const;
  absl::Status AddToken(const std::string& token, int32_t id, const JsonAt& vocabulary);
  int32_t NextId() const { return std::max(static_cast<int32_t>(spec_->vocabulary.size()), last_added_ + 1); }

  TokenizerSpec* spec_;
  absl::flat_hash_map<std::string, int32_t> ids_;  // of the vocabulary and the added tokens
  absl::flat_hash_map<int32_t, std::string> owners_;
  absl::flat_hash_map<std::string, size_t> added_;  // content -> index in added_tokens
  int32_t last_added_ = -1;
};

// "text", shortened, in quotes.
std::string QuotedToken(absl::string_view token);

}  // namespace vernier::data
