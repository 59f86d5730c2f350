#include "worker/data/chunk_keeper.h"

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace vernier::data {
namespace {}  // namespace

ChunkKeeper::ChunkKeeper(Blobs& blobs, std::string folder, std::string context, const ChunkOptions& options,
                         const Codec& codec)
    : blobs_(blobs),
      folder_(std::move(folder)),
      context_(std::move(context)),
      options_(options),
      codec_(codec) {}

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

absl::Status ChunkKeeper::Work(const RawChunk& raw, DoneChunk& done) const {
  done.digest = ChunkDigest(context_, raw);
  const std::string key = KeyOf(done.digest);
  VN_ASSIGN_OR_RETURN(std::optional<EncodedChunk> found, Find(key));
  done.fresh = !found.has_value();
  if (found.has_value()) {
    done.encoded = *std::move(found);
  } else {
    VN_ASSIGN_OR_RETURN(done.encoded, EncodeChunk(raw, options_, &codec_));
    VN_RETURN_IF_ERROR(blobs_.Put(key, EncodeChunkFile(done.encoded)));
  }
  // What waits for its turn is small.
  done.encoded.ids = {};
  done.encoded.runs = {};
  return absl::OkStatus();
}

}  // namespace vernier::data
