#include "worker/data/text/tokenizer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/added_tokens.h"
#include "worker/data/text/aligned_text.h"
#include "worker/data/text/bpe.h"
#include "worker/data/text/byte_level.h"
#include "worker/data/text/cpu_budget.h"
#include "worker/data/text/token_model.h"
#include "worker/data/text/tokenizer_spec.h"
#include "worker/data/text/unigram.h"
#include "worker/data/text/utf8.h"
#include "worker/data/text/word_piece.h"

namespace vernier::data {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;
constexpr char32_t kMetaspace = 0x2581;

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

char32_t LastCharacter(absl::string_view token) {
  size_t size = 0;
  return DecodeCharacter(token, CharacterBefore(token, token.size()), &size);
}

char32_t FirstCharacter(absl::string_view token) {
  size_t size = 0;
  return DecodeCharacter(token, 0, &size);
}

// Whether no merge joins the metaspace to a character before it, so that words may be cut there. So it is in
// vocabularies that SentencePiece made with its usual options.
bool MetaspaceBeginsWords(const TokenizerSpec& spec, const Bpe::Options& options) {
  if (!options.characters.contains(kMetaspace)) return false;
  absl::flat_hash_map<int32_t, absl::string_view> tokens;
  for (const auto& [token, id] : spec.vocabulary) tokens.emplace(id, token);
  return std::none_of(spec.merges.begin(), spec.merges.end(), [&](const BpeMerge& merge) {
    return FirstCharacter(tokens.at(merge.right)) == kMetaspace &&
           LastCharacter(tokens.at(merge.left)) != kMetaspace;
  });
}

// Of a vocabulary in the byte-level alphabet.
Bpe::Options ByteLevelOptions(const TokenizerSpec& spec) {
  Bpe::Options options;
  options.by_bytes = true;
  for (const auto& [token, id] : spec.vocabulary) {
    std::optional<std::string> bytes = BytesOfSymbols(token);
    if (!bytes || bytes->empty()) continue;
    if (bytes->size() == 1) options.bytes[static_cast<unsigned char>((*bytes)[0])] = id;
    if (spec.ignore_merges) options.whole_words.emplace(*std::move(bytes), id);
  }
  return options;
}

Bpe::Options CharacterOptions(const TokenizerSpec& spec) {
  Bpe::Options options;
  absl::flat_hash_map<std::string, unsigned> byte_tokens;
  for (unsigned byte = 0; byte < 256 && spec.byte_fallback; ++byte) {
    byte_tokens.emplace(absl::StrFormat("<0x%02X>", byte), byte);
  }
  for (const auto& [token, id] : spec.vocabulary) {
    size_t size = 0;
    const char32_t first = token.empty() ? 0 : DecodeCharacter(token, 0, &size);
    if (size > 0 && size == token.size()) options.characters.emplace(first, id);
    if (const auto byte = byte_tokens.find(token); byte != byte_tokens.end())
      options.bytes[byte->second] = id;
    if (spec.ignore_merges) options.whole_words.emplace(token, id);
  }
  if (!spec.ignore_merges && MetaspaceBeginsWords(spec, options)) options.boundary = kMetaspace;
  return options;
}

std::unique_ptr<TokenModel> MakeModel(const TokenizerSpec& spec) {
  switch (spec.kind) {
    case TokenModelKind::kBpe: {
      Bpe::Options options =
          spec.pre_tokenizer.gives_bytes() ? ByteLevelOptions(spec) : CharacterOptions(spec);
      options.unknown = spec.unknown_id;
      options.fuse_unknown = spec.fuse_unknown;
      return std::make_unique<Bpe>(std::move(options), spec.merges);
    }
    case TokenModelKind::kUnigram: {
      Unigram::Options options;
      options.unknown = spec.unknown_id;
      options.byte_fallback = spec.byte_fallback;
      for (size_t i = 0; i < spec.scores.size(); ++i) {
        options.pieces.emplace_back(spec.vocabulary[i].first, spec.scores[i]);
      }
      return std::make_unique<Unigram>(std::move(options));
    }
    case TokenModelKind::kWordPiece:
      return std::make_unique<WordPiece>(
          spec.vocabulary, WordPiece::Options{spec.inner_prefix, spec.max_word_characters, spec.unknown_id});
    case TokenModelKind::kWordLevel:
      break;
  }
  return std::make_unique<WordLevel>(spec.vocabulary, spec.unknown_id);
}

// What each id gives a decoder.
struct TokenTexts {
  TokenDecoder decoder;
  // As the vocabulary writes them; a token that is matched in normalised text, normalised. The bytes
  // themselves when the decoder is ByteLevel. None: no token has that id.
  std::vector<std::optional<std::string>> texts;
  std::vector<bool> is_special;

  bool Contains(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < texts.size(); }
};

class TextIdDecoder final : public IdDecoder {
 public:
  TextIdDecoder(const TokenTexts& tokens, bool skip_special) : tokens_(tokens), skip_special_(skip_special) {
    if (!tokens.decoder.is_byte_level()) chain_ = tokens.decoder.NewChain();
  }

  void Push(int32_t id, std::string* bytes) override {
    if (!tokens_.Contains(id)) return;
    const auto at = static_cast<size_t>(id);
    if (!tokens_.texts[at] || (skip_special_ && tokens_.is_special[at])) return;
    if (chain_ == nullptr) {
      *bytes += *tokens_.texts[at];
    } else {
      chain_->Push(*tokens_.texts[at], bytes);
    }
  }
  void Finish(std::string* bytes) override {
    if (chain_ != nullptr) chain_->Finish(bytes);
  }

 private:
  const TokenTexts& tokens_;
  const bool skip_special_;
  std::unique_ptr<DecodeChain> chain_;  // none: bytes are joined
};

class JsonTokenizer final : public Tokenizer {
 public:
  // InvalidArgument: an added token cannot be normalised.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(TokenizerSpec spec) {
    auto tokenizer = std::make_unique<JsonTokenizer>(std::move(spec));
    VN_RETURN_IF_ERROR(tokenizer->AddTokens());
    return tokenizer;
  }

  explicit JsonTokenizer(TokenizerSpec spec) : spec_(std::move(spec)), model_(MakeModel(spec_)) {
    int32_t last_id = -1;
    for (const auto& [token, id] : spec_.vocabulary) last_id = std::max(last_id, id);
    for (const AddedToken& token : spec_.added_tokens) last_id = std::max(last_id, token.id);
    const auto size = static_cast<size_t>(last_id) + 1;
    tokens_.decoder = std::move(spec_.decoder);
    tokens_.texts.resize(size);
    tokens_.is_special.resize(size, false);
    ids_.reserve(size);
    const bool gives_bytes = tokens_.decoder.is_byte_level();
    for (auto& [token, id] : spec_.vocabulary) {
      tokens_.texts[static_cast<size_t>(id)] = gives_bytes ? BytesOfSymbols(token).value_or(token) : token;
      ids_.emplace(std::move(token), id);
    }
    // The model has what it needs.
    spec_.vocabulary = {};
    spec_.merges = {};
    spec_.scores = {};
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
    std::vector<AddedTokenMatch> matches;
    raw_matcher_.Find(text, &matches);
    for (const AddedTokenMatch& match : matches) {
      if (match.token >= 0) {
        result.ids.push_back(raw_ids_[static_cast<size_t>(match.token)]);
        result.begins.push_back(match.begin);
      } else {
        AlignedText part(text.substr(match.begin, match.end - match.begin), match.begin);
        VN_RETURN_IF_ERROR(EncodeBetween(std::move(part), budget, &result));
      }
    }
    return result;
  }

  std::unique_ptr<IdDecoder> NewDecoder(bool skip_special) const override {
    return std::make_unique<TextIdDecoder>(tokens_, skip_special);
  }

  std::optional<int32_t> TokenId(absl::string_view token) const override {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
  }
  bool IsSpecial(int32_t id) const override {
    return tokens_.Contains(id) && tokens_.is_special[static_cast<size_t>(id)];
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.texts.size()); }
  std::optional<int32_t> bos_id() const override { return spec_.bos_id; }
  std::optional<int32_t> eos_id() const override { return spec_.eos_id; }

 private:
  absl::Status AddTokens() {
    CpuBudget budget(SplitBudget(spec_.added_tokens.size() * kMaxAddedTokenBytes));
    std::vector<AddedTokenMatcher::Pattern> raw, normalized;
    size_t num_bytes = 0;
    for (const AddedToken& token : spec_.added_tokens) {
      const auto id = static_cast<size_t>(token.id);
      const bool is_new = ids_.emplace(token.content, token.id).second;
      AlignedText text(token.content, 0);
      if (token.normalized) {
        absl::Status status = spec_.normalizer.Apply(text, budget);
        if (!status.ok())
          return Annotate(status, absl::StrCat("tokenizer.json: added token ", token.content));
      }
      const std::string content(text.text());
      num_bytes += content.size();
      if (num_bytes > kMaxAddedTokensBytes) {
        return absl::InvalidArgumentError(
            absl::StrCat("tokenizer.json: its added tokens together have more than the limit of ",
                         kMaxAddedTokensBytes >> 20, " MiB"));
      }
      tokens_.texts[id] = tokens_.decoder.is_byte_level() ? AddedTokenBytes(content, !is_new) : content;
      tokens_.is_special[id] = token.special;
      if (content.empty()) continue;  // normalised away: it never matches
      auto& patterns = token.normalized ? normalized : raw;
      (token.normalized ? normalized_ids_ : raw_ids_).push_back(token.id);
      patterns.push_back({content, token.single_word, token.lstrip, token.rstrip});
    }
    raw_matcher_ = AddedTokenMatcher(std::move(raw));
    normalized_matcher_ = AddedTokenMatcher(std::move(normalized));
    return absl::OkStatus();
  }

  // Text without raw added tokens.
  absl::Status EncodeBetween(AlignedText text, CpuBudget& budget, TokenizedText* result) const {
    VN_RETURN_IF_ERROR(spec_.normalizer.Apply(text, budget));
    if (normalized_ids_.empty()) return EncodeWords(std::move(text), budget, result);
    std::vector<AddedTokenMatch> matches;
    normalized_matcher_.Find(text.text(), &matches);
    for (const AddedTokenMatch& match : matches) {
      if (match.token >= 0) {
        result->ids.push_back(normalized_ids_[static_cast<size_t>(match.token)]);
        result->begins.push_back(text.Origin(match.begin));
      } else {
        VN_RETURN_IF_ERROR(EncodeWords(text.Slice(match.begin, match.end), budget, result));
      }
    }
    return absl::OkStatus();
  }

  // Text without any added token.
  absl::Status EncodeWords(AlignedText text, CpuBudget& budget, TokenizedText* result) const {
    std::vector<TextPiece> words;
    VN_RETURN_IF_ERROR(spec_.pre_tokenizer.Split(text, budget, &words));
    std::vector<WordToken> tokens;
    for (const TextPiece& word : words) {
      tokens.clear();
      VN_RETURN_IF_ERROR(
          model_->Encode(text.text().substr(word.begin, word.end - word.begin), budget, &tokens));
      for (const WordToken& token : tokens) {
        result->ids.push_back(token.id);
        result->begins.push_back(text.Origin(word.begin + token.begin));
      }
    }
    return absl::OkStatus();
  }

  TokenizerSpec spec_;
  const std::unique_ptr<TokenModel> model_;
  AddedTokenMatcher raw_matcher_, normalized_matcher_;
  std::vector<int32_t> raw_ids_, normalized_ids_;  // of the matchers' patterns
  TokenTexts tokens_;
  absl::flat_hash_map<std::string, int32_t> ids_;  // by the token as tokenizer.json writes it
};

}  // namespace

std::string Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  const std::unique_ptr<IdDecoder> decoder = NewDecoder(skip_special);
  for (const int32_t id : ids) decoder->Push(id, &bytes);
  decoder->Finish(&bytes);
  return bytes;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(absl::string_view tokenizer_json,
                                                             absl::string_view tokenizer_config_json) {
  VN_ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerSpec(tokenizer_json, tokenizer_config_json));
  return JsonTokenizer::Create(std::move(spec));
}

}  // namespace vernier::data
