// The tables of families agree: what can be imported can be loaded, and what a job may name is there.
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "server/validate/architectures.h"
#include "storage/layout.h"
#include "storage/memory_store.h"
#include "storage/model_family.h"
#include "storage/model_import.h"
#include "tests/testing/family_model.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

TEST(FamilyTablesTest, FamiliesThatCanBeImportedAreThoseThatCanBeLoaded) {
  std::set<std::string> imported;
  for (const storage::ModelFamily& family : storage::ModelFamilies()) imported.emplace(family.name);
  const std::vector<std::string> loaded = KnownModelTypes();
  EXPECT_EQ(imported, std::set<std::string>(loaded.begin(), loaded.end()));
}

class FamilyTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::WriteFamilyModel(*testing::SmallModelOf(GetParam()), folder_.path()).ok());
    folder_.Write("tokenizer.json", R"({"version":"1.0"})");
    absl::StatusOr<std::unique_ptr<CausalLm>> model = LoadCausalLm(folder_.path(), at::kFloat);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }
  TempFolder folder_;
  std::unique_ptr<CausalLm> model_;
};

TEST_P(FamilyTest, TheImportSaysWhatTheLoadedModelIs) {
  storage::MemoryStore store;
  const auto imported = storage::ImportModel(folder_.path(), store, "t", {});
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->architecture, model_->config().model_type);
  EXPECT_EQ(imported->vocab_size, model_->config().vocab_size);
  EXPECT_EQ(imported->context_length, model_->config().max_positions);
  int64_t numbers = 0;
  for (const Parameter& parameter : model_->parameters()) numbers += parameter.base.numel();
  EXPECT_EQ(imported->num_parameters, numbers);
}

TEST_P(FamilyTest, TheServerKnowsItsLinearLayers) {
  std::set<std::string> leaves;
  for (const LinearSite& site : model_->linear_sites()) leaves.insert(site.leaf);
  const std::vector<std::string> known = server::LinearLayersOf(GetParam());
  EXPECT_EQ(std::set<std::string>(known.begin(), known.end()), leaves);
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyTest, ::testing::ValuesIn(KnownModelTypes()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::models
