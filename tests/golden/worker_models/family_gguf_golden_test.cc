// GGUF files of the families that can be imported from them, imported and loaded as the service does, against
// the logits that transformers computes with the models they were made from: names, order of rows, offsets of
// norms and every field of the metadata. Made by tests/golden/make/make_gguf_family_goldens.py.
#include <gtest/gtest.h>

#include "storage/folder_store.h"
#include "storage/layout.h"
#include "storage/model_import.h"
#include "tests/golden/worker_models/golden_file.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

class FamilyGgufGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyGgufGoldenTest, TheImportedModelHasTheLogitsOfTransformers) {
  const std::string folder = GoldenPath("gguf_" + GetParam());
  const TempFolder root;
  const auto store = storage::FolderStore::Open({.root = root.path()});
  ASSERT_TRUE(store.ok()) << store.status();
  storage::ImportOptions options;
  // This test is about weights: what tokens mean is worker/data/text's business.
  options.tokenizer_from_gguf = [](const storage::Gguf&) { return std::string(R"({"version":"1.0"})"); };
  const auto imported = storage::ImportModel(folder + "/model.gguf", **store, "default", options);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->architecture, GetParam() == "gemma3" ? "gemma3_text" : GetParam());
  const auto model = LoadCausalLm(root.File(storage::ModelFolder("default", imported->digest)), at::kFloat);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->config().max_positions, imported->context_length);

  const auto golden = storage::SafetensorsFile::Open(folder + "/golden.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status();
  const at::Tensor ids = GoldenTensor(*golden, "ids");
  EXPECT_LE(LogitError(LogitsOf(**model, ids, {0, ids.numel()}), GoldenTensor(*golden, "logits")), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Models, FamilyGgufGoldenTest,
                         ::testing::Values("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::models
