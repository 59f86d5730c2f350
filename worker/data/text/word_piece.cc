#include "worker/data/text/word_piece.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/text.h"

namespace vernier::data {
namespace {

absl::Status UnknownWord(absl::string_view word) {
  return absl::InvalidArgumentError(
      absl::StrCat("the tokenizer has no token for \"", Excerpt(word),
                   "\" and none that stands for unknown ones (model.unk_token)"));
}

bool HasMoreCharacters(absl::string_view word, size_t limit) {
  if (word.size() <= limit) return false;
  const auto starts_one = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; };
  return static_cast<size_t>(std::count_if(word.begin(), word.end(), starts_one)) > limit;
}

}  // namespace

WordPiece::WordPiece(const std::vector<std::pair<std::string, int32_t>>& vocabulary, Options options)
    : options_(std::move(options)) {
  for (const auto& [token, id] : vocabulary) {
    if (token.empty()) continue;
    initial_.Add(token, id);
    if (token.size() > options_.prefix.size() && absl::StartsWith(token, options_.prefix)) {
      inner_.Add(absl::string_view(token).substr(options_.prefix.size()), id);
    }
  }
}

absl::Status WordPiece::Encode(absl::string_view word, CpuBudget& budget,
                               std::vector<WordToken>* tokens) const {
  const size_t first = tokens->size();
  bool is_known = !HasMoreCharacters(word, options_.max_word_characters);
  for (size_t at = 0; is_known && at < word.size();) {
    size_t longest = 0;
    int32_t id = 0;
    (at == 0 ? initial_ : inner_).ForEachPrefix(word.substr(at), [&](size_t length, int32_t piece) {
      longest = length;
      id = piece;
    });
    if (budget.Spent()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cutting a word of ", word.size(), " bytes takes more than ",
                       absl::FormatDuration(budget.limit()), " of CPU time; shorten it"));
    }
    is_known = longest > 0;
    if (is_known) tokens->push_back({id, static_cast<uint32_t>(at)});
    at += longest;
  }
  if (is_known) return absl::OkStatus();
  tokens->resize(first);
  if (!options_.unknown) return UnknownWord(word);
  tokens->push_back({*options_.unknown, 0});
  return absl::OkStatus();
}

absl::Status WordLevel::Encode(absl::string_view word, CpuBudget& /*budget*/,
                               std::vector<WordToken>* tokens) const {
  const auto found = words_.find(word);
  if (found == words_.end() && !unknown_) return UnknownWord(word);
  tokens->push_back({found == words_.end() ? *unknown_ : found->second, 0});
  return absl::OkStatus();
}

}  // namespace vernier::data
