#include "worker/plan/batches.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/data/batch_plan.h"

namespace vernier::plan {
namespace {

// More rows than these are represented by so many.
constexpr int64_t kMaxRows = 16384;
// Steps, and rows of steps, that are looked at; the rest has the same distribution.
constexpr int64_t kMaxSteps = 512;
constexpr int64_t kMaxRowsLookedAt = 65536;
constexpr int64_t kUnknownRows = 1000;
// Rows that data.on_overlong: split makes of kMaxRows; more are represented by so many.
constexpr int64_t kMaxPieces = 4 * kMaxRows;
// Reports come from clients too.
constexpr int kMaxBuckets = 64;
constexpr int64_t kMaxCount = int64_t{1} << 40;
constexpr int64_t kMaxLength = int64_t{1} << 30;

// Adds `count` lengths in [low, high] with this mean, spread evenly over the widest range that has it.
void Spread(int64_t low, int64_t high, double mean, int64_t count, std::vector<int64_t>& lengths) {
  const double reach =
      std::max(0.0, std::min(mean - static_cast<double>(low), static_cast<double>(high) - mean));
  for (int64_t i = 0; i < count; ++i) {
    const double at = count == 1 ? 0.0 : 2.0 * static_cast<double>(i) / static_cast<double>(count - 1) - 1.0;
    lengths.push_back(std::clamp(std::llround(mean + at * reach), static_cast<long long>(low),
                                 static_cast<long long>(high)));
  }
}

// The pieces of at most `most` tokens that rows are split into, in order; beyond kMaxPieces every n-th.
std::vector<int64_t> Pieces(int64_t most, const std::vector<int64_t>& lengths) {
  int64_t total = 0;
  for (const int64_t length : lengths) total += (length + most - 1) / most;
  // Of the first n pieces. At most 2^45 pieces (kMaxLength, and a row more of each bucket) times 2^16.
  const auto taken = [&](int64_t n) { return total <= kMaxPieces ? n : n * kMaxPieces / total; };
  std::vector<int64_t> pieces;
  pieces.reserve(taken(total));
  int64_t passed = 0;
  for (const int64_t length : lengths) {
    const int64_t last = passed + (length + most - 1) / most - 1;
    pieces.insert(pieces.end(), taken(last) - taken(passed), most);
    if (taken(last + 1) > taken(last)) pieces.push_back((length - 1) % most + 1);
    passed = last + 1;
  }
  return pieces;
}

// What data.on_overlong makes of rows beyond `most`.
void LimitTo(int64_t most, v1::OnOverlong on_overlong, std::vector<int64_t>& lengths) {
  if (on_overlong == v1::ON_OVERLONG_SPLIT) {
    lengths = Pieces(most, lengths);
    return;
  }
  std::vector<int64_t> limited;
  for (const int64_t length : lengths) {
    if (length <= most) {
      limited.push_back(length);
    } else if (on_overlong != v1::ON_OVERLONG_DROP) {
      limited.push_back(most);
    }
  }
  lengths = std::move(limited);
}

// The lengths of at most kMaxRows of the report's rows.
std::vector<int64_t> LengthsOf(const v1::DataReport& report, const v1::Data& data) {
  struct Bucket {
    int64_t low = 1, high = 1, rows = 0;
    double mean = 1;
  };
  const int64_t longest = std::clamp<int64_t>(report.max_row_tokens(), 1, kMaxLength);
  std::vector<Bucket> buckets;
  int64_t total = 0, below = 0;
  for (const v1::LengthBucket& bucket : report.lengths()) {
    if (static_cast<int>(buckets.size()) == kMaxBuckets) break;
    Bucket& next = buckets.emplace_back();
    next.low = std::min(below + 1, longest);
    below = std::clamp<int64_t>(bucket.max_tokens(), below, kMaxLength);
    next.high = std::clamp(below, next.low, longest);
    next.rows = std::clamp<int64_t>(bucket.num_rows(), 0, kMaxCount);
    next.mean = std::clamp(
        static_cast<double>(bucket.num_tokens()) / static_cast<double>(std::max<int64_t>(1, next.rows)),
        static_cast<double>(next.low), static_cast<double>(next.high));
    total += next.rows;
  }
  std::vector<int64_t> lengths;
  if (total == 0) return lengths;
  const double share = std::min(1.0, static_cast<double>(kMaxRows) / static_cast<double>(total));
  for (const Bucket& bucket : buckets) {
    if (bucket.rows == 0) continue;
    const int64_t count = std::max<int64_t>(1, std::llround(share * static_cast<double>(bucket.rows)));
    Spread(bucket.low, bucket.high, bucket.mean, count, lengths);
  }
  // The longest one is known exactly, and decides how large a micro-batch can become.
  lengths.back() = longest;
  if (data.max_tokens() > 0) LimitTo(data.max_tokens(), data.on_overlong(), lengths);
  return lengths;
}

data::BatchPlanOptions OptionsOf(const v1::TrainStage& stage, uint64_t seed) {
  data::BatchPlanOptions options;
  options.seed = seed;
  if (stage.batch().has_rows()) options.batch_rows = stage.batch().rows();
  if (stage.batch().has_tokens()) options.batch_tokens = stage.batch().tokens();
  if (stage.has_virtual_shards()) options.virtual_shards = stage.virtual_shards();
  if (stage.has_micro_batch_tokens()) options.micro_batch_tokens = stage.micro_batch_tokens();
  if (stage.layout() == v1::LAYOUT_PADDED) options.layout = data::Layout::kPadded;
  return options;
}

// Rows that an epoch draws: a mixture with weights draws some more than once.
int64_t RowsPerEpoch(const v1::DataReport& report, int64_t rows) {
  int64_t drawn = 0;
  for (const v1::SourceReport& source : report.sources()) {
    drawn += std::clamp<int64_t>(source.rows_per_epoch(), 0, kMaxCount);
  }
  if (drawn == 0) drawn = report.num_rows();
  return drawn > 0 ? std::min(drawn, kMaxCount) : rows;
}

}  // namespace

absl::StatusOr<Batches> BatchesOf(const v1::DataReport* report, int64_t num_rows, const v1::TrainStage& stage,
                                  uint64_t seed) {
  Batches batches;
  std::vector<int64_t> lengths;
  if (report != nullptr) lengths = LengthsOf(*report, stage.data());
  if (lengths.empty()) {
    batches.measured = false;
    batches.rows = num_rows > 0 ? std::min(num_rows, kMaxCount) : kUnknownRows;
    lengths.assign(std::min(batches.rows, kMaxRows), std::max<int64_t>(1, stage.data().max_tokens()));
  } else {
    batches.rows = RowsPerEpoch(*report, static_cast<int64_t>(lengths.size()));
    batches.validation_tokens = std::clamp<int64_t>(report->num_validation_tokens(), 0, kMaxCount);
    if (report->num_tokens() > 0) {
      batches.labelled_share = std::clamp(
          static_cast<double>(report->num_trained_tokens()) / static_cast<double>(report->num_tokens()), 0.0,
          1.0);
    }
  }
  batches.longest_row = *std::max_element(lengths.begin(), lengths.end());
  const std::vector<double> weights(lengths.size(), 1.0);
  const double represented = static_cast<double>(batches.rows) / static_cast<double>(lengths.size());
  VN_ASSIGN_OR_RETURN(const data::BatchPlan plan,
                      data::BatchPlan::Create(std::move(lengths), weights, OptionsOf(stage, seed)));
  const double epochs = stage.has_epochs() ? stage.epochs() : 1.0;
  batches.steps =
      stage.has_max_steps()
          ? stage.max_steps()
          // Batches of tokens are cut anew in every epoch, which one epoch stands for: a thousand would be
          // drawn while the server waits. The slack is of rounding, or of the rows left out.
          : std::max<int64_t>(
                1, std::llround(std::ceil(static_cast<double>(plan.TotalSteps(1.0)) * epochs * represented -
                                          (represented > 1.0 ? 0.5 : 1e-6))));
  batches.at_once.resize(plan.options().virtual_shards);
  int64_t looked_at = 0, rows_looked_at = 0;
  double tokens = 0;
  while (looked_at < std::min(batches.steps, kMaxSteps) && rows_looked_at < kMaxRowsLookedAt) {
    const data::GlobalBatch batch = plan.Batch(looked_at++);
    rows_looked_at += static_cast<int64_t>(batch.rows.size());
    tokens += static_cast<double>(batch.num_tokens);
    for (int threads = 1; threads <= static_cast<int>(batches.at_once.size()); ++threads) {
      const int lanes = data::NumLanes(batch, threads, plan.options().micro_batch_tokens);
      const int64_t at_once = data::TokensAtOnce(batch, lanes);
      if (at_once > batches.at_once[threads - 1].tokens) batches.at_once[threads - 1] = {at_once, lanes};
    }
    for (const data::ShardPlan& shard : batch.shards) {
      for (const data::MicroBatch& micro_batch : shard.micro_batches) {
        batches.largest_micro_batch = std::max(batches.largest_micro_batch, micro_batch.cost_tokens);
        for (const data::PlannedRow& row : micro_batch.rows) {
          batches.squared_tokens += static_cast<double>(row.length) * static_cast<double>(row.length);
        }
      }
    }
  }
  // Among many rows few steps see the longest one, which is a micro-batch of its own at least.
  batches.largest_micro_batch = std::max(batches.largest_micro_batch, batches.longest_row);
  for (Batches::AtOnce& at_once : batches.at_once) {
    if (at_once.tokens < batches.largest_micro_batch) at_once = {batches.largest_micro_batch, 1};
  }
  const double all = static_cast<double>(batches.steps) / static_cast<double>(looked_at);
  batches.tokens = std::llround(tokens * all);
  batches.squared_tokens *= all;
  return batches;
}

Batches::AtOnce AtOnceOn(const Batches& batches, const v1::TrainStage& stage, int threads) {
  if (stage.tuning().has_full()) return {batches.largest_micro_batch, 1};
  if (stage.threads() > 0) threads = stage.threads();
  const int last = static_cast<int>(batches.at_once.size());
  return batches.at_once[std::clamp(threads, 1, last) - 1];
}

}  // namespace vernier::plan
