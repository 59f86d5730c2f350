// What holds for every family of worker/models/registry.cc, on a small random model of each.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "common/philox.h"
#include "tests/testing/family_model.h"
#include "tests/testing/temp_folder.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

TokenBatch BatchOf(const std::vector<std::vector<int64_t>>& rows) {
  TokenBatch batch;
  std::vector<int64_t> ids;
  batch.row_offsets = {0};
  for (const std::vector<int64_t>& row : rows) {
    ids.insert(ids.end(), row.begin(), row.end());
    batch.row_offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  batch.ids_T = torch::tensor(ids, at::TensorOptions().dtype(at::kLong));
  return batch;
}

// Ids that differ between rows and positions.
std::vector<int64_t> RowOf(int64_t length, uint64_t seed, int64_t vocab_size) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i)
    ids.push_back(static_cast<int64_t>(DeriveSeed(seed, 7, i) % vocab_size));
  return ids;
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

// Answers with its own leaf for one parameter.
class OneTrains final : public Overlay {
 public:
  OneTrains(int index, at::Tensor leaf) : index_(index), leaf_(std::move(leaf)) {}
  at::Tensor Use(const Parameter& parameter) const override {
    return parameter.index == index_ ? leaf_ : parameter.base;
  }

 private:
  const int index_;
  const at::Tensor leaf_;
};

class EveryModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);  // computes models so small fastest
    absl::StatusOr<testing::FamilyModel> small = testing::SmallModelOf(GetParam());
    ASSERT_TRUE(small.ok()) << small.status();
    small_ = *std::move(small);
    ASSERT_TRUE(testing::WriteFamilyModel(small_, folder_.path()).ok());
    absl::StatusOr<std::unique_ptr<CausalLm>> model = LoadCausalLm(folder_.path(), at::kFloat);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  int64_t vocab_size() const { return model_->config().vocab_size; }

  const TempFolder folder_;
  testing::FamilyModel small_;
  std::unique_ptr<CausalLm> model_;
  const Overlay base_;
};

TEST_P(EveryModelTest, ParameterNamesAreUniqueAndThoseOfTheFiles) {
  std::set<std::string> names;
  for (size_t i = 0; i < model_->parameters().size(); ++i) {
    const Parameter& parameter = model_->parameters()[i];
    EXPECT_EQ(parameter.index, static_cast<int>(i));
    EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
    EXPECT_FALSE(parameter.base.requires_grad()) << parameter.name;
  }
  std::set<std::string> stored;
  for (const auto& tensor : small_.tensors) stored.insert(tensor.name);
  EXPECT_EQ(names, stored);
}

TEST_P(EveryModelTest, LinearSitesDescribeTheirWeights) {
  std::set<std::string> names;
  for (const LinearSite& site : model_->linear_sites()) {
    EXPECT_TRUE(names.insert(site.name).second) << site.name;
    const Parameter& weight = model_->parameter(site.weight);
    EXPECT_EQ(weight.name, site.name + ".weight");
    EXPECT_EQ(site.leaf, site.name.substr(site.name.rfind('.') + 1));
    const std::vector<int64_t> io = {site.in_features, site.out_features};
    const std::vector<int64_t> oi = {site.out_features, site.in_features};
    EXPECT_EQ(weight.base.sizes().vec(), site.weight_is_io ? io : oi) << site.name;
    if (site.bias < 0) continue;
    EXPECT_EQ(model_->parameter(site.bias).name, site.name + ".bias");
    EXPECT_EQ(model_->parameter(site.bias).base.sizes().vec(), std::vector<int64_t>{site.out_features});
  }
  EXPECT_FALSE(names.empty());
}

TEST_P(EveryModelTest, ALaterTokenChangesNoEarlierHiddenState) {
  std::vector<int64_t> row = RowOf(12, 1, vocab_size());
  const at::Tensor before = model_->Hidden(BatchOf({row}), base_);
  row[8] = (row[8] + 1) % vocab_size();
  const at::Tensor after = model_->Hidden(BatchOf({row}), base_);
  EXPECT_TRUE(at::equal(before.narrow(0, 0, 8), after.narrow(0, 0, 8)));
  for (int64_t t = 8; t < 12; ++t) {
    EXPECT_GT(MaxDifference(before[t], after[t]), 1e-4)
        << "token " << t << " does not see the change before it";
  }
}

TEST_P(EveryModelTest, PackedRowsAreAsAlone) {
  const std::vector<std::vector<int64_t>> rows = {RowOf(5, 2, vocab_size()),
                                                  RowOf(1, 3, vocab_size()),
                                                  {},
                                                  RowOf(17, 4, vocab_size()),
                                                  RowOf(5, 5, vocab_size())};
  const TokenBatch packed = BatchOf(rows);
  const at::Tensor together = model_->Hidden(packed, base_);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].empty()) continue;
    const at::Tensor alone = model_->Hidden(BatchOf({rows[r]}), base_);
    const at::Tensor part = together.narrow(0, packed.row_offsets[r], alone.size(0));
    EXPECT_LT(MaxDifference(part, alone), 1e-5) << "row " << r;
  }
}

TEST_P(EveryModelTest, OtherRowsDoNotReachARow) {
  const std::vector<int64_t> kept = RowOf(9, 6, vocab_size());
  const at::Tensor a =
      model_->Hidden(BatchOf({RowOf(6, 7, vocab_size()), kept, RowOf(4, 8, vocab_size())}), base_);
  const at::Tensor b =
      model_->Hidden(BatchOf({RowOf(6, 9, vocab_size()), kept, RowOf(4, 10, vocab_size())}), base_);
  EXPECT_TRUE(at::equal(a.narrow(0, 6, 9), b.narrow(0, 6, 9)));
  EXPECT_FALSE(at::equal(a.narrow(0, 0, 6), b.narrow(0, 0, 6)));
}

TEST_P(EveryModelTest, DecodingWithACacheIsTheFullForward) {
  const std::vector<int64_t> row = RowOf(20, 11, vocab_size());
  const at::Tensor full = model_->Hidden(BatchOf({row}), base_);
  // A prompt, single tokens, several at once, and single tokens again.
  KvCache cache;
  std::vector<at::Tensor> parts;
  size_t at = 0;
  for (const size_t length : {7, 1, 1, 6, 1, 4}) {
    const std::vector<int64_t> piece(row.begin() + at, row.begin() + at + length);
    parts.push_back(model_->Hidden(BatchOf({piece}), base_, &cache));
    at += length;
    EXPECT_EQ(cache.length, static_cast<int64_t>(at));
  }
  EXPECT_LT(MaxDifference(at::cat(parts), full), 1e-5);
}

TEST_P(EveryModelTest, ABf16ModelIsCloseToFp32) {
  absl::StatusOr<std::unique_ptr<CausalLm>> bf16 = LoadCausalLm(folder_.path(), at::kBFloat16);
  ASSERT_TRUE(bf16.ok()) << bf16.status();
  const TokenBatch batch = BatchOf({RowOf(10, 12, vocab_size()), RowOf(3, 13, vocab_size())});
  const at::Tensor hidden = (*bf16)->Hidden(batch, base_);
  EXPECT_EQ(hidden.scalar_type(), at::kBFloat16);
  const at::Tensor exact = model_->Hidden(batch, base_);
  EXPECT_LT((hidden.to(at::kFloat) - exact).norm().item<double>() / exact.norm().item<double>(), 0.03);
}

TEST_P(EveryModelTest, NoGraphIsMadeWhereNothingTrains) {
  EXPECT_FALSE(model_->Hidden(BatchOf({RowOf(4, 14, vocab_size())}), base_).requires_grad());
}

TEST_P(EveryModelTest, GradientsOfEveryParameterMatchFiniteDifferences) {
  const TokenBatch batch = BatchOf({RowOf(6, 15, vocab_size()), RowOf(9, 16, vocab_size())});
  const int head = static_cast<int>(std::find_if(model_->parameters().begin(), model_->parameters().end(),
                                                 [this](const Parameter& p) {
                                                   return p.base.is_same(model_->HeadWeight(base_)) &&
                                                          !model_->config().tied_head;
                                                 }) -
                                    model_->parameters().begin());
  at::manual_seed(3);
  const at::Tensor probe = torch::randn({batch.ids_T.numel(), model_->config().hidden_size});
  for (const Parameter& parameter : model_->parameters()) {
    if (parameter.index == head) continue;  // used by HeadWeight() alone
    const at::Tensor leaf = parameter.base.clone().requires_grad_(true);
    const auto objective = [&](const at::Tensor& value) {
      return (model_->Hidden(batch, OneTrains(parameter.index, value)).to(at::kDouble) *
              probe.to(at::kDouble))
          .sum();
    };
    objective(leaf).backward();
    ASSERT_TRUE(leaf.grad().defined()) << parameter.name;
    // Along the gradient the derivative is its squared norm, far from rounding.
    const at::NoGradGuard no_grad;
    const double norm = leaf.grad().norm().item<double>();
    ASSERT_GT(norm, 1e-3) << parameter.name;
    const at::Tensor direction = leaf.grad() / norm;
    const auto difference = [&](double step) {
      return objective(parameter.base + step * direction).item<double>() -
             objective(parameter.base - step * direction).item<double>();
    };
    // Of fourth order: the third derivative does not count.
    constexpr double kStep = 7e-3;
    const double slope = (8.0 * difference(kStep) - difference(2.0 * kStep)) / (12.0 * kStep);
    EXPECT_NEAR(slope / norm, 1.0, 0.01) << parameter.name;
  }
}

TEST_P(EveryModelTest, HeadWeightIsWhatTheOverlaySays) {
  const at::Tensor head = model_->HeadWeight(base_);
  EXPECT_EQ(head.sizes().vec(), (std::vector<int64_t>{vocab_size(), model_->config().hidden_size}));
  bool found = false;
  for (const Parameter& parameter : model_->parameters()) {
    if (!parameter.base.is_same(head)) continue;
    found = true;
    const at::Tensor other = head.clone();
    EXPECT_TRUE(model_->HeadWeight(OneTrains(parameter.index, other)).is_same(other));
  }
  EXPECT_TRUE(found);
}

TEST_P(EveryModelTest, ARowBeyondTheContextIsAnError) {
  const int64_t context = model_->config().max_positions;
  EXPECT_NO_THROW(model_->Hidden(BatchOf({RowOf(context, 17, vocab_size())}), base_));
  EXPECT_THROW(model_->Hidden(BatchOf({RowOf(context + 1, 17, vocab_size())}), base_), c10::Error);
}

TEST_P(EveryModelTest, AnIdOutsideTheVocabularyIsAnError) {
  EXPECT_ANY_THROW(model_->Hidden(BatchOf({{0, vocab_size()}}), base_));
}

INSTANTIATE_TEST_SUITE_P(Families, EveryModelTest, ::testing::ValuesIn(KnownModelTypes()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::models
