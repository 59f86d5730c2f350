#include "worker/data/text/tokenizer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/added_tokens.h"
#include "worker/data/text/bpe.h"
#include "worker/data/text/byte_level.h"
#include "worker/data/text/cpu_budget.h"
#include "worker/data/text/nfc.h"
#include "worker/data/text/pre_tokenizer.h"
#include "worker/data/text/tokenizer_spec.h"

namespace vernier::data {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

// Splitting takes some 0.05 s a MiB; a hundred times that is a pattern gone wild.
absl::Duration SplitBudget(size_t text_bytes) {
  return absl::Seconds(10) + absl::Seconds(5) * (static_cast<double>(text_bytes) / (1 << 20));
}

// The bytes that an added token stands for. Its content is no byte-level text as a rule, yet the library
// decodes it as such where it can; we do where that gives text, or the token is a byte's own symbol.
std::string AddedTokenBytes(const std::string& content, bool in_vocabulary) {
  if (!in_vocabulary) return content;
  std::optional<std::string> bytes = BytesOfSymbols(content);
  if (!bytes) return content;
  return bytes->size() == 1 || FirstInvalidUtf8(*bytes) == absl::string_view::npos ? *bytes : content;
}

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerSpec spec)
      : nfc_(spec.nfc),
        bos_id_(spec.bos_id),
        eos_id_(spec.eos_id),
        bpe_(BpeOptions(spec), spec.merges),
        pre_tokenizer_(std::move(spec.pre_tokenizer)) {
    int32_t last_id = -1;
    for (const auto& [token, id] : spec.vocabulary) last_id = std::max(last_id, id);
    for (const AddedToken& token : spec.added_tokens) last_id = std::max(last_id, token.id);
    const auto size = static_cast<size_t>(last_id) + 1;
    bytes_.resize(size);
    is_special_.resize(size, false);
    ids_.reserve(size);
    for (auto& [token, id] : spec.vocabulary) {
      bytes_[static_cast<size_t>(id)] = BytesOfSymbols(token).value_or(token);
      ids_.emplace(std::move(token), id);
    }
    std::vector<AddedTokenMatcher::Pattern> raw, normalized;
    for (AddedToken& token : spec.added_tokens) {
      const auto id = static_cast<size_t>(token.id);
      const bool is_new = ids_.emplace(token.content, token.id).second;
      bytes_[id] = AddedTokenBytes(token.content, !is_new);
      is_special_[id] = token.special;
      const bool changes = nfc_ && token.normalized && MayChangeUnderNfc(token.content);
      std::string text = changes ? Nfc(token.content).text : token.content;
      auto& patterns = token.normalized ? normalized : raw;
      (token.normalized ? normalized_ids_ : raw_ids_).push_back(token.id);
      patterns.push_back({std::move(text), token.single_word, token.lstrip, token.rstrip});
    }
    raw_matcher_ = AddedTokenMatcher(std::move(raw));
    normalized_matcher_ = AddedTokenMatcher(std::move(normalized));
  }

  absl::StatusOr<TokenizedText> Encode(absl::string_view text) const override {
    if (text.size() > kMaxTextBytes) {
      return absl::InvalidArgumentError(absl::StrCat("the text has ",
                                                     HumanBytes(static_cast<int64_t>(text.size())),
                                                     ", more than the limit of 1 GiB; split it"));
    }
    if (const size_t bad = FirstInvalidUtf8(text); bad != absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("the text is not UTF-8: byte ", bad, " is invalid"));
    }
    TokenizedText result;
    CpuBudget budget(SplitBudget(text.size()));
    for (const AddedTokenMatch& match : raw_matcher_.Find(text)) {
      if (match.token >= 0) {
        result.ids.push_back(raw_ids_[static_cast<size_t>(match.token)]);
        result.begins.push_back(match.begin);
      } else {
        VN_RETURN_IF_ERROR(
            EncodeBetween(text.substr(match.begin, match.end - match.begin), match.begin, budget, &result));
      }
    }
    return result;
  }

  std::string Decode(absl::Span<const int32_t> ids, bool skip_special) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      if (!InVocabulary(id) || (skip_special && is_special_[static_cast<size_t>(id)])) continue;
      bytes += bytes_[static_cast<size_t>(id)];
    }
    return bytes;
  }

  std::optional<int32_t> TokenId(absl::string_view token) const override {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
  }
  bool IsSpecial(int32_t id) const override {
    return InVocabulary(id) && is_special_[static_cast<size_t>(id)];
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(bytes_.size()); }
  std::optional<int32_t> bos_id() const override { return bos_id_; }
  std::optional<int32_t> eos_id() const override { return eos_id_; }

 private:
  static Bpe::Options BpeOptions(const TokenizerSpec& spec) {
    Bpe::Options options;
    options.unknown = spec.unknown_id;
    options.fuse_unknown = spec.fuse_unknown;
    for (const auto& [token, id] : spec.vocabulary) {
      std::optional<std::string> bytes = BytesOfSymbols(token);
      if (!bytes || bytes->empty()) continue;
      if (bytes->size() == 1) options.bytes[static_cast<unsigned char>((*bytes)[0])] = id;
      if (spec.ignore_merges) options.whole_words.emplace(*std::move(bytes), id);
    }
    return options;
  }

  bool InVocabulary(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < bytes_.size(); }

  // Text without raw added tokens; `base` is where it begins in the whole.
  absl::Status EncodeBetween(absl::string_view text, size_t base, CpuBudget& budget,
                             TokenizedText* result) const {
    NormalizedText changed;
    const bool changes = nfc_ && MayChangeUnderNfc(text);
    if (changes) changed = Nfc(text);
    const absl::string_view normalized = changes ? absl::string_view(changed.text) : text;
    const auto origin = [&](size_t at) { return base + (changes ? changed.origin[at] : at); };
    std::vector<BpeToken> tokens;
    for (const AddedTokenMatch& match : normalized_matcher_.Find(normalized)) {
      if (match.token >= 0) {
        result->ids.push_back(normalized_ids_[static_cast<size_t>(match.token)]);
        result->begins.push_back(origin(match.begin));
        continue;
      }
      const absl::string_view part = normalized.substr(match.begin, match.end - match.begin);
      VN_RETURN_IF_ERROR(pre_tokenizer_.Split(part, budget, [&](const Word& word) {
        tokens.clear();
        bpe_.Encode(word.text, &tokens);
        for (const BpeToken& token : tokens) {
          // The space before a prefixed word is no byte of the text: it begins where the word does.
          const size_t in_word = word.prefixed && token.begin > 0 ? token.begin - 1 : token.begin;
          result->ids.push_back(token.id);
          result->begins.push_back(origin(match.begin + word.begin + in_word));
        }
      }));
    }
    return absl::OkStatus();
  }

  const bool nfc_;
  const std::optional<int32_t> bos_id_, eos_id_;
  const Bpe bpe_;
  PreTokenizer pre_tokenizer_;
  AddedTokenMatcher raw_matcher_, normalized_matcher_;
  std::vector<int32_t> raw_ids_, normalized_ids_;  // of the matchers' patterns
  std::vector<std::string> bytes_;                 // of each id
  std::vector<bool> is_special_;
  absl::flat_hash_map<std::string, int32_t> ids_;  // by the token as tokenizer.json writes it
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(absl::string_view tokenizer_json,
                                                             absl::string_view tokenizer_config_json) {
  VN_ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerSpec(tokenizer_json, tokenizer_config_json));
  return std::make_unique<BpeTokenizer>(std::move(spec));
}

}  // namespace vernier::data
