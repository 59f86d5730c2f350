#include "adapters/keyed_dropout.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "common/philox.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

constexpr double kRate = 0.3;

models::LinearSite Site(int index, int64_t features = 20) {
  models::LinearSite site;
  site.index = index;
  site.in_features = features;
  return site;
}

models::TokenBatch Batch(std::vector<int64_t> offsets, std::vector<int64_t> rows, int64_t step = 4) {
  models::TokenBatch batch;
  batch.ids_T = at::zeros({offsets.back()}, at::kLong);
  batch.row_offsets = std::move(offsets);
  batch.global_rows = std::move(rows);
  batch.step = step;
  batch.training = true;
  return batch;
}

// Ones where kept, [T, I].
at::Tensor Kept(const KeyedDropout& dropout, const models::LinearSite& site,
                const models::TokenBatch& batch) {
  const at::Tensor ones = at::ones({batch.ids_T.numel(), site.in_features});
  return dropout.Draw(site, batch).Apply(ones).ne(0);
}

TEST(KeyedDropoutTest, KeepsItsShareAndItsMean) {
  const KeyedDropout dropout(kRate, 1);
  const models::TokenBatch batch = Batch({0, 500}, {0});
  const at::Tensor x = at::ones({500, 200});
  const DropoutMask mask = dropout.Draw(Site(0, 200), batch);
  const at::Tensor y = mask.Apply(x) * mask.scale;
  EXPECT_NEAR(y.ne(0).to(at::kFloat).mean().item<double>(), 1.0 - kRate, 0.005);
  EXPECT_NEAR(y.mean().item<double>(), 1.0, 0.01);
  EXPECT_NEAR(y.max().item<double>(), 1.0 / (1.0 - kRate), 1e-4);
}

TEST(KeyedDropoutTest, ARowDrawsTheSameWhereverItLies) {
  const KeyedDropout dropout(kRate, 1);
  const at::Tensor alone = Kept(dropout, Site(2), Batch({0, 7}, {5}));
  const at::Tensor second = Kept(dropout, Site(2), Batch({0, 3, 10}, {9, 5}));
  EXPECT_TRUE(at::equal(second.narrow(0, 3, 7), alone));
  const at::Tensor padded = Kept(dropout, Site(2), Batch({0, 12, 24}, {5, 9}));
  EXPECT_TRUE(at::equal(padded.narrow(0, 0, 7), alone));
}

TEST(KeyedDropoutTest, EveryKeyMatters) {
  const KeyedDropout dropout(kRate, 1);
  const at::Tensor base = Kept(dropout, Site(2), Batch({0, 30}, {5}));
  EXPECT_FALSE(at::equal(base, Kept(dropout, Site(2), Batch({0, 30}, {6})))) << "row";
  EXPECT_FALSE(at::equal(base, Kept(dropout, Site(2), Batch({0, 30}, {5}, 5)))) << "step";
  EXPECT_FALSE(at::equal(base, Kept(dropout, Site(3), Batch({0, 30}, {5})))) << "site";
  EXPECT_FALSE(at::equal(base, Kept(KeyedDropout(kRate, 2), Site(2), Batch({0, 30}, {5})))) << "seed";
  EXPECT_FALSE(at::equal(base.narrow(0, 0, 15), base.narrow(0, 15, 15))) << "position";
  EXPECT_FALSE(at::equal(base.narrow(1, 0, 8), base.narrow(1, 8, 8))) << "channel";
}

// Written down once: a mask is part of what a run's bits depend on, on any machine.
TEST(KeyedDropoutTest, TheDrawsAreThoseOfTheFormula) {
  const KeyedDropout dropout(0.25, 6);
  const at::Tensor kept = Kept(dropout, Site(3, 21), Batch({0, 2, 5}, {8, 4}, 7));
  const PhiloxKey key = PhiloxKeyOf(DeriveSeed(6, 0x64726f70, 3));
  for (uint32_t position = 0; position < 3; ++position) {
    for (uint32_t channel = 0; channel < 21; ++channel) {
      const uint32_t word = Philox4x32({channel / 8, position, 4, 7}, key)[channel % 8 / 2];
      const uint32_t draw = channel % 2 == 0 ? word & 0xffff : word >> 16;
      EXPECT_EQ(kept[2 + position][channel].item<bool>(), draw >= 16384) << position << " " << channel;
    }
  }
}

TEST(KeyedDropoutTest, KeepsEverythingOutsideTraining) {
  const KeyedDropout dropout(kRate, 1);
  models::TokenBatch batch = Batch({0, 4}, {0});
  batch.training = false;
  EXPECT_FALSE(dropout.Draw(Site(0), batch).keep_bits.defined());
  EXPECT_FALSE(dropout.Draw(Site(0), Batch({0, 4}, {})).keep_bits.defined());
  EXPECT_FALSE(KeyedDropout(0.0, 1).Draw(Site(0), Batch({0, 4}, {0})).keep_bits.defined());
}

TEST(KeyedDropoutTest, TheNumberOfThreadsChangesNothing) {
  const KeyedDropout dropout(kRate, 1);
  const models::TokenBatch batch = Batch({0, 300}, {0});
  const at::Tensor many = Kept(dropout, Site(0), batch);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = Kept(dropout, Site(0), batch);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(many, one));
}

TEST(KeyedDropoutTest, AppliesToBf16AndToAnyStrides) {
  const KeyedDropout dropout(kRate, 1);
  const DropoutMask mask = dropout.Draw(Site(0, 10), Batch({0, 6}, {0}));
  const at::Tensor x = at::arange(60, at::kFloat).add(1).view({10, 6}).t();
  const at::Tensor y = mask.Apply(x);
  EXPECT_TRUE(at::equal(y, at::where(y.ne(0), x, at::zeros_like(x))));
  EXPECT_TRUE(at::equal(mask.Apply(x.to(at::kBFloat16)).ne(0), y.ne(0)));
}

}  // namespace
}  // namespace vernier::adapters
