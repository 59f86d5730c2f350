#include "worker/data/text/tokenizer_model_spec.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace vernier::data {
namespace {

absl::StatusOr<std::pair<std::string, std::string>> ReadMerge(const JsonAt& merges, size_t index) {
  const nlohmann::json& value = merges.value()[index];
  if (value.is_string()) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(value.get_ref<const std::string&>(), absl::MaxSplits(' ', 1));
    if (!parts.first.empty() && !parts.second.empty() && parts.second.find(' ') == std::string::npos)
      return parts;
  } else if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
    std::pair<std::string, std::string> parts = {value[0].get<std::string>(), value[1].get<std::string>()};
    // An empty part would make a token out of itself.
    if (!parts.first.empty() && !parts.second.empty()) return parts;
  }
  return merges.Element(index).Refuse("expected two tokens: \"a b\" or [\"a\", \"b\"]");
}

absl::Status ReadMerges(const JsonAt& merges, const TokenIds& ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(merges.ExpectArray());
  spec->merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    VN_ASSIGN_OR_RETURN(const auto pair, ReadMerge(merges, i));
    const std::optional<int32_t> left = ids.Find(pair.first);
    const std::optional<int32_t> right = ids.Find(pair.second);
    const std::string merged = pair.first + pair.second;  // longer than both: merges cannot go in circles
    const std::optional<int32_t> result = ids.Find(merged);
    if (!left || !right || !result) {
      const std::string& missing = !left ? pair.first : !right ? pair.second : merged;
      return merges.Element(i).Refuse(
          absl::StrCat("token ", QuotedToken(missing), " is not in the vocabulary"));
    }
    spec->merges.push_back({*left, *right, *result});
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenModelKind> ReadKind(const JsonAt& model) {
  const JsonAt type = model.Member("type");
  // The oldest files leave it out.
  if (type.IsNull() && !model.Member("merges").IsNull()) return TokenModelKind::kBpe;
  if (type.IsNull() && model.Member("vocab").IsArray()) return TokenModelKind::kUnigram;
  if (type.IsNull() && !model.Member("continuing_subword_prefix").IsNull()) return TokenModelKind::kWordPiece;
  VN_ASSIGN_OR_RETURN(const std::string kind, type.String());
  if (kind == "BPE") return TokenModelKind::kBpe;
  if (kind == "Unigram") return TokenModelKind::kUnigram;
  if (kind == "WordPiece") return TokenModelKind::kWordPiece;
  if (kind == "WordLevel") return TokenModelKind::kWordLevel;
  return type.Refuse(
      absl::StrCat(QuotedToken(kind), " is not supported; supported: BPE, Unigram, WordPiece, WordLevel"));
}

absl::Status ReadUnknownToken(const JsonAt& unknown, const TokenIds& ids, TokenizerSpec* spec) {
  if (unknown.IsNull()) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(const std::string token, unknown.String());
  spec->unknown_id = ids.Find(token);
  if (spec->unknown_id || token.empty()) return absl::OkStatus();
  return unknown.Refuse(absl::StrCat(QuotedToken(token), " is not in the vocabulary"));
}

absl::Status ReadBpe(const JsonAt& model, TokenIds* ids, TokenizerSpec* spec) {
  if (const JsonAt dropout = model.Member("dropout"); !dropout.IsNull() && dropout.value() != 0) {
    return dropout.Refuse("dropout is not supported: it makes tokens random; set it to null");
  }
  for (const char* const affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const JsonAt at = model.Member(affix);
    if (!at.IsNull() && at.value() != "") return at.Refuse("is not supported for BPE; only null is");
  }
  VN_ASSIGN_OR_RETURN(spec->byte_fallback, model.Member("byte_fallback").Bool(false));
  VN_ASSIGN_OR_RETURN(spec->fuse_unknown, model.Member("fuse_unk").Bool(false));
  VN_ASSIGN_OR_RETURN(spec->ignore_merges, model.Member("ignore_merges").Bool(false));
  VN_RETURN_IF_ERROR(ids->ReadVocabulary(model.Member("vocab")));
  VN_RETURN_IF_ERROR(ReadMerges(model.Member("merges"), *ids, spec));
  return ReadUnknownToken(model.Member("unk_token"), *ids, spec);
}

absl::Status ReadUnigram(const JsonAt& model, TokenIds* ids, TokenizerSpec* spec) {
  VN_ASSIGN_OR_RETURN(spec->byte_fallback, model.Member("byte_fallback").Bool(false));
  VN_RETURN_IF_ERROR(ids->ReadScores(model.Member("vocab")));
  const JsonAt unknown = model.Member("unk_id");
  if (unknown.IsNull()) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(const int64_t id, unknown.Integer());
  if (id < 0 || static_cast<size_t>(id) >= spec->vocabulary.size()) {
    return unknown.Refuse(absl::StrCat("there is no token ", id));
  }
  spec->unknown_id = static_cast<int32_t>(id);
  return absl::OkStatus();
}

absl::Status ReadWordPiece(const JsonAt& model, TokenIds* ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(ids->ReadVocabulary(model.Member("vocab")));
  VN_RETURN_IF_ERROR(ReadUnknownToken(model.Member("unk_token"), *ids, spec));
  VN_ASSIGN_OR_RETURN(spec->inner_prefix, model.Member("continuing_subword_prefix").String());
  const JsonAt limit = model.Member("max_input_chars_per_word");
  if (limit.IsNull()) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(const int64_t characters, limit.Integer());
  if (characters < 1) return limit.Refuse("is not positive");
  spec->max_word_characters = static_cast<size_t>(characters);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadModel(const JsonAt& model, TokenIds* ids, TokenizerSpec* spec) {
  VN_RETURN_IF_ERROR(model.ExpectObject());
  VN_ASSIGN_OR_RETURN(spec->kind, ReadKind(model));
  switch (spec->kind) {
    case TokenModelKind::kBpe:
      return ReadBpe(model, ids, spec);
    case TokenModelKind::kUnigram:
      return ReadUnigram(model, ids, spec);
    case TokenModelKind::kWordPiece:
      return ReadWordPiece(model, ids, spec);
    case TokenModelKind::kWordLevel:
      VN_RETURN_IF_ERROR(ids->ReadVocabulary(model.Member("vocab")));
      return ReadUnknownToken(model.Member("unk_token"), *ids, spec);
  }
  return absl::OkStatus();
}

}  // namespace vernier::data
