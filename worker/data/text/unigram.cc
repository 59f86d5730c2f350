#include "worker/data/text/unigram.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst piece
constexpr uint32_t kNowhere = ~uint32_t{0};
// Characters between two looks at the budget.
constexpr size_t kCharactersPerLook = 256;

// The best way to the end of a byte of the word.
struct BestPath {
  double score = 0;
  uint32_t begin = kNowhere;  // of its last piece
  int32_t id = 0;
};

}  // namespace

Unigram::Unigram(Options options) : unknown_(options.unknown), cache_(std::make_unique<WordCache>()) {
  double lowest = 0;
  size_t num_bytes = 0;
  for (const auto& [piece, score] : options.pieces) num_bytes += piece.size();
  pieces_.reserve(num_bytes / 2);
  ids_.reserve(options.pieces.size());
  for (size_t id = 0; id < options.pieces.size(); ++id) {
    auto& [piece, score] = options.pieces[id];
    lowest = id == 0 ? score : std::min(lowest, score);
    scores_.push_back(score);
    if (!piece.empty()) pieces_.Add(piece, static_cast<int32_t>(id));
    ids_.emplace(std::move(piece), static_cast<int32_t>(id));
  }
  unknown_score_ = lowest - kUnknownPenalty;
  if (!options.byte_fallback) return;
  bytes_.emplace();
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto found = ids_.find(absl::StrFormat("<0x%02X>", byte));
    if (found != ids_.end()) (*bytes_)[byte] = found->second;
  }
}

absl::Status Unigram::Encode(absl::string_view word, CpuBudget& budget,
                             std::vector<WordToken>* tokens) const {
  const bool may_cache = word.size() <= WordCache::kMaxWordBytes;
  if (may_cache && cache_->Find(word, tokens)) return absl::OkStatus();
  const size_t first = tokens->size();
  VN_RETURN_IF_ERROR(Search(word, budget, tokens));
  if (may_cache) cache_->Add(word, *tokens, first);
  return absl::OkStatus();
}

absl::Status Unigram::Search(absl::string_view word, CpuBudget& budget,
                             std::vector<WordToken>* tokens) const {
  std::vector<BestPath> best(word.size() + 1);
  const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    BestPath& path = best[end];
    if (path.begin != kNowhere && score <= path.score) return;
    path = {score, static_cast<uint32_t>(begin), id};
  };
  size_t num_characters = 0;
  for (size_t at = 0; at < word.size();) {
    if (++num_characters % kCharactersPerLook == 0 && budget.Spent()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cutting a word of ", word.size(), " bytes takes more than ",
                       absl::FormatDuration(budget.limit()), " of CPU time; shorten it"));
    }
    size_t size = 0;
    DecodeCharacter(word, at, &size);
    bool is_piece = false;
    pieces_.ForEachPrefix(word.substr(at), [&](size_t length, int32_t id) {
      offer(at, at + length, scores_[static_cast<size_t>(id)] + best[at].score, id);
      is_piece = is_piece || length == size;
    });
    if (!is_piece) {
      if (!unknown_) {
        return absl::InvalidArgumentError(
            absl::StrCat("the tokenizer has no token for \"", Excerpt(word.substr(at, size)),
                         "\" and none that stands for unknown ones (model.unk_id)"));
      }
      offer(at, at + size, unknown_score_ + best[at].score, *unknown_);
    }
    at += size;
  }
  struct Piece {
    uint32_t begin, end;
    int32_t id;
  };
  std::vector<Piece> pieces;  // from the last to the first
  for (auto end = static_cast<uint32_t>(word.size()); end > 0;) {
    const BestPath& path = best[end];
    const bool is_unknown = unknown_ && path.id == *unknown_;
    if (is_unknown && !pieces.empty() && pieces.back().id == *unknown_) {
      pieces.back().begin = path.begin;
    } else {
      pieces.push_back({path.begin, end, path.id});
    }
    end = path.begin;
  }
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    if (unknown_ && piece->id == *unknown_) {
      VN_RETURN_IF_ERROR(
          AddUnknown(word.substr(piece->begin, piece->end - piece->begin), piece->begin, tokens));
    } else {
      tokens->push_back({piece->id, piece->begin});
    }
  }
  return absl::OkStatus();
}

absl::Status Unigram::AddUnknown(absl::string_view run, uint32_t begin,
                                 std::vector<WordToken>* tokens) const {
  // A run may be a piece after all, one that was too unlikely.
  if (const auto known = ids_.find(run); known != ids_.end()) {
    tokens->push_back({known->second, begin});
    return absl::OkStatus();
  }
  const auto id_of = [&](char byte) { return (*bytes_)[static_cast<unsigned char>(byte)]; };
  if (bytes_ && std::all_of(run.begin(), run.end(), [&](char byte) { return id_of(byte).has_value(); })) {
    for (const char byte : run) tokens->push_back({*id_of(byte), begin});
    return absl::OkStatus();
  }
  tokens->push_back({*unknown_, begin});
  return absl::OkStatus();
}

}  // namespace vernier::data
