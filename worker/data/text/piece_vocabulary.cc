#include "worker/data/text/piece_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/tokenizer_json_writer.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

// The character that stands for a space inside a vocabulary.
constexpr absl::string_view kSpace = "\xE2\x96\x81";

using Ids = absl::flat_hash_map<absl::string_view, int32_t>;

struct Merge {
  absl::string_view left, right;
  int32_t result = 0;
};

// Whether text becomes this piece by merging. The others are matched whole, or not at all.
bool IsMerged(const VocabularyPiece& piece) { return piece.type == PieceType::kNormal; }

bool IsAdded(const VocabularyPiece& piece) {
  return piece.type == PieceType::kControl || piece.type == PieceType::kUnknown ||
         piece.type == PieceType::kUserDefined;
}

// What stands in a text for the piece: added tokens are looked for before spaces are replaced.
std::string Spelling(const VocabularyPiece& piece) {
  return IsAdded(piece) ? absl::StrReplaceAll(piece.text, {{kSpace, " "}}) : piece.text;
}

absl::StatusOr<Ids> CheckPieces(const PieceVocabulary& vocabulary, const std::vector<std::string>& spellings,
                                absl::string_view name) {
  const auto wrong = [&](auto&&... what) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", what...));
  };
  Ids ids;
  ids.reserve(spellings.size());
  for (size_t id = 0; id < spellings.size(); ++id) {
    if (FirstInvalidUtf8(spellings[id]) != absl::string_view::npos) {
      return wrong("token ", id, " is not UTF-8");
    }
    if (!std::isfinite(vocabulary.pieces[id].score))
      return wrong("the score of token ", id, " is not a number");
    const auto [first, is_new] = ids.emplace(spellings[id], static_cast<int32_t>(id));
    if (!is_new) {
      return wrong("\"", Excerpt(spellings[id], 40), "\" is both token ", first->second, " and token ", id);
    }
  }
  for (const auto& [what, id] :
       {std::pair("unknown", vocabulary.unknown_id), std::pair("bos", vocabulary.bos_id)}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= spellings.size())) {
      return wrong("the ", what, " id ", *id, " is no token; there are ", spellings.size());
    }
  }
  return ids;
}

// Every way to make a piece out of two, the pieces by falling score. The reference takes of all pairs in a
// text the one whose piece scores highest, which is what merges in this order do.
std::vector<Merge> MergesOf(const PieceVocabulary& vocabulary, const Ids& ids) {
  std::vector<int32_t> order;
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    if (IsMerged(vocabulary.pieces[id])) order.push_back(static_cast<int32_t>(id));
  }
  const auto score = [&](int32_t id) { return vocabulary.pieces[static_cast<size_t>(id)].score; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  const auto is_part = [&](absl::string_view text) {
    const auto found = ids.find(text);
    return found != ids.end() && IsMerged(vocabulary.pieces[static_cast<size_t>(found->second)]);
  };
  std::vector<Merge> merges;
  for (const int32_t id : order) {
    const absl::string_view piece = vocabulary.pieces[static_cast<size_t>(id)].text;
    for (size_t at = 1; at < piece.size(); ++at) {
      if (!IsCharacterBoundary(piece, at)) continue;
      const Merge merge{piece.substr(0, at), piece.substr(at), id};
      if (is_part(merge.left) && is_part(merge.right)) merges.push_back(merge);
    }
  }
  return merges;
}

OrderedJson Replace(absl::string_view pattern, absl::string_view content, const char* kind = "String") {
  return {
      {"type", "Replace"}, {"pattern", {{kind, std::string(pattern)}}}, {"content", std::string(content)}};
}

OrderedJson Metaspace(const PieceVocabulary& vocabulary, bool split) {
  const char* const scheme = vocabulary.prefix == PiecePrefix::kNone    ? "never"
                             : vocabulary.prefix == PiecePrefix::kFirst ? "first"
                                                                        : "always";
  return {{"type", "Metaspace"},
          {"replacement", std::string(kSpace)},
          {"prepend_scheme", scheme},
          {"split", split}};
}

// Older files have a normalizer write the spaces, newer ones the pre-tokenizer. The two differ for texts that
// begin with a space and behind added tokens.
bool NormalizerWritesSpaces(const PieceVocabulary& vocabulary) {
  return vocabulary.is_bpe && vocabulary.prefix != PiecePrefix::kFirst;
}

OrderedJson NormalizerJson(const PieceVocabulary& vocabulary) {
  OrderedJson steps = OrderedJson::array();
  if (!vocabulary.charsmap.empty()) {
    steps.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", absl::Base64Escape(vocabulary.charsmap)}});
  }
  if (vocabulary.removes_extra_spaces) {
    // Spaces only, where Strip would take all white space.
    steps.push_back(Replace(R"(\A +| +\z)", "", "Regex"));
    steps.push_back(Replace(" {2,}", " ", "Regex"));
  }
  if (NormalizerWritesSpaces(vocabulary)) {
    if (vocabulary.prefix == PiecePrefix::kAlways) {
      steps.push_back({{"type", "Prepend"}, {"prepend", std::string(kSpace)}});
    }
    steps.push_back(Replace(" ", kSpace));
  }
  return StepsJson(std::move(steps), "normalizers");
}

// Cutting at spaces changes nothing unless a piece has one inside.
bool HasInnerSpace(const PieceVocabulary& vocabulary) {
  return std::any_of(vocabulary.pieces.begin(), vocabulary.pieces.end(), [](const VocabularyPiece& piece) {
    absl::string_view rest = piece.text;
    while (absl::ConsumePrefix(&rest, kSpace)) {
    }
    return IsMerged(piece) && absl::StrContains(rest, kSpace);
  });
}

OrderedJson PreTokenizerJson(const PieceVocabulary& vocabulary) {
  if (NormalizerWritesSpaces(vocabulary)) return nullptr;
  return Metaspace(vocabulary, /*split=*/!vocabulary.is_bpe && !HasInnerSpace(vocabulary));
}

OrderedJson DecoderJson(const PieceVocabulary& vocabulary) {
  OrderedJson steps = OrderedJson::array({Replace(kSpace, " ")});
  if (vocabulary.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (vocabulary.prefix != PiecePrefix::kNone) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return StepsJson(std::move(steps), "decoders");
}

}  // namespace

absl::StatusOr<std::string> TokenizerJson(const PieceVocabulary& vocabulary, absl::string_view name) {
  std::vector<std::string> spellings;
  spellings.reserve(vocabulary.pieces.size());
  OrderedJson added = OrderedJson::array();
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const VocabularyPiece& piece = vocabulary.pieces[id];
    spellings.push_back(Spelling(piece));
  }
  VN_ASSIGN_OR_RETURN(const Ids ids, CheckPieces(vocabulary, spellings, name));
  for (size_t id = 0; id < spellings.size(); ++id) {
    const VocabularyPiece& piece = vocabulary.pieces[id];
    if (!IsAdded(piece) || spellings[id].empty()) continue;
    added.push_back(
        AddedTokenEntry(static_cast<int64_t>(id), spellings[id], piece.type != PieceType::kUserDefined));
  }
  OrderedJson post_processor = nullptr;
  if (vocabulary.bos_id) {
    post_processor = BosTemplateJson(spellings[static_cast<size_t>(*vocabulary.bos_id)], *vocabulary.bos_id);
  }

  // The long lists are written straight: as a tree they would take many times their size.
  std::string text = absl::StrCat(
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":", added.dump(),
      ",\"normalizer\":", NormalizerJson(vocabulary).dump(),
      ",\"pre_tokenizer\":", PreTokenizerJson(vocabulary).dump(),
      ",\"post_processor\":", post_processor.dump(), ",\"decoder\":", DecoderJson(vocabulary).dump(),
      ",\"model\":");
  const char* const fallback = vocabulary.byte_fallback ? "true" : "false";
  if (!vocabulary.is_bpe) {
    absl::StrAppend(&text, "{\"type\":\"Unigram\",\"unk_id\":",
                    vocabulary.unknown_id ? absl::StrCat(*vocabulary.unknown_id) : "null",
                    ",\"byte_fallback\":", fallback, ",\"vocab\":[");
    for (size_t id = 0; id < spellings.size(); ++id) {
      absl::StrAppend(&text, id == 0 ? "" : ",", "[", JsonString(spellings[id]), ",",
                      OrderedJson(static_cast<double>(vocabulary.pieces[id].score)).dump(), "]");
    }
    absl::StrAppend(&text, "]}}\n");
    return text;
  }
  absl::StrAppend(
      &text, "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":",
      vocabulary.unknown_id ? JsonString(spellings[static_cast<size_t>(*vocabulary.unknown_id)]) : "null",
      ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true,"
      "\"byte_fallback\":",
      fallback, ",\"ignore_merges\":false,\"vocab\":{");
  for (size_t id = 0; id < spellings.size(); ++id) {
    absl::StrAppend(&text, id == 0 ? "" : ",", JsonString(spellings[id]), ":", id);
  }
  absl::StrAppend(&text, "},\"merges\":[");
  bool is_first = true;
  for (const Merge& merge : MergesOf(vocabulary, ids)) {
    absl::StrAppend(&text, std::exchange(is_first, false) ? "" : ",", "[", JsonString(merge.left), ",",
                    JsonString(merge.right), "]");
  }
  absl::StrAppend(&text, "]}}\n");
  return text;
}

}  // namespace vernier::data
