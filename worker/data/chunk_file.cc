#include "worker/data/chunk_file.h"

#include <array>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

constexpr absl::string_view kMagic = "VNCHUNK1";
constexpr size_t kNumSections = 7;  // rows, signatures, turns, pieces, ids, runs, notes
constexpr size_t kDigestBytes = 64;
// Magic, sizes in bytes, digest of everything behind it.
constexpr size_t kHeaderBytes = 8 + 8 * kNumSections + kDigestBytes;

using Sizes = std::array<uint64_t, kNumSections>;

void AddNumber(Sha256& hash, uint64_t number) {
  hash.Update({reinterpret_cast<const char*>(&number), sizeof(number)});
}

template <typename T>
absl::string_view BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <typename T>
absl::StatusOr<std::vector<T>> ValuesOf(absl::string_view bytes) {
  if (bytes.size() % sizeof(T) != 0) return absl::DataLossError("a section has part of an entry");
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Json TextsOf(const std::vector<EncodedChunk::RowText>& texts) {
  Json list = Json::array();
  for (const auto& [row, text] : texts) list.push_back(Json::array({row, text}));
  return list;
}

std::string NotesOf(const EncodedChunk& chunk) {
  Json notes;
  notes["reasons"] = TextsOf(chunk.reasons);
  notes["row_ids"] = TextsOf(chunk.row_ids);
  notes["unused_columns"] = chunk.unused_columns;
  notes["system_prompts"] = TextsOf(chunk.system_prompts);
  notes["remarks"] = Json::array();
  for (const EncodedChunk::Remark& remark : chunk.remarks)
    notes["remarks"].push_back(Json::array({remark.first_row, remark.num_rows, remark.text}));
  return notes.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Only after the digest was found right: our own writer made it.
absl::Status ReadNotes(absl::string_view text, EncodedChunk& chunk) {
  const Json notes = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto list = [&](const char* name) { return notes.is_object() ? notes.value(name, Json()) : Json(); };
  const auto texts = [&](const char* name, std::vector<EncodedChunk::RowText>& out) {
    for (const Json& entry : list(name)) {
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number_unsigned() || !entry[1].is_string() ||
          entry[0].get<uint64_t>() >= chunk.rows.size()) {
        return false;
      }
      out.emplace_back(entry[0].get<uint32_t>(), entry[1].get<std::string>());
    }
    return true;
  };
  if (!texts("reasons", chunk.reasons) || !texts("row_ids", chunk.row_ids) ||
      !texts("system_prompts", chunk.system_prompts)) {
    return absl::DataLossError("its notes are malformed");
  }
  for (const Json& remark : list("remarks")) {
    if (!remark.is_array() || remark.size() != 3 || !remark[0].is_number_unsigned() ||
        !remark[1].is_number_unsigned() || !remark[2].is_string() ||
        remark[0].get<uint64_t>() >= chunk.rows.size()) {
      return absl::DataLossError("its notes are malformed");
    }
    chunk.remarks.push_back({.first_row = remark[0].get<uint32_t>(),
                             .num_rows = remark[1].get<uint32_t>(),
                             .text = remark[2].get<std::string>()});
  }
  for (const Json& column : list("unused_columns")) {
    if (!column.is_string()) return absl::DataLossError("its notes are malformed");
    chunk.unused_columns.push_back(column.get<std::string>());
  }
  return absl::OkStatus();
}

absl::StatusOr<Sizes> ParseHeader(absl::string_view bytes, int64_t file_bytes) {
  if (bytes.size() < kHeaderBytes || bytes.substr(0, kMagic.size()) != kMagic)
    return absl::DataLossError("it is no chunk file");
  Sizes sizes;
  std::memcpy(sizes.data(), bytes.data() + kMagic.size(), sizeof(sizes));
  uint64_t all = kHeaderBytes;
  for (const uint64_t size : sizes) {
    if (size > static_cast<uint64_t>(kMaxChunkFileBytes)) return absl::DataLossError("its header is wrong");
    all += size;
  }
  if (all != static_cast<uint64_t>(file_bytes)) return absl::DataLossError("it was cut");
  return sizes;
}

}  // namespace

std::string ChunkDigest(absl::string_view context, const RawChunk& raw) {
  Sha256 hash;
  AddNumber(hash, context.size());
  hash.Update(context);
  for (const RawChunk::Entry& entry : raw.entries) {
    AddNumber(hash, entry.line);
    AddNumber(hash, entry.end - entry.begin);
    AddNumber(hash, entry.problem.size());
    hash.Update(entry.problem);
  }
  hash.Update(raw.bytes);
  return hash.FinishHex();
}

std::string EncodeChunkFile(const EncodedChunk& chunk) {
  const std::string notes = NotesOf(chunk);
  const std::array<absl::string_view, kNumSections> sections = {BytesOf(chunk.rows),
                                                                BytesOf(chunk.signatures),
                                                                BytesOf(chunk.turn_tokens),
                                                                BytesOf(chunk.pieces),
                                                                BytesOf(chunk.ids),
                                                                BytesOf(chunk.runs),
                                                                notes};
  Sizes sizes;
  Sha256 hash;
  size_t all = kHeaderBytes;
  for (size_t i = 0; i < kNumSections; ++i) {
    sizes[i] = sections[i].size();
    all += sections[i].size();
    hash.Update(sections[i]);
  }
  std::string bytes;
  bytes.reserve(all);
  absl::StrAppend(&bytes, kMagic);
  bytes.append(reinterpret_cast<const char*>(sizes.data()), sizeof(sizes));
  bytes += hash.FinishHex();
  for (const absl::string_view section : sections) absl::StrAppend(&bytes, section);
  return bytes;
}

absl::StatusOr<EncodedChunk> ParseChunkFile(absl::string_view bytes) {
  VN_ASSIGN_OR_RETURN(const Sizes sizes, ParseHeader(bytes, static_cast<int64_t>(bytes.size())));
  const absl::string_view digest = bytes.substr(kHeaderBytes - kDigestBytes, kDigestBytes);
  bytes.remove_prefix(kHeaderBytes);
  if (Sha256Hex(bytes) != digest) return absl::DataLossError("its digest differs from its bytes");
  std::array<absl::string_view, kNumSections> sections;
  for (size_t i = 0; i < kNumSections; ++i) {
    sections[i] = bytes.substr(0, sizes[i]);
    bytes.remove_prefix(sizes[i]);
  }
  EncodedChunk chunk;
  VN_ASSIGN_OR_RETURN(chunk.rows, ValuesOf<RowFacts>(sections[0]));
  VN_ASSIGN_OR_RETURN(chunk.signatures, ValuesOf<MinHashSignature>(sections[1]));
  VN_ASSIGN_OR_RETURN(chunk.turn_tokens, ValuesOf<uint32_t>(sections[2]));
  VN_ASSIGN_OR_RETURN(chunk.pieces, ValuesOf<PieceFacts>(sections[3]));
  VN_ASSIGN_OR_RETURN(chunk.ids, ValuesOf<int32_t>(sections[4]));
  VN_ASSIGN_OR_RETURN(chunk.runs, ValuesOf<WeightRun>(sections[5]));
  VN_RETURN_IF_ERROR(ReadNotes(sections[6], chunk));
  return chunk;
}

absl::StatusOr<ChunkSections> ChunkSections::Open(Blobs& blobs, std::string key) {
  VN_ASSIGN_OR_RETURN(const int64_t size, blobs.Size(key));
  VN_ASSIGN_OR_RETURN(const std::string header, blobs.ReadAt(key, 0, kHeaderBytes));
  const absl::StatusOr<Sizes> sizes = ParseHeader(header, size);
  if (!sizes.ok()) return Annotate(sizes.status(), key);
  ChunkSections chunk;
  int64_t at = kHeaderBytes;
  std::array<Place, kNumSections> places;
  for (size_t i = 0; i < kNumSections; ++i) {
    places[i] = {at, at + static_cast<int64_t>((*sizes)[i])};
    at = places[i].end;
  }
  chunk.rows_ = places[0];
  chunk.signatures_ = places[1];
  chunk.pieces_ = places[3];
  chunk.ids_ = places[4];
  chunk.runs_ = places[5];
  chunk.blobs_ = &blobs;
  chunk.key_ = std::move(key);
  return chunk;
}

template <typename T>
absl::StatusOr<std::vector<T>> ChunkSections::Read(const Place& place) const {
  const int64_t size = place.end - place.begin;
  if (size == 0) return std::vector<T>();
  VN_ASSIGN_OR_RETURN(const std::string bytes, blobs_->ReadAt(key_, place.begin, size));
  if (static_cast<int64_t>(bytes.size()) != size)
    return absl::DataLossError(absl::StrCat(key_, ": it was cut while it was read"));
  return ValuesOf<T>(bytes);
}

absl::StatusOr<std::vector<RowFacts>> ChunkSections::Rows() const { return Read<RowFacts>(rows_); }
absl::StatusOr<std::vector<MinHashSignature>> ChunkSections::Signatures() const {
  return Read<MinHashSignature>(signatures_);
}
absl::StatusOr<std::vector<PieceFacts>> ChunkSections::Pieces() const { return Read<PieceFacts>(pieces_); }
absl::StatusOr<std::vector<int32_t>> ChunkSections::Ids() const { return Read<int32_t>(ids_); }
absl::StatusOr<std::vector<WeightRun>> ChunkSections::Runs() const { return Read<WeightRun>(runs_); }

}  // namespace vernier::data
