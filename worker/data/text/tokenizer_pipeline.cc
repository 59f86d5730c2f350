#include "worker/data/text/tokenizer_pipeline.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/tokenizer_spec.h"

namespace vernier::data {
namespace {

constexpr int kMaxNesting = 8;  // of sequences

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

}  // namespace

absl::StatusOr<bool> ReadNormalizer(const JsonAt& normalizer) {
  std::vector<JsonAt> parts;
  VN_RETURN_IF_ERROR(Flatten(normalizer, "normalizers", 0, &parts));
  for (const JsonAt& part : parts) {
    VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
    if (kind != "NFC") return Unsupported(part, kind, "NFC, Sequence, or null");
  }
  return !parts.empty();
}

absl::StatusOr<PreTokenizer> ReadPreTokenizer(const JsonAt& pre_tokenizer) {
  std::vector<JsonAt> parts;
  VN_RETURN_IF_ERROR(Flatten(pre_tokenizer, "pretokenizers", 0, &parts));
  if (parts.size() > kMaxSplitSteps) {
    return pre_tokenizer.Refuse(absl::StrCat("has ", parts.size(), " steps, more than ", kMaxSplitSteps));
  }
  std::vector<SplitStep> steps;
  for (size_t i = 0; i < parts.size(); ++i) {
    const JsonAt& part = parts[i];
    VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
    if (kind == "ByteLevel") {
      // It turns the text into another alphabet, which no later step could read.
      if (i + 1 != parts.size()) return part.Refuse("ByteLevel has to be the last step");
      VN_ASSIGN_OR_RETURN(const bool prefix_space, part.Member("add_prefix_space").Bool());
      VN_ASSIGN_OR_RETURN(const bool use_regex, part.Member("use_regex").Bool(true));
      std::vector<SplitStep> byte_level;
      if (use_regex) {
        VN_ASSIGN_OR_RETURN(SplitPattern pattern, SplitPattern::Regex(kGpt2Pattern));
        byte_level.push_back({std::move(pattern), SplitBehavior::kIsolated, false});
      }
      return PreTokenizer(std::move(steps), prefix_space, std::move(byte_level));
    }
    if (kind == "Split") {
      VN_ASSIGN_OR_RETURN(SplitStep step, ReadSplit(part));
      steps.push_back(std::move(step));
    } else if (kind == "Digits") {
      VN_ASSIGN_OR_RETURN(SplitStep step, ReadDigits(part));
      steps.push_back(std::move(step));
    } else {
      return Unsupported(part, kind, "ByteLevel, Split, Digits, Sequence");
    }
  }
  return pre_tokenizer.Refuse("there is no ByteLevel step; only byte-level BPE is supported");
}

absl::Status CheckDecoder(const JsonAt& decoder) {
  std::vector<JsonAt> parts;
  VN_RETURN_IF_ERROR(Flatten(decoder, "decoders", 0, &parts));
  for (const JsonAt& part : parts) {
    VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
    if (kind != "ByteLevel") return Unsupported(part, kind, "ByteLevel, Sequence");
  }
  if (parts.size() != 1) return decoder.Refuse("expected one ByteLevel decoder");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> ReadPostProcessor(const JsonAt& post_processor) {
  std::vector<JsonAt> parts;
  VN_RETURN_IF_ERROR(Flatten(post_processor, "processors", 0, &parts));
  std::optional<std::string> first;
  for (const JsonAt& part : parts) {
    VN_ASSIGN_OR_RETURN(const std::string kind, part.Member("type").String());
    if (kind == "ByteLevel") continue;  // moves offsets only
    if (kind != "TemplateProcessing")
      return Unsupported(part, kind, "TemplateProcessing, ByteLevel, Sequence, or null");
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
