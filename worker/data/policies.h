// What happens to bad and overlong rows (law 1: nothing is dropped silently).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/encode_row.h"
#include "worker/data/prepare_options.h"

namespace vernier::data {

// Pieces of an overlong row under a policy, and what is lost. Pieces start without context: their first token
// is not trained. A piece without a trained token goes. No piece: the row is gone.
struct Cut {
  std::vector<EncodedRow> pieces;
  int64_t tokens_lost = 0;
};
Cut CutRow(const EncodedRow& row, int64_t max_tokens, v1::OnOverlong policy);

// The tokens that CutRow would lose, without cutting.
int64_t TokensLost(const EncodedRow& row, int64_t max_tokens, v1::OnOverlong policy);

// An overlong row, as far as policies ask. One that TURNS_EXPAND made several rows of counts once.
struct OverlongRow {
  int64_t num_tokens = 0;
  int64_t longest_tokens = 0;  // of the longest row made of it; num_tokens when there is one
  // Tokens; num_tokens: the row would go as a whole.
  int64_t lost_by_truncate = 0, lost_by_split = 0, lost_by_drop = 0;
};

// Where a row is, for people.
struct RowPlace {
  std::string where;          // "" or names the dataset, with a blank behind: "validation "
  std::string unit = "line";  // what `line` counts
  int64_t line = 0;
  // "validation line 7".
  std::string ToString() const;
};

// Counts findings of a whole run and words the refusal. Thread-compatible.
class Findings {
 public:
  static constexpr int kMaxListed = 20;
  void AddBad(const RowPlace& place, absl::string_view reason, int64_t num_tokens);
  void AddOverlong(const RowPlace& place, const OverlongRow& row, int64_t max_tokens);
  void SawTokens(int64_t num_tokens) { longest_ = std::max(longest_, num_tokens); }

  int64_t num_bad() const { return num_bad_; }
  int64_t num_overlong() const { return num_overlong_; }
  int64_t longest() const { return longest_; }
  // First 20 of both kinds, by line.
  std::vector<v1::RowProblem> Problems() const;
  // What each policy would lose; empty when no row is overlong.
  std::vector<v1::OverlongLoss> OverlongLosses() const;

  // InvalidArgument when a policy that refuses met a row; names rows, lines, losses and settings.
  absl::Status Judge(const PrepareOptions& options, int64_t num_read) const;

 private:
  struct Listed {
    RowPlace place;
    std::string reason;
  };
  struct Loss {
    int64_t rows = 0, tokens = 0;
  };
  static std::string List(const std::vector<Listed>& listed, int64_t num);

  std::vector<Listed> bad_, overlong_;
  int64_t num_bad_ = 0, num_overlong_ = 0, longest_ = 0;
  int64_t bad_tokens_ = 0;
  Loss truncate_, split_, drop_;
};

}  // namespace vernier::data
