#include "worker/data/chunk_keeper.h"

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace vernier::data {

ChunkKeeper::ChunkKeeper(Blobs& blobs, std::string folder, std::string context, const ChunkOptions& options,
                         const Codec& codec, int64_t max_bytes)
    : blobs_(blobs),
      folder_(std::move(folder)),
      context_(std::move(context)),
      options_(options),
      codec_(codec),
      max_bytes_(max_bytes) {}

std::string ChunkKeeper::KeyOf(const std::string& digest) const {
  return absl::StrCat(folder_, "/", digest, ".chunk");
}

absl::StatusOr<std::optional<EncodedChunk>> ChunkKeeper::Find(const std::string& key) const {
  const absl::StatusOr<std::string> bytes = ReadWhole(blobs_, key, kMaxChunkFileBytes);
  if (absl::IsNotFound(bytes.status())) return std::optional<EncodedChunk>();
  VN_RETURN_IF_ERROR(bytes.status());
  absl::StatusOr<EncodedChunk> chunk = ParseChunkFile(*bytes);
  if (chunk.ok()) return std::optional<EncodedChunk>(*std::move(chunk));
  VN_LOG(WARNING) << "prepared chunk was damaged, making it again key=" << key << " why=" << chunk.status();
  return std::optional<EncodedChunk>();
}

absl::Status ChunkKeeper::Work(const RawChunk& raw, const StopFn& stop, DoneChunk& done) const {
  done.digest = ChunkDigest(context_, raw);
  const std::string key = KeyOf(done.digest);
  VN_ASSIGN_OR_RETURN(std::optional<EncodedChunk> found, Find(key));
  done.fresh = !found.has_value();
  if (found.has_value()) {
    done.encoded = *std::move(found);
  } else {
    VN_ASSIGN_OR_RETURN(done.encoded, EncodeChunk(raw, options_, &codec_, stop));
    const std::string bytes = EncodeChunkFile(done.encoded);
    // Nothing larger would be read back. Trying again would make the same.
    if (static_cast<int64_t>(bytes.size()) > max_bytes_) {
      const uint32_t last = raw.entries.empty() ? 0 : raw.entries.back().line;
      return absl::InvalidArgumentError(
          absl::StrCat("line ", raw.first_line, ": the rows made of this line through line ",
                       raw.first_line + last, " take ", bytes.size(), " bytes, more than the ", max_bytes_,
                       " that are kept at once; with data.turns: expand, split their conversations or set "
                       "data.turns: last"));
    }
    VN_RETURN_IF_ERROR(blobs_.Put(key, bytes));
  }
  // What waits for its turn is small.
  done.encoded.ids = {};
  done.encoded.runs = {};
  return absl::OkStatus();
}

}  // namespace vernier::data
