// tokenizer.model: read, turned into tokenizer.json, and used on a text of several scripts.
#include <cstddef>
#include <cstdint>

#include "common/check.h"
#include "worker/data/text/sentencepiece_model.h"
#include "worker/data/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr absl::string_view kText =
      "Hello  world's 2024\n\tcaf\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80<s> ";
  const auto text =
      vernier::data::TokenizerJsonFromSentencePiece({reinterpret_cast<const char*>(data), size}, "");
  if (!text.ok()) {
    VN_CHECK(absl::IsInvalidArgument(text.status()));
    return 0;
  }
  const auto tokenizer = vernier::data::Tokenizer::Create(*text, "");
  if (!tokenizer.ok()) {  // rules that are damaged
    VN_CHECK(absl::IsInvalidArgument(tokenizer.status()));
    return 0;
  }
  const auto tokens = (*tokenizer)->Encode(kText);
  if (!tokens.ok()) {
    VN_CHECK(absl::IsInvalidArgument(tokens.status()));
    return 0;
  }
  size_t last = 0;
  for (size_t i = 0; i < tokens->ids.size(); ++i) {
    VN_CHECK(tokens->ids[i] >= 0 && tokens->ids[i] < (*tokenizer)->vocab_size());
    VN_CHECK(tokens->begins[i] >= last && tokens->begins[i] <= kText.size());
    last = tokens->begins[i];
  }
  (void)(*tokenizer)->Decode(tokens->ids, true);
  return 0;
}
