#include "worker/data/formats/inflate.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {
namespace {

constexpr absl::string_view kGzipMagic = "\x1F\x8B";
constexpr absl::string_view kZstdMagic = "\x28\xB5\x2F\xFD";
// Of the window a zstd frame may ask for: 128 MiB, what `zstd` itself decompresses without being told more.
constexpr int kMaxZstdWindowLog = 27;

class GzipInflater final : public Inflater {
 public:
  GzipInflater() { VN_CHECK(inflateInit2(&stream_, 15 + 16) == Z_OK); }
  ~GzipInflater() override { inflateEnd(&stream_); }

  absl::Status CheckEnd() const override {
    return inside_ ? absl::InvalidArgumentError("the gzip stream ends in the middle: the file is cut off")
                   : absl::OkStatus();
  }

 protected:
  absl::Status Decompress(absl::string_view* in, size_t max_bytes, std::string* out) override {
    if (in->empty() && !inside_) return absl::OkStatus();
    if (padding_) {
      // Some tools fill up the last block with zeros.
      const size_t other = in->find_first_not_of('\0');
      if (other != absl::string_view::npos)
        return absl::InvalidArgumentError("other bytes follow the gzip stream");
      *in = {};
      return absl::OkStatus();
    }
    if (!inside_ && any_ && in->front() == '\0') {
      padding_ = true;
      return Decompress(in, max_bytes, out);
    }
    if (!inside_ && any_ && in->front() != kGzipMagic[0])
      return absl::InvalidArgumentError("other bytes follow the gzip stream");
    inside_ = any_ = true;
    const size_t before = out->size();
    out->resize(before + max_bytes);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in->data()));
    stream_.avail_in = static_cast<uInt>(in->size());
    stream_.next_out = reinterpret_cast<Bytef*>(out->data() + before);
    stream_.avail_out = static_cast<uInt>(max_bytes);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    in->remove_prefix(in->size() - stream_.avail_in);
    out->resize(before + max_bytes - stream_.avail_out);
    if (result == Z_STREAM_END) {
      inside_ = false;
      VN_CHECK(inflateReset(&stream_) == Z_OK);
      return absl::OkStatus();
    }
    if (result == Z_OK || result == Z_BUF_ERROR) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("the gzip stream is damaged (",
                     stream_.msg == nullptr ? absl::StrCat("zlib error ", result) : stream_.msg, ")"));
  }

 private:
  z_stream stream_ = {};
  bool inside_ = false;  // a member
  bool any_ = false;
  bool padding_ = false;  // behind the last member
};

class ZstdInflater final : public Inflater {
 public:
  ZstdInflater() : stream_(ZSTD_createDStream()) {
    VN_CHECK(stream_ != nullptr);
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  }
  ~ZstdInflater() override { ZSTD_freeDStream(stream_); }

  absl::Status CheckEnd() const override {
    return wants_more_ ? absl::InvalidArgumentError("the zstd stream ends in the middle: the file is cut off")
                       : absl::OkStatus();
  }

 protected:
  absl::Status Decompress(absl::string_view* in, size_t max_bytes, std::string* out) override {
    const size_t before = out->size();
    out->resize(before + max_bytes);
    ZSTD_inBuffer input = {in->data(), in->size(), 0};
    ZSTD_outBuffer output = {out->data() + before, max_bytes, 0};
    const size_t result = ZSTD_decompressStream(stream_, &output, &input);
    in->remove_prefix(input.pos);
    out->resize(before + output.pos);
    if (ZSTD_isError(result) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the zstd stream is damaged or followed by other bytes (", ZSTD_getErrorName(result), ")"));
    }
    // Asked without input between two frames, zstd already wants the next.
    if (input.pos > 0 || output.pos > 0) wants_more_ = result != 0;
    return absl::OkStatus();
  }

 private:
  ZSTD_DStream* const stream_;
  bool wants_more_ = false;
};

}  // namespace

absl::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "";
    case Compression::kGzip:
      return "gzip";
    case Compression::kZstd:
      return "zstd";
  }
  return "";
}

Compression RecogniseCompression(absl::string_view head) {
  if (absl::StartsWith(head, kGzipMagic)) return Compression::kGzip;
  if (absl::StartsWith(head, kZstdMagic)) return Compression::kZstd;
  return Compression::kNone;
}

std::unique_ptr<Inflater> Inflater::Create(Compression compression) {
  if (compression == Compression::kGzip) return std::make_unique<GzipInflater>();
  VN_CHECK(compression == Compression::kZstd);
  return std::make_unique<ZstdInflater>();
}

absl::Status Inflater::Step(absl::string_view* in, size_t max_bytes, std::string* out) {
  const size_t in_before = in->size(), out_before = out->size();
  VN_RETURN_IF_ERROR(Decompress(in, max_bytes, out));
  num_in_ += static_cast<int64_t>(in_before - in->size());
  num_out_ += static_cast<int64_t>(out->size() - out_before);
  if (num_out_ > kFreeInflatedBytes && num_out_ / kMaxInflateRatio > num_in_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "decompresses to more than ", kMaxInflateRatio, " times its size (", HumanBytes(num_out_),
        " so far): refused as a bomb; decompress it yourself if it is none"));
  }
  if (num_out_ > kMaxInflatedBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("decompresses to more than ", HumanBytes(kMaxInflatedBytes), "; split it"));
  }
  return absl::OkStatus();
}

}  // namespace vernier::data
