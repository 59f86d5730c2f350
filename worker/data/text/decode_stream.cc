#include "worker/data/text/decode_stream.h"

#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace vernier::data {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes that the character led by `lead` has; 0: no character begins so.
size_t CharacterSize(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

// How many bytes at the front of `bytes`, which begin no whole character, could begin one. The first byte is
// a lead.
size_t BrokenPrefix(absl::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  size_t length = 1;
  for (; length < CharacterSize(lead) && length < bytes.size(); ++length) {
    const auto byte = static_cast<unsigned char>(bytes[length]);
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (length == 1) {  // overlong forms, surrogates, beyond U+10FFFF
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (byte < low || byte > high) break;
  }
  return length;
}

// Takes valid text off the front of `*bytes`, with replacements for what is broken. Leaves the start of a
// character that more bytes may complete, unless this is the end.
std::string TakeText(std::string* bytes, bool is_end) {
  std::string text;
  absl::string_view rest = *bytes;
  while (!rest.empty()) {
    const size_t valid = std::min(FirstInvalidUtf8(rest), rest.size());
    absl::StrAppend(&text, rest.substr(0, valid));
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    const size_t broken = BrokenPrefix(rest);
    const bool may_go_on =
        broken == rest.size() && broken < CharacterSize(static_cast<unsigned char>(rest[0]));
    if (may_go_on && !is_end) break;
    absl::StrAppend(&text, kReplacement);
    rest.remove_prefix(broken);
  }
  *bytes = std::string(rest);
  return text;
}

}  // namespace

std::string DecodeStream::Push(int32_t id) {
  decoder_->Push(id, &waiting_);
  return TakeText(&waiting_, /*is_end=*/false);
}

std::string DecodeStream::Finish() {
  decoder_->Finish(&waiting_);
  return TakeText(&waiting_, /*is_end=*/true);
}

std::string DecodeText(const Tokenizer& tokenizer, absl::Span<const int32_t> ids, bool skip_special) {
  std::string bytes = tokenizer.Decode(ids, skip_special);
  return TakeText(&bytes, /*is_end=*/true);
}

}  // namespace vernier::data
