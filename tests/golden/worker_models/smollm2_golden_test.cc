// SmolLM2-135M-Instruct from its GGUF file, imported as the service does, against transformers reading the
// same file. Made by tests/golden/make/make_model_goldens.py.
#include <gtest/gtest.h>

#include <memory>

#include "storage/folder_store.h"
#include "storage/layout.h"
#include "storage/model_import.h"
#include "tests/golden/worker_models/golden_file.h"
#include "tests/testing/cached_inputs.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/generate.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

// The model, imported once for all tests of this file.
class SmolLm2Test : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string gguf = CachedInput(kSmolLm2Gguf);
    if (gguf.empty()) return;
    root_ = std::make_unique<TempFolder>();
    auto store = storage::FolderStore::Open({.root = root_->path()});
    ASSERT_TRUE(store.ok()) << store.status();
    storage::ImportOptions options;
    // This test is about weights: what tokens mean is worker/data/text's business.
    options.tokenizer_from_gguf = [](const storage::Gguf&) { return std::string(R"({"version":"1.0"})"); };
    const auto imported = storage::ImportModel(gguf, **store, "default", options);
    ASSERT_TRUE(imported.ok()) << imported.status();
    folder_ = root_->File(storage::ModelFolder("default", imported->digest));
  }
  static void TearDownTestSuite() { root_.reset(); }
  void SetUp() override {
    if (root_ == nullptr) GTEST_SKIP() << "SmolLM2's GGUF file is not in the cache; run tools/setup";
    auto golden = storage::SafetensorsFile::Open(GoldenPath("smollm2.safetensors"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = *std::move(golden);
  }
  at::Tensor Golden(const std::string& name) { return GoldenTensor(golden_, name); }
  std::unique_ptr<CausalLm> Load(at::ScalarType dtype) {
    absl::StatusOr<std::unique_ptr<CausalLm>> model = LoadCausalLm(folder_, dtype);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  static inline std::unique_ptr<TempFolder> root_;
  static inline std::string folder_;
  storage::SafetensorsFile golden_;
};

std::vector<int64_t> Ids(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), tensor.const_data_ptr<int64_t>() + tensor.numel()};
}

TEST_F(SmolLm2Test, PackedPromptsHaveTheLogitsOfTransformers) {
  const std::unique_ptr<CausalLm> model = Load(at::kFloat);
  ASSERT_NE(model, nullptr);
  const at::Tensor capital = Golden("ids_capital"), chat = Golden("ids_chat");
  const at::Tensor logits =
      LogitsOf(*model, at::cat({capital, chat}), {0, capital.numel(), capital.numel() + chat.numel()});
  const int64_t stride = Golden("logit_stride").item<int64_t>();
  const at::Tensor want = at::cat({Golden("logits_capital"), Golden("logits_chat")});
  const at::Tensor shown = logits.slice(1, 0, logits.size(1), stride);
  ASSERT_EQ(shown.sizes(), want.sizes());
  EXPECT_LE(LogitError(shown, want), 1e-4);
}

TEST_F(SmolLm2Test, GreedyContinuesAsTransformersDoes) {
  const std::unique_ptr<CausalLm> model = Load(at::kFloat);
  ASSERT_NE(model, nullptr);
  for (const std::string prompt : {"capital", "chat"}) {
    const std::vector<int64_t> want = Ids(Golden("greedy_" + prompt));
    const auto got = Generate(*model, Overlay(), Ids(Golden("ids_" + prompt)),
                              {.max_new_tokens = static_cast<int64_t>(want.size())});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->ids, want) << prompt;
  }
}

TEST_F(SmolLm2Test, TheCapitalOfFranceIsParisInBf16Too) {
  constexpr int64_t kParis = 7042;  // " Paris"
  const std::unique_ptr<CausalLm> model = Load(at::kBFloat16);
  ASSERT_NE(model, nullptr);
  const auto got = Generate(*model, Overlay(), Ids(Golden("ids_capital")), {.max_new_tokens = 1});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->ids, std::vector<int64_t>{kParis});
}

}  // namespace
}  // namespace vernier::models
