// A chunk: the unit in which rows are read, prepared in parallel, kept and counted. Where one ends depends on
// nothing but the bytes of the dataset.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/codec.h"
#include "worker/data/minhash.h"
#include "worker/data/prepare_options.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// A chunk ends behind the record that brings it to either.
inline constexpr int64_t kChunkBytes = int64_t{2} << 20;
inline constexpr int64_t kChunkRecords = 8192;

// Records as a source gave them.
struct RawChunk {
  struct Entry {
    uint32_t line = 0;          // counted from `first_line`
    size_t begin = 0, end = 0;  // in `bytes`
    std::string problem;        // not empty: the record cannot be read
  };
  int64_t first_line = 1;
  std::string bytes;
  std::vector<Entry> entries;

  absl::string_view BytesOf(const Entry& entry) const {
    return absl::string_view(bytes).substr(entry.begin, entry.end - entry.begin);
  }
};

// The next chunk of `source`, empty at the end. Errors of the source.
absl::StatusOr<RawChunk> ReadChunk(Source& source);

// What a chunk's preparation depends on besides its records and the model.
struct ChunkOptions {
  RowOptions rows;
  EncodeOptions encode;
  int64_t max_tokens = 0;
  v1::OnOverlong on_overlong = v1::ON_OVERLONG_REFUSE;
  bool sign = false;  // makes signatures, for near duplicates
  int ngram_words = 0;
};

// The first half of a SHA-256.
struct ShortDigest {
  uint64_t high = 0, low = 0;
  auto operator<=>(const ShortDigest&) const = default;
};
// Of `hex`, at least 32 hexadecimal digits.
ShortDigest ShortDigestOf(absl::string_view hex);

// What is known of a row. As it lies in chunk files: no padding, little-endian.
struct RowFacts {
  enum Flag : uint32_t {
    kParsed = 1,         // its format and content are known
    kBad = 2,            // it cannot be trained on; see EncodedChunk::reasons
    kHasId = 4,          //
    kSigned = 8,         // it has a signature
    kContradicted = 16,  // the options mean nothing for rows of its format: not encoded
  };
  ShortDigest content;      // kParsed; of what the model can see of it
  ShortDigest id;           // kHasId
  uint64_t split_bits = 0;  // kParsed; SplitPoint of its content, times 2^52
  uint32_t line = 0;        // counted from the chunk's first line
  uint8_t format = 0;       // kParsed; RowFormat
  uint8_t form = 0;         // kParsed; RowForm
  uint16_t num_turns = 0;   // rows made of it by TURNS_EXPAND; 0: it was not expanded
  uint32_t flags = 0;
  uint32_t num_tokens = 0;        // before any policy; of all rows made of it together
  uint32_t num_trained = 0;       //
  uint32_t num_pieces = 0;        // after on_overlong; 0: the row goes. 1 for rows that are only parsed
  uint32_t lost_by_truncate = 0;  // overlong rows only
  uint32_t lost_by_split = 0;     //

  bool Has(Flag flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(RowFacts) == 72);

// A row's piece after TURNS_EXPAND and on_overlong.
struct PieceFacts {
  uint32_t row = 0;  // index into EncodedChunk::rows
  uint32_t num_tokens = 0;
  uint32_t num_trained = 0;
  uint32_t prompt_length = 0;
};
static_assert(sizeof(PieceFacts) == 16);

// `count` neighbouring tokens of equal weight.
struct WeightRun {
  uint32_t count = 0;
  float weight = 0.0F;
};

struct EncodedChunk {
  using RowText = std::pair<uint32_t, std::string>;  // row, text
  // What reading changed, and in how many rows.
  struct Remark {
    uint32_t first_row = 0, num_rows = 0;
    std::string text;
  };

  std::vector<RowFacts> rows;
  std::vector<MinHashSignature> signatures;  // of the rows with kSigned, in order
  std::vector<uint32_t> turn_tokens;  // of every row that TURNS_EXPAND made, before any policy, in order
  std::vector<PieceFacts> pieces;     // in order of rows
  std::vector<int32_t> ids;           // of all pieces, end to end
  std::vector<WeightRun> runs;        // of all pieces; a run never crosses the end of one
  std::vector<RowText> reasons;       // why rows are bad: the first 20
  std::vector<RowText> row_ids;       // of rows with kHasId, shortened for messages
  std::vector<std::string> unused_columns;  // sorted, at most 64
  std::vector<RowText> system_prompts;      // that the template added: the first 4 different ones
  std::vector<Remark> remarks;              // at most 32 different ones
};

// Whether the work may end here because nobody wants its result. Asked often, from the thread that works.
using StopFn = std::function<bool()>;

// Parses, renders, tokenises, masks and cuts every row. With `codec` null rows are only parsed, and so are
// preference pairs always. Thread-safe. An error ends the whole run (a missing chat template): what is wrong
// with a row is a finding in the result. Cancelled: `stop`, which may be empty and is asked before each row
// and each row made of one, said so.
absl::StatusOr<EncodedChunk> EncodeChunk(const RawChunk& raw, const ChunkOptions& options, const Codec* codec,
                                         const StopFn& stop = nullptr);

// The text by which rows are compared: what people and models wrote in it, without system messages and tool
// definitions, which whole datasets share.
std::string ComparableText(const Row& row);

// The share of [0, 1) that decides on which side of the split a row with this content digest falls, times
// 2^52.
uint64_t SplitBits(absl::string_view content_digest);

}  // namespace vernier::data
