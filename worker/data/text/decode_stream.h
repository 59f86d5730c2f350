// Text from token ids that come one at a time: bytes that end inside a UTF-8 character wait for the rest of
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {

// Always valid UTF-8: what a model made wrong comes out as U+FFFD, one for each maximal broken sequence. The
// pieces of Push and Finish joined equal DecodeText of all ids. Thread-compatible; borrows the tokenizer.
class DecodeStream {
 public:
  DecodeStream(const Tokenizer& tokenizer, bool skip_special)
      : decoder_(tokenizer.NewDecoder(skip_special)) {}

  // The text that `id` completes; often its whole text, sometimes nothing.
  std::string Push(int32_t id);
  // What still waits, now that nothing follows. Afterwards a new text may begin.
  std::string Finish();

 private:
  const std::unique_ptr<IdDecoder> decoder_;
  std::string waiting_;  // the start of a character, at most 3 bytes
};

// The text of `ids` as valid UTF-8.
std::string DecodeText(const Tokenizer& tokenizer, absl::Span<const int32_t> ids, bool skip_special);

}  // namespace vernier::data
