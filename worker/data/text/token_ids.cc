#include "worker/data/text/token_ids.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {

std::string QuotedToken(absl::string_view token) { return absl::StrCat("\"", Excerpt(token, 60), "\""); }

absl::Status TokenIds::CheckSize(const JsonAt& vocabulary) const {
  if (vocabulary.size() == 0) return vocabulary.Refuse("is empty");
  if (vocabulary.size() > static_cast<size_t>(kMaxVocabulary)) {
    return vocabulary.Refuse(
        absl::StrCat("has ", vocabulary.size(), " tokens, more than the limit of ", kMaxVocabulary));
  }
  return absl::OkStatus();
}

absl::Status TokenIds::AddToken(const std::string& token, int32_t id, const JsonAt& vocabulary) {
  if (token.size() > kMaxTokenBytes) {
    return vocabulary.Refuse(absl::StrCat("token ", QuotedToken(token), " has ", token.size(),
                                          " bytes, more than the limit of ", kMaxTokenBytes));
  }
  if (const auto [taken, is_new] = owners_.try_emplace(id, token); !is_new) {
    return vocabulary.Refuse(
        absl::StrCat(QuotedToken(taken->second), " and ", QuotedToken(token), " both have id ", id));
  }
  ids_.emplace(token, id);
  spec_->vocabulary.emplace_back(token, id);
  return absl::OkStatus();
}

absl::Status TokenIds::ReadVocabulary(const JsonAt& vocabulary) {
  VN_RETURN_IF_ERROR(vocabulary.ExpectObject());
  VN_RETURN_IF_ERROR(CheckSize(vocabulary));
  spec_->vocabulary.reserve(vocabulary.size());
  ids_.reserve(vocabulary.size());
  for (const auto& [token, value] : vocabulary.value().items()) {
    if (!value.is_number_integer() || value < 0 || value >= kMaxVocabulary) {
      return vocabulary.Refuse(
          absl::StrCat("the id of ", QuotedToken(token), " is no whole number in [0, ", kMaxVocabulary, ")"));
    }
    VN_RETURN_IF_ERROR(AddToken(token, value.get<int32_t>(), vocabulary));
  }
  return absl::OkStatus();
}

absl::Status TokenIds::ReadScores(const JsonAt& vocabulary) {
  VN_RETURN_IF_ERROR(vocabulary.ExpectArray());
  VN_RETURN_IF_ERROR(CheckSize(vocabulary));
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const JsonAt entry = vocabulary.Element(i);
    if (!entry.IsArray() || entry.size() != 2) return entry.Refuse("expected a token and its score");
    VN_ASSIGN_OR_RETURN(const std::string token, entry.Element(0).String());
    VN_ASSIGN_OR_RETURN(const double score, entry.Element(1).Number());
    if (const std::optional<int32_t> first = Find(token)) {
      return entry.Refuse(absl::StrCat("token ", QuotedToken(token), " has id ", *first, " already"));
    }
    VN_RETURN_IF_ERROR(AddToken(token, static_cast<int32_t>(i), vocabulary));
    spec_->scores.push_back(score);
  }
  return absl::OkStatus();
}

absl::Status TokenIds::Add(AddedToken token, const JsonAt& at) {
  if (token.content.empty()) return absl::OkStatus();  // matches nothing, as in the library
  if (token.content.size() > kMaxAddedTokenBytes) {
    return at.Refuse(absl::StrCat("added token ", QuotedToken(token.content), " has ", token.content.size(),
                                  " bytes, more than the limit of ", kMaxAddedTokenBytes));
  }
  // The library gives ids in the order of the file and takes no notice of what the file says; files that
  // disagree would be read differently there and here.
  const std::optional<int32_t> known = Find(token.content);
  const int32_t expected = known ? *known : NextId();
  if (token.id != expected) {
    return at.Refuse(absl::StrCat("added token ", QuotedToken(token.content), " has id ", token.id, ", but ",
                                  known ? "the vocabulary gives it " : "its place in the list gives it ",
                                  expected));
  }
  if (const auto place = added_.find(token.content); place != added_.end()) {
    spec_->added_tokens[place->second] = std::move(token);
    return absl::OkStatus();
  }
  if (spec_->added_tokens.size() == kMaxAddedTokens) {
    return at.Refuse(absl::StrCat("more than the limit of ", kMaxAddedTokens, " added tokens"));
  }
  if (!known) {
    if (const auto [taken, is_new] = owners_.try_emplace(token.id, token.content);
        !is_new || expected >= kMaxVocabulary) {
      return at.Refuse(absl::StrCat("added token ", QuotedToken(token.content), " would get id ", token.id,
                                    is_new ? ", above the limit" : ", which is taken"));
    }
    ids_.emplace(token.content, token.id);
  }
  last_added_ = std::max(last_added_, token.id);
  added_.emplace(token.content, spec_->added_tokens.size());
  spec_->added_tokens.push_back(std::move(token));
  return absl::OkStatus();
}

}  // namespace vernier::data
