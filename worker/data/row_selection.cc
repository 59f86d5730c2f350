#include "worker/data/row_selection.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/mixture.h"

namespace vernier::data {
namespace {

constexpr int kMaxPairs = 5;
constexpr size_t kMaxUnusedColumns = 64;
constexpr size_t kMaxSystemPrompts = 3;
// Keeps the sample of a mixture's max_rows apart from other uses of content digests.
constexpr uint64_t kSampleTag = 0x6d6978636170;  // "mixcap"

std::string Percent(double share) { return absl::StrCat(share * 100, "%"); }

v1::RowPair Pair(std::string row, std::string other, double similarity) {
  v1::RowPair pair;
  pair.set_row(std::move(row));
  pair.set_other(std::move(other));
  pair.set_similarity(similarity);
  return pair;
}

}  // namespace

RowSelection::RowSelection(const PrepareOptions& options, Aims aims) : options_(options), aims_(aims) {}

void RowSelection::StartSource(std::string where, absl::string_view unit, bool held_out) {
  const bool other_side = sources_.empty() || sources_.back().held_out != held_out;
  if (other_side) {
    contents_ = std::make_unique<ContentSet>(0, ContentHash{&records_}, ContentEqual{&records_});
    near_ = aims_.find_near ? std::make_unique<NearIndex>(options_.near.threshold) : nullptr;
  }
  ids_.clear();
  last_line_ = 0;
  const uint32_t row = static_cast<uint32_t>(records_.size());
  sources_.push_back({.where = std::move(where),
                      .unit = std::string(unit),
                      .held_out = held_out,
                      .first_row = row,
                      .end_row = row});
}

bool RowSelection::IsFull(bool held_out) const {
  if (!options_.mixture.empty()) return false;  // caps are samples: every row is looked at
  const bool train_full = num_train_ >= options_.max_rows;
  const bool validation_full = num_validation_ >= options_.max_validation_rows;
  if (held_out) return validation_full;
  return train_full && (options_.validation_fraction == 0 || validation_full);
}

absl::StatusOr<bool> RowSelection::Add(const EncodedChunk& chunk, int64_t first_line) {
  ChunkPlace& place = chunks_.emplace_back();
  place.first_row = static_cast<uint32_t>(records_.size());
  place.first_line = first_line;
  place.source = static_cast<int64_t>(sources_.size()) - 1;
  NoteTexts(chunk, first_line);
  const MinHashSignature* signature = chunk.signatures.data();
  for (uint32_t i = 0; i < chunk.rows.size(); ++i) {
    const RowFacts& facts = chunk.rows[i];
    if (IsFull(current().held_out)) {
      Note(absl::StrCat(current().where, "rows after ", current().unit, " ", last_line_,
                        " are not used (max_rows)"));
      return false;
    }
    if (static_cast<int64_t>(records_.size()) >= kMaxPreparedRows) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data: more than ", kMaxPreparedRows, " rows; limit them with data.max_rows or split the job"));
    }
    Incoming in{.chunk = chunk, .facts = facts, .index = i};
    if (facts.Has(RowFacts::kSigned)) in.signature = signature++;
    in.row = static_cast<uint32_t>(records_.size());
    records_.push_back({.content = facts.content,
                        .line = facts.line,
                        .num_tokens = facts.num_tokens,
                        .num_trained = facts.num_trained});
    ++place.num_rows;
    current().end_row = in.row + 1;
    last_line_ = first_line + facts.line;
    VN_RETURN_IF_ERROR(Take(in));
  }
  return true;
}

absl::Status RowSelection::EndSource(const Source& source) {
  for (const std::string& note : source.Notes()) Note(absl::StrCat(current().where, note));
  NoteUnused(source.unused_columns());
  ids_.clear();
  if (current().first_row < current().end_row) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(FieldOf(sources_.size() - 1), ": the dataset has no rows; the file is empty or blank"));
}

absl::Status RowSelection::Take(const Incoming& in) {
  RowRecord& record = records_[in.row];
  VN_RETURN_IF_ERROR(CheckFormatOfSource(in));
  if (const std::string why = WhyBad(in); !why.empty()) {
    record.use = RowUse::kBad;
    bad_.AddBad(PlaceOf(in.row), why, in.facts.num_tokens);
    num_bad_tokens_ += in.facts.num_tokens;
    return absl::OkStatus();
  }
  record.is_overlong = in.facts.num_tokens > options_.max_tokens;
  if (record.is_overlong) {
    Overlong& overlong = overlong_.emplace_back();
    overlong.row = in.row;
    overlong.lost_by_truncate = in.facts.lost_by_truncate;
    overlong.lost_by_split = in.facts.lost_by_split;
    auto piece = std::lower_bound(in.chunk.pieces.begin(), in.chunk.pieces.end(), in.index,
                                  [](const PieceFacts& a, uint32_t row) { return a.row < row; });
    for (; piece != in.chunk.pieces.end() && piece->row == in.index; ++piece) {
      ++overlong.num_pieces;
      overlong.tokens_kept += piece->num_tokens;
      overlong.trained_kept += piece->num_trained;
    }
  }
  if (IsLeftOutAsDuplicate(in)) {
    record.use = RowUse::kDuplicate;
    return absl::OkStatus();
  }
  const bool validation = current().held_out ||
                          (options_.validation_fraction > 0 &&
                           static_cast<double>(in.facts.split_bits) * 0x1p-52 < options_.validation_fraction);
  record.use = validation ? RowUse::kValidation : RowUse::kTrain;
  if (!options_.mixture.empty()) return absl::OkStatus();
  int64_t& taken = validation ? num_validation_ : num_train_;
  if (taken >= (validation ? options_.max_validation_rows : options_.max_rows)) {
    record.use = RowUse::kUnused;
  } else if (in.facts.num_pieces > 0) {
    ++taken;
  }
  return absl::OkStatus();
}

absl::Status RowSelection::CheckFormatOfSource(const Incoming& in) {
  if (!in.facts.Has(RowFacts::kParsed) || current().form.has_value()) return absl::OkStatus();
  current().form = static_cast<RowForm>(in.facts.form);
  current().form_row = in.row;
  const RowFormat format = static_cast<RowFormat>(in.facts.format);
  const std::string field = FieldOf(sources_.size() - 1);
  if (format == RowFormat::kPreference && aims_.train) {
    return absl::InvalidArgumentError(
        absl::StrCat(field,
                     ": its rows are preference pairs, which can be checked but not trained yet; use rows of "
                     "messages, prompt and completion, or text"));
  }
  VN_RETURN_IF_ERROR(CheckEncodeOptions(options_.encode, format));
  if (!format_.has_value()) {
    format_ = format;
  } else if (*format_ != format) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": its rows are ", RowFormatName(format), " (", current().unit, " ", PlaceOf(in.row).line,
        "), those of ", FieldOf(0), " are ", RowFormatName(*format_), "; all rows of a job have one format"));
  }
  Note(absl::StrCat(current().where, FormNote(*current().form)));
  return absl::OkStatus();
}

std::string RowSelection::WhyBad(const Incoming& in) {
  if (in.facts.Has(RowFacts::kBad)) {
    for (const auto& [row, reason] : in.chunk.reasons) {
      if (row == in.index) return reason;
    }
    return "it is bad";  // not among those that are listed
  }
  const RowForm form = static_cast<RowForm>(in.facts.form);
  if (form != *current().form || static_cast<RowFormat>(in.facts.format) != *format_ ||
      in.facts.Has(RowFacts::kContradicted)) {
    return absl::StrCat("mixed formats: this row is ", RowFormName(form), ", ", NameOf(current().form_row),
                        " is ", RowFormName(*current().form), "; a dataset has one format");
  }
  if (in.facts.Has(RowFacts::kHasId)) {
    const auto [it, inserted] = ids_.try_emplace(in.facts.id, in.row);
    if (!inserted) {
      const auto id = std::lower_bound(in.chunk.row_ids.begin(), in.chunk.row_ids.end(), in.index,
                                       [](const auto& a, uint32_t row) { return a.first < row; });
      return absl::StrCat("duplicate id ", id == in.chunk.row_ids.end() ? "" : id->second, ": ",
                          NameOf(it->second), " has it too");
    }
  }
  return "";
}

bool RowSelection::IsLeftOutAsDuplicate(const Incoming& in) {
  const auto [it, inserted] = contents_->insert(in.row);
  if (!inserted) {
    ++num_duplicates_;
    NoteDuplicate(in.row, *it, 1.0);
    return options_.deduplicate >= v1::DUPLICATE_KIND_EXACT;
  }
  if (near_ == nullptr || in.signature == nullptr) return false;
  if (const auto match = near_->Find(*in.signature); match.has_value()) {
    ++num_near_duplicates_;
    NoteDuplicate(in.row, match->row, std::min(match->similarity, 0.999));
    // Rows are compared with rows that stay: similarity does not creep from row to row.
    return options_.deduplicate == v1::DUPLICATE_KIND_NEAR;
  }
  near_->Add(in.row, *in.signature);
  return false;
}

void RowSelection::NoteDuplicate(uint32_t row, uint32_t original, double similarity) {
  if (duplicates_.size() < kMaxPairs) duplicates_.push_back(Pair(NameOf(row), NameOf(original), similarity));
}

void RowSelection::NoteTexts(const EncodedChunk& chunk, int64_t first_line) {
  NoteUnused(chunk.unused_columns);
  for (const EncodedChunk::Remark& remark : chunk.remarks) {
    Remark& known = remarks_[absl::StrCat(current().where, remark.text)];
    if (known.num_rows == 0)
      known.first = absl::StrCat(current().unit, " ", first_line + chunk.rows[remark.first_row].line);
    known.num_rows += remark.num_rows;
  }
  for (const auto& [row, prompt] : chunk.system_prompts) {
    if (system_prompts_.size() == kMaxSystemPrompts)
      return;  // a template that writes another one for each row
    if (std::find(system_prompts_.begin(), system_prompts_.end(), prompt) != system_prompts_.end()) continue;
    system_prompts_.push_back(prompt);
    Note(absl::StrCat("the chat template adds a system prompt to rows without one (first: ", current().where,
                      current().unit, " ", first_line + chunk.rows[row].line, "): \"", Excerpt(prompt, 200),
                      "\""));
  }
}

void RowSelection::NoteUnused(absl::Span<const std::string> columns) {
  for (const std::string& column : columns) {
    if (unused_columns_.size() < kMaxUnusedColumns) unused_columns_.insert(column);
  }
}

void RowSelection::Note(std::string note) {
  if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(std::move(note));
}

void RowSelection::Settle() {
  if (options_.mixture.empty()) return;
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (!sources_[i].held_out) SampleSource(sources_[i], options_.mixture[i].max_rows);
  }
  int64_t taken = 0;
  for (RowRecord& record : records_) {
    if (record.use == RowUse::kValidation && taken++ >= options_.max_validation_rows)
      record.use = RowUse::kUnused;
  }
}

void RowSelection::SampleSource(const SourceState& source, int64_t max_rows) {
  if (source.end_row - source.first_row <= max_rows) return;
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (uint32_t row = source.first_row; row < source.end_row; ++row) {
    const RowRecord& record = records_[row];
    if (record.use != RowUse::kTrain && record.use != RowUse::kValidation) continue;
    order.emplace_back(DeriveSeed(record.content.high, kSampleTag, record.content.low), row);
  }
  if (static_cast<int64_t>(order.size()) <= max_rows) return;
  std::nth_element(order.begin(), order.begin() + max_rows, order.end());
  for (auto it = order.begin() + max_rows; it != order.end(); ++it)
    records_[it->second].use = RowUse::kCapped;
}

absl::Status RowSelection::TakeContaminations(const std::vector<Contamination::Hit>& hits) {
  std::string list;
  for (const Contamination::Hit& hit : hits) {
    ++(hit.similarity == 1.0 ? num_contaminated_ : num_near_contaminated_);
    v1::RowPair pair = Pair(NameOf(hit.validation_row), NameOf(hit.training_row), hit.similarity);
    if (contaminations_.size() < kMaxPairs) {
      absl::StrAppend(&list, "\n  ", pair.row(), hit.similarity == 1.0 ? " is equal to " : " is similar to ",
                      pair.other());
      contaminations_.push_back(std::move(pair));
    }
    if (options_.on_contamination == v1::ON_CONTAMINATION_DROP)
      records_[hit.validation_row].use = RowUse::kContaminated;
  }
  if (hits.empty()) return absl::OkStatus();
  const int64_t rows = num_validation_rows() + CountUses(RowUse::kContaminated);
  const std::string count =
      absl::StrCat(hits.size(), " of ", rows, " validation rows occur among the training rows (",
                   num_contaminated_, " exactly, ", num_near_contaminated_, " nearly)");
  if (options_.on_contamination == v1::ON_CONTAMINATION_FAIL) {
    const int64_t more = static_cast<int64_t>(hits.size()) - static_cast<int64_t>(contaminations_.size());
    if (more > 0) absl::StrAppend(&list, "\n  ... and ", more, " more");
    return absl::InvalidArgumentError(absl::StrCat(
        "data.validation: ", count, " and on_contamination is fail:", list,
        "\nRemove them, or set data.on_contamination: drop, which leaves these validation rows out."));
  }
  Note(absl::StrCat(count, options_.on_contamination == v1::ON_CONTAMINATION_DROP
                               ? "; they are left out"
                               : "; the validation loss is better than on new rows"));
  return absl::OkStatus();
}

absl::Status RowSelection::Judge(bool wants_validation) const {
  VN_RETURN_IF_ERROR(CountFindings().Judge(options_, num_rows_read()));
  int64_t validation_rows = 0, train_rows = 0;
  for (size_t i = 0; i < sources_.size(); ++i) {
    validation_rows += KeptOf(sources_[i], RowUse::kValidation).rows;
    if (sources_[i].held_out) continue;
    const int64_t rows = KeptOf(sources_[i], RowUse::kTrain).rows;
    train_rows += rows;
    if (rows > 0 || options_.mixture.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        FieldOf(i), ": no row of it is left to train on (", CountUses(sources_[i], RowUse::kDuplicate),
        " repeat others, ", CountUses(sources_[i], RowUse::kBad), " are bad, ",
        CountUses(sources_[i], RowUse::kValidation), " are held out); remove it from the mixture"));
  }
  if (options_.validation_fraction > 0 && validation_rows == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.validation: a share of ", Percent(options_.validation_fraction), " of ",
                     train_rows, " rows held out none",
                     CountUses(RowUse::kContaminated) > 0 ? " that is not among the training rows" : "",
                     "; use a larger share or name a dataset"));
  }
  if (wants_validation && validation_rows == 0)
    return absl::InvalidArgumentError("data.validation: no row is left after the policies");
  if (train_rows == 0) return absl::InvalidArgumentError("data: no row is left to train on");
  return absl::OkStatus();
}

int64_t RowSelection::CountUses(RowUse use) const {
  return std::count_if(records_.begin(), records_.end(),
                       [use](const RowRecord& record) { return record.use == use; });
}

int64_t RowSelection::CountUses(const SourceState& source, RowUse use) const {
  return std::count_if(records_.begin() + source.first_row, records_.begin() + source.end_row,
                       [use](const RowRecord& record) { return record.use == use; });
}

std::string RowSelection::FieldOf(size_t source) const {
  if (sources_[source].held_out) return "data.validation";
  if (options_.mixture.empty()) return "data";
  return absl::StrCat("data.mix[", source, "] (", options_.mixture[source].name, ")");
}

RowPlace RowSelection::PlaceOf(uint32_t row) const {
  const auto after =
      std::upper_bound(chunks_.begin(), chunks_.end(), row,
                       [](uint32_t r, const ChunkPlace& chunk) { return r < chunk.first_row; });
  const ChunkPlace& chunk = *(after - 1);
  const SourceState& source = sources_[chunk.source];
  return {.where = source.where, .unit = source.unit, .line = chunk.first_line + records_[row].line};
}

std::vector<int64_t> RowSelection::TrainingRowsBySource() const {
  std::vector<int64_t> rows;
  for (const SourceState& source : sources_) {
    if (!source.held_out) rows.push_back(KeptOf(source, RowUse::kTrain).rows);
  }
  return rows;
}

template <typename See>
void RowSelection::ForEachRow(uint32_t begin, uint32_t end, const See& see) const {
  auto overlong = std::lower_bound(overlong_.begin(), overlong_.end(), begin,
                                   [](const Overlong& a, uint32_t row) { return a.row < row; });
  for (uint32_t row = begin; row < end; ++row) {
    const RowRecord& record = records_[row];
    Kept kept;
    if (!record.is_overlong) {
      kept = {1, record.num_tokens, record.num_trained};
    } else {
      kept = {overlong->num_pieces, overlong->tokens_kept, overlong->trained_kept};
      ++overlong;
    }
    see(record, kept);
  }
}

RowSelection::Kept RowSelection::KeptOf(const SourceState& source, RowUse use) const {
  Kept all;
  ForEachRow(source.first_row, source.end_row, [&](const RowRecord& record, const Kept& kept) {
    if (record.use == use) all.Add(kept.rows, kept.tokens, kept.trained);
  });
  return all;
}

Findings RowSelection::CountFindings() const {
  Findings findings = bad_;
  for (const RowRecord& record : records_) {
    if (record.use == RowUse::kTrain || record.use == RowUse::kValidation)
      findings.SawTokens(record.num_tokens);
  }
  for (const Overlong& overlong : overlong_) {
    const RowRecord& record = records_[overlong.row];
    if (record.use != RowUse::kTrain && record.use != RowUse::kValidation) continue;
    const RowPlace place = PlaceOf(overlong.row);
    findings.AddOverlong(place,
                         {.num_tokens = record.num_tokens,
                          .lost_by_truncate = overlong.lost_by_truncate,
                          .lost_by_split = overlong.lost_by_split},
                         options_.max_tokens);
    if (options_.on_overlong == v1::ON_OVERLONG_TRUNCATE && overlong.num_pieces == 0) {
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
  for (const RowRecord& record : records_) {
    if (record.use == RowUse::kTrain && record.num_tokens > 0) lengths.push_back(record.num_tokens);
  }
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

v1::DataReport RowSelection::Report() const {
  v1::DataReport report;
  const Findings findings = CountFindings();
  Kept train, validation;
  int64_t num_dropped = findings.num_bad(), tokens_lost = num_bad_tokens_;
  ForEachRow(0, static_cast<uint32_t>(records_.size()), [&](const RowRecord& record, const Kept& kept) {
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
  for (const std::string& note : notes_) report.add_notes(note);
  for (const auto& [text, remark] : remarks_) {
    report.add_notes(absl::StrCat(text, " (", remark.num_rows, remark.num_rows == 1 ? " row" : " rows",
                                  ", first: ", remark.first, ")"));
  }
  if (!unused_columns_.empty())
    report.add_notes(absl::StrCat("columns not used: ", absl::StrJoin(unused_columns_, ", ")));
  report.set_num_duplicate_rows(num_duplicates_);
  report.set_num_near_duplicate_rows(num_near_duplicates_);
  report.set_num_deduplicated_rows(CountUses(RowUse::kDuplicate));
  if (num_duplicates_ + num_near_duplicates_ > 0) {
    const auto first = duplicates_.front();
    report.add_notes(absl::StrCat(
        num_duplicates_, num_duplicates_ == 1 ? " row repeats" : " rows repeat",
        " the content of an earlier row",
        aims_.find_near ? absl::StrCat(", ", num_near_duplicates_, num_near_duplicates_ == 1 ? " is" : " are",
                                       " similar to one")
                        : "",
        " (first: ", first.row(), " and ", first.other(), "); ",
        report.num_deduplicated_rows() > 0 ? absl::StrCat(report.num_deduplicated_rows(), " are left out")
                                           : "they are kept"));
  }
  report.set_num_validation_rows(validation.rows);
  report.set_num_validation_tokens(validation.tokens);
  if (validation.rows > train.rows && train.rows > 0) {
    report.add_notes(absl::StrCat("data.validation: ", validation.rows, " validation rows are more than the ",
                                  train.rows, " rows to train on"));
  }
  report.set_num_contaminated_rows(num_contaminated_);
  report.set_num_near_contaminated_rows(num_near_contaminated_);
  report.set_num_rows_read(num_rows_read());
  if (format_.has_value()) report.set_row_format(std::string(RowFormatName(*format_)));
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
