#include "worker/models/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/testing/family_model.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Answers every text with the successor of its last token: 5 follows 4. The hidden state is the one-hot
// token, the head shifts it by one.
class Successor final : public CausalLm {
 public:
  explicit Successor(int64_t vocab_size) {
    config_.vocab_size = vocab_size;
    config_.max_positions = 16;
    head_ = at::eye(vocab_size).roll(1, 0);
  }
  at::Tensor Hidden(const TokenBatch& batch, const Overlay&, KvCache* cache) const override {
    EXPECT_FALSE(at::GradMode::is_enabled());
    lengths.push_back(batch.ids_T.numel());
    cache->length += batch.ids_T.numel();
    return at::one_hot(batch.ids_T, config_.vocab_size).to(at::kFloat) * sharpness;
  }
  at::Tensor HeadWeight(const Overlay&) const override { return head_; }

  mutable std::vector<int64_t> lengths;  // of every call of Hidden
  float sharpness = 10.0f;

 private:
  at::Tensor head_;
};

TEST(GenerateTest, ReadsThePromptOnceAndThenOneTokenAtATime) {
  const Successor model(10);
  const auto got = Generate(model, Overlay(), {2, 3, 4}, {.max_new_tokens = 4});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->ids, ElementsAre(5, 6, 7, 8));
  EXPECT_FALSE(got->stopped);
  EXPECT_THAT(model.lengths, ElementsAre(3, 1, 1, 1));
}

TEST(GenerateTest, AStopIdEndsTheTextAndIsNotPartOfIt) {
  const Successor model(10);
  const auto got = Generate(model, Overlay(), {4}, {.max_new_tokens = 9, .stop_ids = {1, 7}});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->ids, ElementsAre(5, 6));
  EXPECT_TRUE(got->stopped);
}

TEST(GenerateTest, TheCallbackSeesEveryTokenAndMayEndTheText) {
  const Successor model(10);
  std::vector<int64_t> seen;
  const auto got = Generate(model, Overlay(), {0}, {.max_new_tokens = 9}, [&](int64_t id) {
    seen.push_back(id);
    return id != 3;
  });
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->ids, ElementsAre(1, 2, 3));
  EXPECT_EQ(seen, got->ids);
  EXPECT_TRUE(got->stopped);
}

TEST(GenerateTest, ThePromptAndTheNewTokensMayFillTheContextButNotMore) {
  const Successor model(40);
  const std::vector<int64_t> prompt(10, 1);
  EXPECT_TRUE(Generate(model, Overlay(), prompt, {.max_new_tokens = 6}).ok());
  const auto got = Generate(model, Overlay(), prompt, {.max_new_tokens = 7});
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(got.status().message(), HasSubstr("10 tokens and 7 new ones exceed the model's context of 16"));
  EXPECT_FALSE(Generate(model, Overlay(), prompt, {.max_new_tokens = INT64_MAX}).ok());
}

TEST(GenerateTest, BadPromptsAndOptionsAreInvalid) {
  const Successor model(10);
  const auto message = [&](const std::vector<int64_t>& prompt, const GenerateOptions& options) {
    const auto got = Generate(model, Overlay(), prompt, options);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(got.status().message());
  };
  EXPECT_THAT(message({}, {.max_new_tokens = 1}), HasSubstr("prompt is empty"));
  EXPECT_THAT(message({1, 10}, {.max_new_tokens = 1}), HasSubstr("token 1 of the prompt is 10"));
  EXPECT_THAT(message({-1}, {.max_new_tokens = 1}), HasSubstr("token 0 of the prompt is -1"));
  EXPECT_THAT(message({1}, {.max_new_tokens = 0}), HasSubstr("max_new_tokens"));
}

TEST(GenerateTest, EqualSeedsGiveEqualTextsAndContinueEachOther) {
  Successor model(10);
  model.sharpness = 1.0f;
  const auto texts = [&](std::vector<int64_t> prompt, int64_t count, uint64_t seed) {
    return Generate(model, Overlay(), prompt, {.max_new_tokens = count, .temperature = 1.0, .seed = seed})
        ->ids;
  };
  const std::vector<int64_t> whole = texts({4}, 12, 5);
  EXPECT_EQ(texts({4}, 12, 5), whole);
  EXPECT_NE(texts({4}, 12, 6), whole);
  // A draw is keyed by its position in the text, not by the call.
  std::vector<int64_t> prompt = {4};
  prompt.insert(prompt.end(), whole.begin(), whole.begin() + 6);
  EXPECT_EQ(texts(prompt, 6, 5), std::vector<int64_t>(whole.begin() + 6, whole.end()));
}

TEST(GenerateTest, WeightsThatHaveDivergedAreSaidSo) {
  Successor model(10);
  model.sharpness = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Generate(model, Overlay(), {1}, {.max_new_tokens = 2}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(GenerateTest, GreedyWithACacheIsGreedyWithout) {
  const TempFolder folder;
  ASSERT_TRUE(testing::WriteFamilyModel(*testing::SmallModelOf("llama"), folder.path()).ok());
  const std::unique_ptr<CausalLm> model = *LoadCausalLm(folder.path(), at::kFloat);
  std::vector<int64_t> text = {3, 9, 27};
  const auto got = Generate(*model, Overlay(), text, {.max_new_tokens = 12});
  ASSERT_TRUE(got.ok()) << got.status();
  for (const int64_t id : got->ids) {
    TokenBatch batch;
    batch.ids_T = torch::tensor(text, at::TensorOptions().dtype(at::kLong));
    batch.row_offsets = {0, static_cast<int64_t>(text.size())};
    const at::Tensor logits = at::linear(model->Hidden(batch, Overlay())[-1], model->HeadWeight(Overlay()));
    EXPECT_EQ(logits.argmax().item<int64_t>(), id) << "token " << text.size();
    text.push_back(id);
  }
}

}  // namespace
}  // namespace vernier::models
