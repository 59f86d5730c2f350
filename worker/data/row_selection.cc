#include "worker/data/row_selection.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {
namespace {

constexpr int kMaxPairs = 5;
constexpr size_t kMaxUnusedColumns = 64;
constexpr size_t kMaxSystemPrompts = 3;
constexpr size_t kMaxPromptBytes = 2000;
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
  absl::Span<const uint32_t> turn_tokens = chunk.turn_tokens;
  for (uint32_t i = 0; i < chunk.rows.size(); ++i) {
    const RowFacts& facts = chunk.rows[i];
    if (IsFull(current().held_out)) {
      Note(absl::StrCat(NotePrefix(), "rows after ", current().unit, " ", last_line_,
                        " are not used (max_rows)"));
      return false;
    }
    if (static_cast<int64_t>(records_.size()) >= kMaxPreparedRows) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data: more than ", kMaxPreparedRows, " rows; limit them with data.max_rows or split the job"));
    }
    Incoming in{.chunk = chunk, .facts = facts, .index = i};
    if (facts.Has(RowFacts::kSigned)) in.signature = signature++;
    in.turn_tokens = turn_tokens.subspan(0, facts.num_turns);
    turn_tokens.remove_prefix(in.turn_tokens.size());
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
  for (const std::string& note : source.Notes()) Note(absl::StrCat(NotePrefix(), note));
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
  record.in_pieces = in.facts.num_tokens > options_.max_tokens || !in.turn_tokens.empty();
  if (record.in_pieces) NotePieces(in);
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

void RowSelection::NotePieces(const Incoming& in) {
  Pieced& pieced = pieced_.emplace_back();
  pieced.row = in.row;
  pieced.lost_by_truncate = in.facts.lost_by_truncate;
  pieced.lost_by_split = in.facts.lost_by_split;
  pieced.turn_tokens.assign(in.turn_tokens.begin(), in.turn_tokens.end());
  const uint32_t whole[] = {in.facts.num_tokens};
  for (const uint32_t tokens : in.turn_tokens.empty() ? absl::MakeConstSpan(whole) : in.turn_tokens) {
    pieced.longest = std::max(pieced.longest, tokens);
    if (tokens > options_.max_tokens) pieced.lost_by_drop += tokens;
  }
  auto piece = std::lower_bound(in.chunk.pieces.begin(), in.chunk.pieces.end(), in.index,
                                [](const PieceFacts& a, uint32_t row) { return a.row < row; });
  for (; piece != in.chunk.pieces.end() && piece->row == in.index; ++piece) {
    ++pieced.num_pieces;
    pieced.tokens_kept += piece->num_tokens;
    pieced.trained_kept += piece->num_trained;
  }
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
  Note(absl::StrCat(NotePrefix(), FormNote(*current().form)));
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
    Remark& known = remarks_[absl::StrCat(NotePrefix(), remark.text)];
    if (known.num_rows == 0)
      known.first = absl::StrCat(current().unit, " ", first_line + chunk.rows[remark.first_row].line);
    known.num_rows += remark.num_rows;
  }
  for (const auto& [row, prompt] : chunk.system_prompts) {
    if (system_prompts_.size() == kMaxSystemPrompts)
      return;  // a template that writes another one for each row
    const std::string shown = prompt.size() <= kMaxPromptBytes ? prompt : Excerpt(prompt, kMaxPromptBytes);
    if (std::find(system_prompts_.begin(), system_prompts_.end(), shown) != system_prompts_.end()) continue;
    system_prompts_.push_back(shown);
    Note(absl::StrCat("the chat template adds a system prompt to rows without one (first: ", current().where,
                      current().unit, " ", first_line + chunk.rows[row].line, "): \"", Excerpt(prompt, 200),
                      "\""));
  }
}

// "a.jsonl: ".
std::string RowSelection::NotePrefix() const {
  const std::string& where = sources_.back().where;
  return where.empty() ? "" : absl::StrCat(absl::StripTrailingAsciiWhitespace(where), ": ");
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
  contamination_note_ = absl::StrCat(count, options_.on_contamination == v1::ON_CONTAMINATION_DROP
                                                ? "; they are left out"
                                                : "; the validation loss is better than on new rows");
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
                     Counted(train_rows, "row"), " held out none",
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

}  // namespace vernier::data
