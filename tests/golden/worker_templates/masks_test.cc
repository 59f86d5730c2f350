// Templates that mark what the model says (trl's training twins): the tokens that we train against those that
// `transformers` marks (return_assistant_tokens_mask), token by token, with SmolLM2's tokenizer.
#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "common/digest.h"
#include "gtest/gtest.h"
#include "storage/gguf.h"
#include "tests/golden/worker_templates/template_test.h"
#include "tests/testing/cached_inputs.h"
#include "worker/data/codec.h"
#include "worker/data/encode_row.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/turn_spans.h"

namespace vernier::data {
namespace {

// Null: the model is not in the cache.
const Codec* SmolLm2() {
  static const Codec* const kCodec = []() -> const Codec* {
    const std::string path = CachedInput(kSmolLm2Gguf);
    if (path.empty()) return nullptr;
    const auto gguf = storage::Gguf::Open(path);
    CodecFiles files;
    files.tokenizer_json = TokenizerJsonFromGguf(gguf.value()).value();
    return CreateCodec(files, nullptr).value().release();
  }();
  return kCodec;
}

class MarkedMaskTest : public TemplateTest {};

TEST_P(MarkedMaskTest, TrainsTheTokensThatTransformersMarks) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  if (SmolLm2() == nullptr) GTEST_SKIP() << "no SmolLM2 in the cache (tools/setup fetches it)";
  int compared = 0;
  for (const auto& [conversation, golden] : goldens.json()["templates"][GetParam()].items()) {
    if (!golden.contains("mask")) continue;
    const auto chat =
        RenderWithTurns(*template_, goldens.Messages(conversation), goldens.Tools(conversation), false);
    if (!chat.ok()) continue;  // the template drops what the row says: turns_test.cc
    ++compared;
    RowText laid{.text = chat->text};
    for (const TurnSpan& turn : chat->turns) laid.spans.push_back({turn.begin, turn.end, 1.0F, true});
    const auto row = EncodeRow(laid, *SmolLm2());
    ASSERT_TRUE(row.ok()) << row.status();
    const auto tokens = SmolLm2()->Tokenize(laid.text);
    const auto marked = template_->Render(goldens.Messages(conversation), goldens.Tools(conversation), false);
    std::string mask;
    for (size_t t = 0; t < row->ids.size(); ++t) {
      const size_t end = t + 1 < tokens->begins.size() ? tokens->begins[t + 1] : laid.text.size();
      // transformers also trains a token that a block, even an empty one, starts inside of; we do not
      // (docs/masks.md).
      const bool straddles = std::any_of(
          marked->generation.begin(), marked->generation.end(),
          [&](const ByteSpan& block) { return tokens->begins[t] < block.begin && block.begin < end; });
      mask += row->weights[t] > 0 || straddles ? '1' : '0';
    }
    const Json got = {Sha256Hex(mask).substr(0, 16), mask.size(), std::count(mask.begin(), mask.end(), '1')};
    EXPECT_EQ(got, golden["mask"]) << conversation << "\n" << laid.text << "\n" << mask;
  }
  EXPECT_GT(compared, 0);
}

std::vector<std::string> MarkedTemplates() {
  std::vector<std::string> names;
  for (const std::string& name : TemplateGoldens::Get().TemplateNames()) {
    if (absl::EndsWith(name, "_training")) names.push_back(name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Templates, MarkedMaskTest, testing::ValuesIn(MarkedTemplates()), TemplateName);

}  // namespace
}  // namespace vernier::data
