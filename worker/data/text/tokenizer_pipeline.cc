#include "worker/data/text/tokenizer_pipeline.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

constexpr size_t kMaxSteps = 32;
constexpr int64_t kMaxStripped = 1024;
constexpr int kMaxNesting = 8;                 // of sequences
constexpr size_t kMaxContentBytes = 64 << 10;  // of what a step puts into a text

absl::Status Unsupported(const JsonAt& part, absl::string_view kind, absl::string_view supported) {
  return part.Refuse(absl::StrCat("\"", Excerpt(kind, 40), "\" is not supported; supported: ", supported));
}

// The parts of `part`, sequences resolved: itself, or what the list `member` of a Sequence holds. Null: none.
absl::Status Flatten(const JsonAt& part, absl::string_view member, int nesting, std::vector<JsonAt>* parts) {
  if (part.IsNull()) return absl::OkStatus();
  VN_RETURN_IF_ERROR(part.ExpectObject());
  VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
  if (kind != "Sequence") {
    parts->push_back(part);
    return absl::OkStatus();
  }
  if (nesting == kMaxNesting) return part.Refuse("sequences are nested too deep");
  const JsonAt list = part.Member(member);
  VN_RETURN_IF_ERROR(list.ExpectArray());
  for (size_t i = 0; i < list.size(); ++i) {
    VN_RETURN_IF_ERROR(Flatten(list.Element(i), member, nesting + 1, parts));
  }
  return absl::OkStatus();
}

// The steps of `part`, few enough to run one after the other.
absl::StatusOr<std::vector<JsonAt>> ReadSteps(const JsonAt& part, absl::string_view member) {
  std::vector<JsonAt> steps;
  VN_RETURN_IF_ERROR(Flatten(part, member, 0, &steps));
  if (steps.size() > kMaxSteps) {
    return part.Refuse(absl::StrCat("has ", steps.size(), " steps, more than ", kMaxSteps));
  }
  return steps;
}

absl::StatusOr<std::string> ReadContent(const JsonAt& content) {
  VN_ASSIGN_OR_RETURN(std::string text, content.String());
  if (text.size() > kMaxContentBytes) {
    return content.Refuse(
        absl::StrCat("has ", text.size(), " bytes, more than the limit of ", kMaxContentBytes));
  }
  return text;
}

// A string of one character.
absl::StatusOr<std::string> ReadCharacter(const JsonAt& at) {
  VN_ASSIGN_OR_RETURN(std::string text, at.String());
  size_t size = 0;
  if (!text.empty()) DecodeCharacter(text, 0, &size);
  if (size == 0 || size != text.size()) return at.Refuse("expected one character");
  return text;
}

absl::StatusOr<SplitBehavior> ReadBehavior(const JsonAt& behavior) {
  VN_ASSIGN_OR_RETURN(const std::string name, behavior.String());
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return Unsupported(behavior, name, "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

absl::StatusOr<SplitPattern> ReadPattern(const JsonAt& pattern) {
  VN_RETURN_IF_ERROR(pattern.ExpectObject());
  for (const bool is_regex : {true, false}) {
    const JsonAt source = pattern.Member(is_regex ? "Regex" : "String");
    if (source.IsNull()) continue;
    VN_ASSIGN_OR_RETURN(const std::string text, source.String());
    absl::StatusOr<SplitPattern> result = is_regex ? SplitPattern::Regex(text) : SplitPattern::Literal(text);
    if (!result.ok()) return Annotate(result.status(), source.where());
    return result;
  }
  return pattern.Refuse("expected {\"Regex\": ...} or {\"String\": ...}");
}

absl::StatusOr<SplitStep> ReadSplit(const JsonAt& split) {
  VN_ASSIGN_OR_RETURN(SplitPattern pattern, ReadPattern(split.Member("pattern")));
  VN_ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(split.Member("behavior")));
  VN_ASSIGN_OR_RETURN(const bool invert, split.Member("invert").Bool(false));
  return SplitStep{std::move(pattern), behavior, invert};
}

absl::StatusOr<SplitStep> ReadDigits(const JsonAt& digits) {
  VN_ASSIGN_OR_RETURN(const bool individual, digits.Member("individual_digits").Bool(false));
  VN_ASSIGN_OR_RETURN(SplitPattern pattern, SplitPattern::Regex(kNumericPattern));
  return SplitStep{std::move(pattern), individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                   false};
}

// Behaviour of steps that cut at characters; isolated unless said otherwise.
absl::StatusOr<SplitBehavior> ReadBehaviorOr(const JsonAt& behavior, SplitBehavior fallback) {
  if (behavior.IsNull()) return fallback;
  return ReadBehavior(behavior);
}

absl::StatusOr<PrependScheme> ReadPrependScheme(const JsonAt& metaspace) {
  VN_ASSIGN_OR_RETURN(const bool adds_space, metaspace.Member("add_prefix_space").Bool(true));
  const JsonAt scheme = metaspace.Member("prepend_scheme");
  // Older files have only the flag.
  if (!adds_space) return PrependScheme::kNever;
  if (scheme.IsNull()) return PrependScheme::kAlways;
  VN_ASSIGN_OR_RETURN(const std::string name, scheme.String());
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  return Unsupported(scheme, name, "always, first, never");
}

absl::StatusOr<MetaspaceStep> ReadMetaspace(const JsonAt& metaspace) {
  MetaspaceStep step;
  VN_ASSIGN_OR_RETURN(step.replacement, ReadCharacter(metaspace.Member("replacement")));
  VN_ASSIGN_OR_RETURN(step.scheme, ReadPrependScheme(metaspace));
  VN_ASSIGN_OR_RETURN(step.split, metaspace.Member("split").Bool(true));
  return step;
}

absl::StatusOr<ByteLevelStep> ReadByteLevel(const JsonAt& byte_level, bool writes_symbols) {
  ByteLevelStep step;
  VN_ASSIGN_OR_RETURN(step.prefix_space, byte_level.Member("add_prefix_space").Bool());
  VN_ASSIGN_OR_RETURN(const bool use_regex, byte_level.Member("use_regex").Bool(true));
  if (use_regex) {
    VN_ASSIGN_OR_RETURN(step.pattern, SplitPattern::Regex(kGpt2Pattern));
  }
  step.writes_symbols = writes_symbols;
  return step;
}

absl::StatusOr<SplitStep> ReadCharDelimiter(const JsonAt& part) {
  VN_ASSIGN_OR_RETURN(const std::string delimiter, ReadCharacter(part.Member("delimiter")));
  VN_ASSIGN_OR_RETURN(SplitPattern pattern, SplitPattern::Literal(delimiter));
  return SplitStep{std::move(pattern), SplitBehavior::kRemoved, false};
}

absl::Status AddPreTokenizerStep(const JsonAt& part, bool writes_symbols,
                                 std::vector<PreTokenizerStep>* steps) {
  VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
  if (kind == "ByteLevel") {
    VN_ASSIGN_OR_RETURN(ByteLevelStep step, ReadByteLevel(part, writes_symbols));
    steps->push_back(std::move(step));
  } else if (kind == "Split") {
    VN_ASSIGN_OR_RETURN(SplitStep step, ReadSplit(part));
    steps->push_back(std::move(step));
  } else if (kind == "Digits") {
    VN_ASSIGN_OR_RETURN(SplitStep step, ReadDigits(part));
    steps->push_back(std::move(step));
  } else if (kind == "Metaspace") {
    VN_ASSIGN_OR_RETURN(MetaspaceStep step, ReadMetaspace(part));
    steps->push_back(std::move(step));
  } else if (kind == "CharDelimiterSplit") {
    VN_ASSIGN_OR_RETURN(SplitStep step, ReadCharDelimiter(part));
    steps->push_back(std::move(step));
  } else if (kind == "Punctuation") {
    VN_ASSIGN_OR_RETURN(const SplitBehavior behavior,
                        ReadBehaviorOr(part.Member("behavior"), SplitBehavior::kIsolated));
    steps->push_back(CharacterStep{IsPunctuation, behavior});
  } else if (kind == "BertPreTokenizer") {
    steps->push_back(CharacterStep{IsWhiteSpace, SplitBehavior::kRemoved});
    steps->push_back(CharacterStep{IsPunctuation, SplitBehavior::kIsolated});
  } else if (kind == "WhitespaceSplit") {
    steps->push_back(CharacterStep{IsWhiteSpace, SplitBehavior::kRemoved});
  } else if (kind == "Whitespace") {
    steps->push_back(WordRunsStep{});
  } else {
    return Unsupported(
        part, kind,
        "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, "
        "Split, Whitespace, WhitespaceSplit, or null");
  }
  return absl::OkStatus();
}

absl::StatusOr<ReplaceStep> ReadReplace(const JsonAt& part) {
  VN_ASSIGN_OR_RETURN(SplitPattern pattern, ReadPattern(part.Member("pattern")));
  VN_ASSIGN_OR_RETURN(std::string content, ReadContent(part.Member("content")));
  return ReplaceStep{std::move(pattern), std::move(content)};
}

absl::StatusOr<StripStep> ReadStrip(const JsonAt& part) {
  StripStep step;
  VN_ASSIGN_OR_RETURN(step.left, part.Member("strip_left").Bool());
  VN_ASSIGN_OR_RETURN(step.right, part.Member("strip_right").Bool());
  return step;
}

absl::StatusOr<BertStep> ReadBert(const JsonAt& part) {
  BertStep step;
  VN_ASSIGN_OR_RETURN(step.clean_text, part.Member("clean_text").Bool(true));
  VN_ASSIGN_OR_RETURN(step.handle_chinese_chars, part.Member("handle_chinese_chars").Bool(true));
  VN_ASSIGN_OR_RETURN(step.lowercase, part.Member("lowercase").Bool(true));
  VN_ASSIGN_OR_RETURN(step.strip_accents, part.Member("strip_accents").Bool(step.lowercase));
  return step;
}

absl::StatusOr<PrecompiledStep> ReadPrecompiled(const JsonAt& part) {
  const JsonAt map = part.Member("precompiled_charsmap");
  VN_ASSIGN_OR_RETURN(const std::string text, map.String());
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) return map.Refuse("is not base64");
  absl::StatusOr<PrecompiledMap> parsed = PrecompiledMap::Parse(bytes);
  if (!parsed.ok()) return map.Refuse(parsed.status().message());
  return PrecompiledStep{std::make_shared<const PrecompiledMap>(*std::move(parsed))};
}

absl::Status AddNormalizerStep(const JsonAt& part, std::vector<NormalizerStep>* steps) {
  VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
  if (kind == "NFC") {
    steps->push_back(UnicodeForm::kNfc);
  } else if (kind == "NFD") {
    steps->push_back(UnicodeForm::kNfd);
  } else if (kind == "NFKC") {
    steps->push_back(UnicodeForm::kNfkc);
  } else if (kind == "NFKD") {
    steps->push_back(UnicodeForm::kNfkd);
  } else if (kind == "Lowercase") {
    steps->push_back(LowercaseStep{});
  } else if (kind == "StripAccents") {
    steps->push_back(StripAccentsStep{});
  } else if (kind == "Nmt") {
    steps->push_back(NmtStep{});
  } else if (kind == "ByteLevel") {
    steps->push_back(ByteSymbolsStep{});
  } else if (kind == "Strip") {
    VN_ASSIGN_OR_RETURN(const StripStep step, ReadStrip(part));
    steps->push_back(step);
  } else if (kind == "Prepend") {
    VN_ASSIGN_OR_RETURN(std::string text, ReadContent(part.Member("prepend")));
    steps->push_back(PrependStep{std::move(text)});
  } else if (kind == "Replace") {
    VN_ASSIGN_OR_RETURN(ReplaceStep step, ReadReplace(part));
    steps->push_back(std::move(step));
  } else if (kind == "BertNormalizer") {
    VN_ASSIGN_OR_RETURN(const BertStep step, ReadBert(part));
    steps->push_back(step);
  } else if (kind == "Precompiled") {
    VN_ASSIGN_OR_RETURN(PrecompiledStep step, ReadPrecompiled(part));
    steps->push_back(std::move(step));
  } else {
    return Unsupported(
        part, kind,
        "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, "
        "Replace, Sequence, Strip, StripAccents, or null");
  }
  return absl::OkStatus();
}

absl::StatusOr<ReplaceDecoder> ReadReplaceDecoder(const JsonAt& part) {
  ReplaceDecoder step;
  const JsonAt pattern = part.Member("pattern");
  if (!pattern.Member("Regex").IsNull()) {
    return pattern.Refuse("a regular expression is not supported here; supported: {\"String\": ...}");
  }
  VN_ASSIGN_OR_RETURN(step.pattern, pattern.Member("String").String());
  if (step.pattern.empty()) return pattern.Refuse("is empty");
  VN_ASSIGN_OR_RETURN(step.content, ReadContent(part.Member("content")));
  return step;
}

absl::StatusOr<StripDecoder> ReadStripDecoder(const JsonAt& part) {
  StripDecoder step;
  VN_ASSIGN_OR_RETURN(step.content, ReadCharacter(part.Member("content")));
  for (const auto& [name, count] : {std::pair("start", &step.start), std::pair("stop", &step.stop)}) {
    VN_ASSIGN_OR_RETURN(const int64_t value, part.Member(name).Integer());
    if (value < 0 || value > kMaxStripped) return part.Member(name).Refuse("is outside [0, 1024]");
    *count = static_cast<size_t>(value);
  }
  return step;
}

absl::StatusOr<DecoderStep> ReadDecoderStep(const JsonAt& part) {
  VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
  if (kind == "ByteLevel") return ByteLevelDecoder{};
  if (kind == "ByteFallback") return ByteFallbackDecoder{};
  if (kind == "Fuse") return FuseDecoder{};
  if (kind == "Replace") {
    VN_ASSIGN_OR_RETURN(ReplaceDecoder step, ReadReplaceDecoder(part));
    return step;
  }
  if (kind == "Strip") {
    VN_ASSIGN_OR_RETURN(StripDecoder step, ReadStripDecoder(part));
    return step;
  }
  if (kind == "Metaspace") {
    VN_ASSIGN_OR_RETURN(const MetaspaceStep step, ReadMetaspace(part));
    return MetaspaceDecoder{step.replacement, step.scheme != PrependScheme::kNever};
  }
  if (kind == "WordPiece") {
    WordPieceDecoder step;
    VN_ASSIGN_OR_RETURN(step.prefix, part.Member("prefix").String());
    VN_ASSIGN_OR_RETURN(step.cleanup, part.Member("cleanup").Bool(true));
    return step;
  }
  return Unsupported(part, kind,
                     "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece");
}

}  // namespace

absl::StatusOr<Normalizer> ReadNormalizer(const JsonAt& normalizer) {
  VN_ASSIGN_OR_RETURN(const std::vector<JsonAt> parts, ReadSteps(normalizer, "normalizers"));
  std::vector<NormalizerStep> steps;
  for (const JsonAt& part : parts) VN_RETURN_IF_ERROR(AddNormalizerStep(part, &steps));
  return Normalizer(std::move(steps));
}

absl::StatusOr<PreTokenizer> ReadPreTokenizer(const JsonAt& pre_tokenizer, bool reads_bytes) {
  VN_ASSIGN_OR_RETURN(const std::vector<JsonAt> parts, ReadSteps(pre_tokenizer, "pretokenizers"));
  std::vector<PreTokenizerStep> steps;
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool is_last = i + 1 == parts.size();
    VN_RETURN_IF_ERROR(AddPreTokenizerStep(parts[i], /*writes_symbols=*/!is_last || !reads_bytes, &steps));
  }
  return PreTokenizer(std::move(steps));
}

absl::StatusOr<TokenDecoder> ReadDecoder(const JsonAt& decoder) {
  VN_ASSIGN_OR_RETURN(const std::vector<JsonAt> parts, ReadSteps(decoder, "decoders"));
  std::vector<DecoderStep> steps;
  for (const JsonAt& part : parts) {
    VN_ASSIGN_OR_RETURN(DecoderStep step, ReadDecoderStep(part));
    if (std::holds_alternative<ByteLevelDecoder>(step) && parts.size() > 1) {
      return part.Refuse("ByteLevel has to be the only decoder");
    }
    steps.push_back(std::move(step));
  }
  if (steps.empty()) steps.push_back(JoinDecoder{});  // as the library does without one
  return TokenDecoder(std::move(steps));
}

absl::StatusOr<std::optional<std::string>> ReadPostProcessor(const JsonAt& post_processor) {
  VN_ASSIGN_OR_RETURN(const std::vector<JsonAt> parts, ReadSteps(post_processor, "processors"));
  std::optional<std::string> first;
  for (const JsonAt& part : parts) {
    VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
    if (kind == "ByteLevel") continue;  // moves offsets only
    if (kind == "BertProcessing" || kind == "RobertaProcessing") {
      const JsonAt cls = part.Member("cls");
      if (!cls.IsArray() || cls.size() != 2) return cls.Refuse("expected a token and its id");
      VN_ASSIGN_OR_RETURN(first, cls.Element(0).String());
      continue;
    }
    if (kind != "TemplateProcessing") {
      return Unsupported(
          part, kind, "BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing, or null");
    }
    const JsonAt single = part.Member("single");
    VN_RETURN_IF_ERROR(single.ExpectArray());
    for (size_t i = 0; i < single.size(); ++i) {
      const JsonAt special = single.Element(i).Member("SpecialToken");
      if (special.IsNull()) break;  // the text; what follows it is not for us
      if (first) return single.Refuse("puts more than one token before the text");
      VN_ASSIGN_OR_RETURN(first, special.Member("id").String());
    }
  }
  return first;
}

}  // namespace vernier::data
