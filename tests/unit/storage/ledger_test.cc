#include "storage/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "storage/memory_store.h"

namespace vernier::storage {
namespace {

using testing::HasSubstr;

Ledger Example() {
  auto train = std::make_shared<LedgerRows>();
  *train = {.line = {1, 2, 4}, .tokens = {9, 8, 7}, .trained_tokens = {3, 2, 1}, .weight = {3, 2, 0.5f}};
  auto validation = std::make_shared<LedgerRows>();
  *validation = {.line = {3}, .tokens = {5}, .trained_tokens = {2}, .weight = {2}};
  Ledger ledger;
  ledger.train = train;
  ledger.validation = validation;
  ledger.step = {1, 3};
  ledger.step_end = {2, 3};
  ledger.visit_row = {2, 0, 1};
  ledger.visit_loss = {2.5f, 1.5f, 0.25f};
  ledger.first = {.step = 0, .loss = {4}};
  ledger.best = ledger.first;
  return ledger;
}

// Through the bytes of a file.
absl::StatusOr<Ledger> RoundTrip(const std::vector<TensorView>& tensors,
                                 const std::map<std::string, std::string>& metadata = LedgerMetadata()) {
  MemoryStore store;
  const auto written = WriteSafetensors(store, "l.safetensors", WriteMode::kReplace, tensors, metadata);
  if (!written.ok()) return written.status();
  const auto file = SafetensorsFile::Open(store, "l.safetensors");
  if (!file.ok()) return file.status();
  return ReadLedger(*file, "the ledger");
}

TEST(LedgerTest, ReadsWhatWasWritten) {
  const Ledger want = Example();
  const auto got = RoundTrip(TensorsOf(want));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got->train, *want.train);
  EXPECT_EQ(*got->validation, *want.validation);
  EXPECT_EQ(got->step, want.step);
  EXPECT_EQ(got->step_end, want.step_end);
  EXPECT_EQ(got->visit_row, want.visit_row);
  EXPECT_EQ(got->visit_loss, want.visit_loss);
  EXPECT_EQ(got->first, want.first);
  EXPECT_EQ(got->best, want.best);
  EXPECT_EQ(got->newest.step, -1);
}

TEST(LedgerTest, AnEmptyOneIsALedgerToo) {
  Ledger ledger;
  ledger.train = std::make_shared<LedgerRows>();
  ledger.validation = std::make_shared<LedgerRows>();
  EXPECT_TRUE(RoundTrip(TensorsOf(ledger)).ok());
}

struct BadCase {
  std::string name;
  std::function<void(Ledger&)> break_it;
  std::string want;
};
class BadLedgerTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadLedgerTest, IsDataLossThatNamesTheTensor) {
  Ledger ledger = Example();
  GetParam().break_it(ledger);
  const auto got = RoundTrip(TensorsOf(ledger));
  EXPECT_EQ(got.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(got.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadLedgerTest,
    testing::ValuesIn<BadCase>({
        {"ARowThatIsNotThere", [](Ledger& l) { l.visit_row[0] = 3; }, "visits/row: there is no row 3"},
        {"ANegativeRow", [](Ledger& l) { l.visit_row[1] = -1; }, "visits/row: there is no row -1"},
        {"StepsOutOfOrder",
         [](Ledger& l) {
           l.step = {3, 1};
         },
         "steps/*: element 1 is out of order"},
        {"EndsThatFall",
         [](Ledger& l) {
           l.step_end = {3, 2};
         },
         "steps/*: element 1 is out of order"},
        {"AnEndBeforeTheVisits",
         [](Ledger& l) {
           l.step_end = {1, 2};
         },
         "steps/end: ends at 2 of 3"},
        {"ALossTooFew", [](Ledger& l) { l.visit_loss.pop_back(); }, "visits/*: the tensors differ"},
        {"AValidationOfOtherRows", [](Ledger& l) { l.best.loss.push_back(1); },
         "validation/best_loss: has 2"},
        {"AValidationThatNeverWas", [](Ledger& l) { l.newest.loss = {1}; }, "validation/newest_loss: has 1"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(LedgerTest, AnotherFileIsRefused) {
  const Ledger ledger = Example();
  EXPECT_THAT(std::string(RoundTrip(TensorsOf(ledger), {{"format", "pt"}}).status().message()),
              HasSubstr("is no"));
}

TEST(LedgerTest, AMissingTensorIsNamed) {
  const Ledger ledger = Example();
  std::vector<TensorView> tensors = TensorsOf(ledger);
  tensors.pop_back();
  EXPECT_THAT(std::string(RoundTrip(tensors).status().message()), HasSubstr("newest_loss"));
}

}  // namespace
}  // namespace vernier::storage
