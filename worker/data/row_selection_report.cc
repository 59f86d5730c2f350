// RowSelection's counts and report.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/text.h"
#include "worker/data/mixture.h"
#include "worker/data/row_selection.h"

namespace vernier::data {

std::vector<int64_t> RowSelection::TrainingRowsBySource() const {
  std::vector<int64_t> rows;
  for (const SourceState& source : sources_) {
    if (!source.held_out) rows.push_back(KeptOf(source, RowUse::kTrain).rows);
  }
  return rows;
}

template <typename See>
void RowSelection::ForEachRow(uint32_t begin, uint32_t end, const See& see) const {
  auto pieced = std::lower_bound(pieced_.begin(), pieced_.end(), begin,
                                 [](const Pieced& a, uint32_t row) { return a.row < row; });
  for (uint32_t row = begin; row < end; ++row) {
    const RowRecord& record = records_[row];
    if (!record.in_pieces) {
      see(record, Kept{1, record.num_tokens, record.num_trained}, nullptr);
    } else {
      see(record, Kept{pieced->num_pieces, pieced->tokens_kept, pieced->trained_kept}, &*pieced);
      ++pieced;
    }
  }
}

RowSelection::Kept RowSelection::KeptOf(const SourceState& source, RowUse use) const {
  Kept all;
  ForEachRow(source.first_row, source.end_row, [&](const RowRecord& record, const Kept& kept, const Pieced*) {
    if (record.use == use) all.Add(kept.rows, kept.tokens, kept.trained);
  });
  return all;
}

Findings RowSelection::CountFindings() const {
  Findings findings = bad_;
  for (const RowRecord& record : records_) {
    if (record.use == RowUse::kTrain || record.use == RowUse::kValidation)
      findings.SawTokens(record.in_pieces ? 0 : record.num_tokens);
  }
  for (const Pieced& pieced : pieced_) {
    const RowRecord& record = records_[pieced.row];
    if (record.use != RowUse::kTrain && record.use != RowUse::kValidation) continue;
    findings.SawTokens(pieced.longest);
    if (pieced.longest <= options_.max_tokens) continue;
    const RowPlace place = PlaceOf(pieced.row);
    findings.AddOverlong(place,
                         {.num_tokens = record.num_tokens,
                          .longest_tokens = pieced.longest,
                          .lost_by_truncate = pieced.lost_by_truncate,
                          .lost_by_split = pieced.lost_by_split,
                          .lost_by_drop = pieced.lost_by_drop},
                         options_.max_tokens);
    if (options_.on_overlong == v1::ON_OVERLONG_TRUNCATE && pieced.num_pieces == 0) {
      findings.AddBad(place,
                      absl::StrCat("0 trained tokens in the first ", options_.max_tokens, " of ",
                                   record.num_tokens, " (on_overlong: truncate)"),
                      record.num_tokens);
    }
  }
  return findings;
}

void RowSelection::AddLengths(v1::DataReport& report) const {
  std::vector<uint32_t> lengths;
  ForEachRow(0, static_cast<uint32_t>(records_.size()),
             [&](const RowRecord& record, const Kept&, const Pieced* pieced) {
               if (record.use != RowUse::kTrain || record.num_tokens == 0) return;
               if (pieced == nullptr || pieced->turn_tokens.empty()) {
                 lengths.push_back(record.num_tokens);
               } else {
                 lengths.insert(lengths.end(), pieced->turn_tokens.begin(), pieced->turn_tokens.end());
               }
             });
  if (lengths.empty()) return;
  const auto quantile = [&](double share) {
    const size_t at =
        std::min(lengths.size() - 1, static_cast<size_t>(share * static_cast<double>(lengths.size())));
    std::nth_element(lengths.begin(), lengths.begin() + static_cast<int64_t>(at), lengths.end());
    return static_cast<int32_t>(std::min<uint32_t>(lengths[at], INT32_MAX));
  };
  report.set_median_row_tokens(quantile(0.5));
  report.set_p95_row_tokens(quantile(0.95));
  const uint32_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::vector<v1::LengthBucket> buckets;
  for (int64_t bound = 16;; bound *= 2) {
    buckets.emplace_back().set_max_tokens(bound);
    if (bound >= longest) break;
  }
  for (const uint32_t length : lengths) {
    size_t bucket = 0;
    while (buckets[bucket].max_tokens() < length) ++bucket;
    buckets[bucket].set_num_rows(buckets[bucket].num_rows() + 1);
    buckets[bucket].set_num_tokens(buckets[bucket].num_tokens() + length);
  }
  for (v1::LengthBucket& bucket : buckets) *report.add_lengths() = std::move(bucket);
}

void RowSelection::AddSources(v1::DataReport& report) const {
  if (options_.mixture.empty()) return;
  std::vector<double> weights;
  for (const MixtureSource& source : options_.mixture) weights.push_back(source.weight);
  const std::vector<int64_t> rows = TrainingRowsBySource();
  const std::vector<int64_t> drawn = RowsPerEpoch(rows, weights);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Kept kept = KeptOf(sources_[i], RowUse::kTrain);
    v1::SourceReport& source = *report.add_sources();
    source.set_name(options_.mixture[i].name);
    source.set_num_rows(kept.rows);
    source.set_num_tokens(kept.tokens);
    source.set_num_capped_rows(CountUses(sources_[i], RowUse::kCapped));
    source.set_num_deduplicated_rows(CountUses(sources_[i], RowUse::kDuplicate));
    source.set_num_validation_rows(KeptOf(sources_[i], RowUse::kValidation).rows);
    source.set_rows_per_epoch(drawn[i]);
    if (rows[i] > 0)
      source.set_passes_per_epoch(static_cast<double>(drawn[i]) / static_cast<double>(rows[i]));
  }
}

// How many rows TURNS_EXPAND made, and what that costs.
void RowSelection::AddExpansion(v1::DataReport& report) const {
  int64_t num_conversations = 0, num_rows = 0, num_tokens = 0, num_longest = 0, num_left = 0;
  const Pieced* most = nullptr;
  for (const Pieced& pieced : pieced_) {
    const RowRecord& record = records_[pieced.row];
    if (pieced.turn_tokens.empty()) continue;
    if (record.use != RowUse::kTrain && record.use != RowUse::kValidation) continue;
    ++num_conversations;
    num_rows += static_cast<int64_t>(pieced.turn_tokens.size());
    num_left += pieced.num_pieces;
    num_tokens += record.num_tokens;
    num_longest += pieced.longest;
    if (most == nullptr || pieced.turn_tokens.size() > most->turn_tokens.size()) most = &pieced;
  }
  if (most == nullptr) return;
  std::string note = absl::StrCat(
      "data.turns: expand made ", Counted(num_rows, "row"), " of ",
      Counted(num_conversations, "conversation"), " (at most ", most->turn_tokens.size(), ", of ",
      NameOf(most->row), "); they have ", num_tokens, " tokens, ",
      absl::StrFormat("%.1f", static_cast<double>(num_tokens) / static_cast<double>(num_longest)),
      " times those of the conversations, because each repeats the turns before its own");
  if (options_.on_overlong == v1::ON_OVERLONG_TRUNCATE || options_.on_overlong == v1::ON_OVERLONG_DROP) {
    if (num_left < num_rows)
      absl::StrAppend(&note, "; on_overlong leaves ", Counted(num_rows - num_left, "row"), " of these out");
  }
  report.add_notes(std::move(note));
}

// What matters most comes first: those who keep a report keep so many.
void RowSelection::AddNotes(v1::DataReport& report) const {
  if (!contamination_note_.empty()) report.add_notes(contamination_note_);
  AddExpansion(report);
  if (num_duplicates_ + num_near_duplicates_ > 0) {
    const auto first = duplicates_.front();
    report.add_notes(absl::StrCat(
        Counted(num_duplicates_, "row"), num_duplicates_ == 1 ? " repeats" : " repeat",
        " the content of an earlier row",
        aims_.find_near ? absl::StrCat(", ", num_near_duplicates_, num_near_duplicates_ == 1 ? " is" : " are",
                                       " similar to one")
                        : "",
        " (first: ", first.row(), " and ", first.other(), "); ",
        report.num_deduplicated_rows() > 0
            ? absl::StrCat(report.num_deduplicated_rows(),
                           report.num_deduplicated_rows() == 1 ? " is" : " are", " left out")
            : "they are kept"));
  }
  if (report.num_validation_rows() > report.num_rows() && report.num_rows() > 0) {
    report.add_notes(
        absl::StrCat("data.validation: ", Counted(report.num_validation_rows(), "validation row"), " for ",
                     Counted(report.num_rows(), "row"), " to train on: more than half is held out"));
  }
  if (!unused_columns_.empty())
    report.add_notes(absl::StrCat("columns not used: ", absl::StrJoin(unused_columns_, ", ")));
  for (const std::string& note : notes_) report.add_notes(note);
  for (const auto& [text, remark] : remarks_) {
    report.add_notes(
        absl::StrCat(text, " (", Counted(remark.num_rows, "row"), ", first: ", remark.first, ")"));
  }
}

v1::DataReport RowSelection::Report() const {
  v1::DataReport report;
  const Findings findings = CountFindings();
  Kept train, validation;
  int64_t num_dropped = findings.num_bad(), tokens_lost = num_bad_tokens_;
  ForEachRow(0, static_cast<uint32_t>(records_.size()),
             [&](const RowRecord& record, const Kept& kept, const Pieced*) {
               if (record.use != RowUse::kTrain && record.use != RowUse::kValidation) return;
               (record.use == RowUse::kTrain ? train : validation).Add(kept.rows, kept.tokens, kept.trained);
               tokens_lost += record.num_tokens - kept.tokens;
               // Rows that truncating leaves without a trained token are counted as bad.
               if (kept.rows == 0 && options_.on_overlong != v1::ON_OVERLONG_TRUNCATE) ++num_dropped;
             });
  report.set_num_rows(train.rows);
  report.set_num_tokens(train.tokens);
  report.set_num_trained_tokens(train.trained);
  report.set_num_bad_rows(findings.num_bad());
  report.set_num_overlong_rows(findings.num_overlong());
  report.set_num_dropped_rows(num_dropped);
  report.set_tokens_lost(tokens_lost);
  for (v1::RowProblem& problem : findings.Problems()) *report.add_problems() = std::move(problem);
  report.set_max_row_tokens(static_cast<int32_t>(std::min<int64_t>(findings.longest(), INT32_MAX)));
  report.set_num_duplicate_rows(num_duplicates_);
  report.set_num_near_duplicate_rows(num_near_duplicates_);
  report.set_num_deduplicated_rows(CountUses(RowUse::kDuplicate));
  report.set_num_validation_rows(validation.rows);
  report.set_num_validation_tokens(validation.tokens);
  report.set_num_contaminated_rows(num_contaminated_);
  report.set_num_near_contaminated_rows(num_near_contaminated_);
  report.set_num_rows_read(num_rows_read());
  if (format_.has_value()) report.set_row_format(std::string(RowFormatName(*format_)));
  AddNotes(report);
  AddLengths(report);
  for (v1::OverlongLoss& loss : findings.OverlongLosses()) *report.add_overlong_losses() = std::move(loss);
  AddSources(report);
  for (const std::string& column : unused_columns_) report.add_unused_columns(column);
  for (const std::string& prompt : system_prompts_) report.add_implicit_system_prompts(prompt);
  report.mutable_duplicates()->Assign(duplicates_.begin(), duplicates_.end());
  report.mutable_contaminations()->Assign(contaminations_.begin(), contaminations_.end());
  return report;
}

}  // namespace vernier::data
