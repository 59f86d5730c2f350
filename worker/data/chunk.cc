#include "worker/data/chunk.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/policies.h"
#include "worker/data/rows.h"
#include "worker/data/text/chat_template.h"

namespace vernier::data {
namespace {

static_assert(std::endian::native == std::endian::little, "chunk files are little-endian");

// Changing it would move rows between splits of existing datasets.
constexpr absl::string_view kSplitKey = "vernier validation split v1:";

constexpr size_t kMaxUnusedColumns = 64;
constexpr size_t kMaxSystemPrompts = 4;
constexpr size_t kMaxRemarks = 32;
constexpr int kMaxEndlessRows = 4;
constexpr size_t kMaxShownId = 60;
constexpr size_t kMaxShownColumn = 40;

uint64_t HexNumber(absl::string_view digits) {
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return number;
}

absl::string_view WhyNothing(const Row& row, const EncodeOptions& options) {
  if (row.format != RowFormat::kMessages) return "";
  bool any = false, weighted = false;
  for (const Message& message : row.messages) {
    any = any || message.role == "assistant";
    weighted = weighted || (message.role == "assistant" && message.weight > 0);
  }
  if (!any) return " (no assistant message)";
  if (!weighted) return " (every assistant message has weight 0)";
  return options.reasoning == v1::REASONING_MASK ? " (data.reasoning: mask leaves nothing of its answers)"
                                                 : "";
}

// Encodes one chunk, row by row.
class ChunkEncoder {
 public:
  ChunkEncoder(const RawChunk& raw, const ChunkOptions& options, const Codec* codec, const StopFn& stop)
      : raw_(raw), options_(options), codec_(codec), stop_(stop) {
    chunk_.rows.reserve(raw.entries.size());
  }

  absl::StatusOr<EncodedChunk> Run() {
    for (const RawChunk::Entry& entry : raw_.entries) {
      VN_RETURN_IF_ERROR(CheckStop());
      chunk_.rows.emplace_back().line = entry.line;
      const absl::Status status =
          entry.problem.empty() ? Encode(raw_.BytesOf(entry)) : absl::InvalidArgumentError(entry.problem);
      if (status.ok()) continue;
      // Only what is wrong with the row itself is a bad row; a missing template or our own bug ends the job.
      if (absl::IsCancelled(status)) return status;
      if (!absl::IsInvalidArgument(status)) {
        return Annotate(status, absl::StrCat("line ", raw_.first_line + entry.line));
      }
      // Each such row takes seconds; a template that does so again and again does it with every row.
      if (SpentItsBudget(status) && ++num_endless_ == kMaxEndlessRows) {
        return absl::FailedPreconditionError(
            absl::StrCat("line ", raw_.first_line + entry.line, ": ", status.message(), "; it is the ",
                         kMaxEndlessRows, "th row with which it does; use another data.chat_template"));
      }
      facts().flags |= RowFacts::kBad;
      facts().num_pieces = 0;
      if (chunk_.reasons.size() < Findings::kMaxListed)
        chunk_.reasons.emplace_back(row_index(), std::string(status.message()));
    }
    chunk_.unused_columns.assign(unused_.begin(), unused_.end());
    return std::move(chunk_);
  }

 private:
  RowFacts& facts() { return chunk_.rows.back(); }
  uint32_t row_index() const { return static_cast<uint32_t>(chunk_.rows.size() - 1); }

  absl::Status CheckStop() const {
    return stop_ && stop_() ? absl::CancelledError("the rows are no longer wanted") : absl::OkStatus();
  }

  absl::Status Encode(absl::string_view bytes) {
    VN_ASSIGN_OR_RETURN(Row row, ParseRow(bytes, options_.rows));
    // First: rows that differ in nothing else are the same.
    if (codec_ != nullptr) VN_RETURN_IF_ERROR(codec_->DropReasoning(row));
    Describe(row);
    if (codec_ == nullptr || row.format == RowFormat::kPreference) {
      facts().num_pieces = 1;
      Sign(row);
      return absl::OkStatus();
    }
    if (!CheckEncodeOptions(options_.encode, row.format).ok()) {
      facts().flags |= RowFacts::kContradicted;
      return absl::OkStatus();
    }
    VN_ASSIGN_OR_RETURN(const std::vector<EncodedRow> encoded, EncodeRows(row));
    for (const EncodedRow& one : encoded) {
      facts().num_tokens += static_cast<uint32_t>(one.ids.size());
      facts().num_trained += static_cast<uint32_t>(one.num_trained());
    }
    if (facts().num_trained == 0) {
      const std::string what = encoded.empty()
                                   ? "no turn of the row is trained"
                                   : absl::StrCat("0 trained tokens in the row's ", facts().num_tokens);
      return absl::InvalidArgumentError(absl::StrCat(what, WhyNothing(row, options_.encode)));
    }
    Sign(row);
    for (const EncodedRow& one : encoded) Keep(one);
    if (IsExpanded(row, options_.encode)) {
      facts().num_turns = static_cast<uint16_t>(encoded.size());
      for (const EncodedRow& one : encoded)
        chunk_.turn_tokens.push_back(static_cast<uint32_t>(one.ids.size()));
    }
    return absl::OkStatus();
  }

  // The row, or those that TURNS_EXPAND makes of it.
  absl::StatusOr<std::vector<EncodedRow>> EncodeRows(const Row& row) {
    std::vector<EncodedRow> all;
    int64_t num_tokens = 0;
    bool hides_reasoning = false;
    std::string system_prompt;
    const bool expanded = IsExpanded(row, options_.encode);
    const auto encode = [&](const Row& trained) -> absl::Status {
      VN_RETURN_IF_ERROR(CheckStop());
      VN_ASSIGN_OR_RETURN(RowText laid, LayOutRow(trained, options_.encode, *codec_));
      VN_ASSIGN_OR_RETURN(EncodedRow encoded, EncodeRow(laid, *codec_));
      if (expanded && encoded.num_trained() == 0) {
        return absl::InvalidArgumentError(absl::StrCat("messages[", trained.messages.size() - 1,
                                                       "]: 0 trained tokens in the row made of this turn",
                                                       WhyNothing(trained, options_.encode)));
      }
      hides_reasoning = hides_reasoning || laid.hides_reasoning;
      if (all.empty()) system_prompt = std::move(laid.implicit_system_prompt);
      num_tokens += static_cast<int64_t>(encoded.ids.size());
      all.push_back(std::move(encoded));
      if (num_tokens <= kMaxExpandedTokens || !expanded) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("data.turns: expand makes a row of each trained turn, and those of the first ",
                       all.size(), " of its trained turns (the row has ", row.messages.size(),
                       " messages) together have ", num_tokens, " tokens, more than the limit of ",
                       kMaxExpandedTokens, "; split the conversation, or set data.turns: last"));
    };
    VN_RETURN_IF_ERROR(ForEachTrainedRow(row, options_.encode, encode));
    if (hides_reasoning) NoteRemark("the chat template leaves out reasoning, which is not trained");
    NoteSystemPrompt(std::move(system_prompt));
    return all;
  }

  void Describe(const Row& row) {
    const std::string digest = row.ContentDigest();
    facts().flags |= RowFacts::kParsed;
    facts().format = static_cast<uint8_t>(row.format);
    facts().form = static_cast<uint8_t>(row.form);
    facts().content = ShortDigestOf(digest);
    facts().split_bits = SplitBits(digest);
    if (row.id.has_value()) {
      facts().flags |= RowFacts::kHasId;
      facts().id = ShortDigestOf(Sha256Hex(*row.id));
      chunk_.row_ids.emplace_back(row_index(), Excerpt(*row.id, kMaxShownId));
    }
    for (const std::string& remark : row.remarks) NoteRemark(remark);
    for (const std::string& column : row.unused_columns) {
      if (unused_.size() < kMaxUnusedColumns) unused_.insert(Excerpt(column, kMaxShownColumn));
    }
  }

  void Sign(const Row& row) {
    if (!options_.sign) return;
    const std::optional<MinHashSignature> signature = MinHash(ComparableText(row), options_.ngram_words);
    if (!signature.has_value()) return;
    facts().flags |= RowFacts::kSigned;
    chunk_.signatures.push_back(*signature);
  }

  void NoteRemark(const std::string& text) {
    const auto known = std::find_if(chunk_.remarks.begin(), chunk_.remarks.end(),
                                    [&](const EncodedChunk::Remark& remark) { return remark.text == text; });
    if (known != chunk_.remarks.end()) {
      ++known->num_rows;
    } else if (chunk_.remarks.size() < kMaxRemarks) {
      chunk_.remarks.push_back({.first_row = row_index(), .num_rows = 1, .text = text});
    }
  }

  void NoteSystemPrompt(std::string prompt) {
    if (prompt.empty() || chunk_.system_prompts.size() == kMaxSystemPrompts) return;
    const bool known = std::any_of(chunk_.system_prompts.begin(), chunk_.system_prompts.end(),
                                   [&](const auto& seen) { return seen.second == prompt; });
    if (!known) chunk_.system_prompts.emplace_back(row_index(), std::move(prompt));
  }

  void Keep(const EncodedRow& encoded) {
    if (static_cast<int64_t>(encoded.ids.size()) <= options_.max_tokens) return Append(encoded);
    facts().lost_by_truncate +=
        static_cast<uint32_t>(TokensLost(encoded, options_.max_tokens, v1::ON_OVERLONG_TRUNCATE));
    facts().lost_by_split +=
        static_cast<uint32_t>(TokensLost(encoded, options_.max_tokens, v1::ON_OVERLONG_SPLIT));
    for (const EncodedRow& piece : CutRow(encoded, options_.max_tokens, options_.on_overlong).pieces)
      Append(piece);
  }

  void Append(const EncodedRow& piece) {
    ++facts().num_pieces;
    chunk_.pieces.push_back({.row = row_index(),
                             .num_tokens = static_cast<uint32_t>(piece.ids.size()),
                             .num_trained = static_cast<uint32_t>(piece.num_trained()),
                             .prompt_length = static_cast<uint32_t>(piece.prompt_length)});
    chunk_.ids.insert(chunk_.ids.end(), piece.ids.begin(), piece.ids.end());
    const size_t first_run = chunk_.runs.size();
    for (const float weight : piece.weights) {
      if (chunk_.runs.size() == first_run || chunk_.runs.back().weight != weight) {
        chunk_.runs.push_back({.count = 0, .weight = weight});
      }
      ++chunk_.runs.back().count;
    }
  }

  const RawChunk& raw_;
  const ChunkOptions& options_;
  const Codec* const codec_;
  const StopFn& stop_;
  EncodedChunk chunk_;
  std::set<std::string> unused_;
  int num_endless_ = 0;  // rows with which the template did not come to an end
};

}  // namespace

absl::StatusOr<RawChunk> ReadChunk(Source& source) {
  RawChunk chunk;
  Record record;
  while (static_cast<int64_t>(chunk.bytes.size()) < kChunkBytes &&
         static_cast<int64_t>(chunk.entries.size()) < kChunkRecords) {
    VN_ASSIGN_OR_RETURN(const bool more, source.Next(&record));
    if (!more) break;
    if (chunk.entries.empty()) chunk.first_line = record.line;
    RawChunk::Entry& entry = chunk.entries.emplace_back();
    entry.line = static_cast<uint32_t>(record.line - chunk.first_line);
    entry.begin = chunk.bytes.size();
    absl::StrAppend(&chunk.bytes, record.bytes);
    entry.end = chunk.bytes.size();
    entry.problem = std::move(record.problem);
  }
  return chunk;
}

ShortDigest ShortDigestOf(absl::string_view hex) {
  VN_CHECK(hex.size() >= 32);
  return {.high = HexNumber(hex.substr(0, 16)), .low = HexNumber(hex.substr(16, 16))};
}

absl::StatusOr<EncodedChunk> EncodeChunk(const RawChunk& raw, const ChunkOptions& options, const Codec* codec,
                                         const StopFn& stop) {
  return ChunkEncoder(raw, options, codec, stop).Run();
}

std::string ComparableText(const Row& row) {
  std::string text;
  for (const std::string* part : {&row.text, &row.prompt, &row.completion, &row.chosen, &row.rejected}) {
    if (!part->empty()) absl::StrAppend(&text, *part, "\n");
  }
  for (const auto* messages : {&row.messages, &row.chosen_messages, &row.rejected_messages}) {
    for (const Message& message : *messages) {
      if (message.role == "system" || message.role == "developer") continue;
      absl::StrAppend(&text, message.content, "\n");
      for (const char* key : {"tool_calls", "function_call"}) {
        const auto calls = message.object.find(key);
        if (calls != message.object.end() && !calls->is_null()) absl::StrAppend(&text, calls->dump(), "\n");
      }
    }
  }
  return text;
}

uint64_t SplitBits(absl::string_view content_digest) {
  // 52 bits: exact in a double.
  return HexNumber(Sha256Hex(absl::StrCat(kSplitKey, content_digest)).substr(0, 13));
}

}  // namespace vernier::data
