#include "worker/data/batch_plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/mutex.h"
#include "common/philox.h"

namespace vernier::data {
namespace {

// Keeps the order of rows apart from every other use of the job's seed.
constexpr uint64_t kOrderTag = 0x726f7773;  // "rows"

bool LongerFirst(const PlannedRow& a, const PlannedRow& b) {
  return a.length != b.length ? a.length > b.length : a.index_in_batch < b.index_in_batch;
}

}  // namespace

std::vector<MicroBatch> PackRows(std::vector<PlannedRow> rows, int64_t micro_batch_tokens, Layout layout) {
  std::sort(rows.begin(), rows.end(), LongerFirst);
  std::vector<MicroBatch> batches;
  for (const PlannedRow& row : rows) {
    // Longest first: the first row of a micro-batch is its longest, so padding never grows later.
    const auto cost_with = [&](const MicroBatch& batch) {
      return layout == Layout::kPacked ? batch.num_tokens + row.length
                                       : static_cast<int64_t>(batch.rows.size() + 1) * batch.rows[0].length;
    };
    auto fit = std::find_if(batches.begin(), batches.end(),
                            [&](const MicroBatch& batch) { return cost_with(batch) <= micro_batch_tokens; });
    if (fit == batches.end()) {
      batches.push_back({.rows = {row}, .num_tokens = row.length, .cost_tokens = row.length});
      continue;
    }
    fit->cost_tokens = cost_with(*fit);
    fit->num_tokens += row.length;
    fit->rows.push_back(row);
  }
  return batches;
}

namespace {

// Tokens of the largest micro-batch of each shard that has rows, the largest first.
std::vector<int64_t> LargestMicroBatches(const GlobalBatch& batch) {
  std::vector<int64_t> largest;
  for (const ShardPlan& shard : batch.shards) {
    if (shard.micro_batches.empty()) continue;
    largest.push_back(0);
    for (const MicroBatch& micro_batch : shard.micro_batches) {
      largest.back() = std::max(largest.back(), micro_batch.cost_tokens);
    }
  }
  std::sort(largest.rbegin(), largest.rend());
  return largest;
}

}  // namespace

int NumLanes(const GlobalBatch& batch, int threads, int64_t micro_batch_tokens) {
  const std::vector<int64_t> largest = LargestMicroBatches(batch);
  const int most = std::min(threads, static_cast<int>(largest.size()));
  int lanes = 0;
  for (int64_t tokens = 0; lanes < most; ++lanes) {
    tokens += largest[lanes];
    if (tokens > micro_batch_tokens) break;
  }
  return std::max(1, lanes);
}

int64_t TokensAtOnce(const GlobalBatch& batch, int num_lanes) {
  const std::vector<int64_t> largest = LargestMicroBatches(batch);
  return std::accumulate(largest.begin(), largest.begin() + std::min<int64_t>(num_lanes, largest.size()),
                         int64_t{0});
}

std::vector<ShardPlan> SplitIntoShards(const std::vector<PlannedRow>& rows, int32_t virtual_shards,
                                       int64_t micro_batch_tokens, Layout layout) {
  std::vector<PlannedRow> sorted = rows;
  std::sort(sorted.begin(), sorted.end(), LongerFirst);
  std::vector<std::vector<PlannedRow>> shard_rows(virtual_shards);
  std::vector<ShardPlan> shards(virtual_shards);
  for (const PlannedRow& row : sorted) {
    size_t lightest = 0;
    for (size_t s = 1; s < shards.size(); ++s) {
      const auto key = [&](size_t i) { return std::pair(shards[i].num_tokens, shard_rows[i].size()); };
      if (key(s) < key(lightest)) lightest = s;
    }
    shards[lightest].num_tokens += row.length;
    shard_rows[lightest].push_back(row);
  }
  for (size_t s = 0; s < shards.size(); ++s) {
    shards[s].micro_batches = PackRows(std::move(shard_rows[s]), micro_batch_tokens, layout);
  }
  return shards;
}

struct BatchPlan::State {
  // Where an epoch lies among the steps, and where each of its batches starts (batches of tokens only).
  struct Epoch {
    int64_t index = -1;
    int64_t first_step = 0;
    std::vector<int64_t> starts;  // [steps], positions in the permutation
  };

  std::vector<int64_t> lengths;
  std::vector<double> weight_sums;
  BatchPlanOptions options;
  std::optional<MixtureOrder> mixture;

  mutable Mutex mutex;
  // first_steps[e] = step at which epoch e begins, as far as known; batches of tokens only.
  mutable std::vector<int64_t> first_steps VN_GUARDED_BY(mutex) = {0};
  mutable Epoch cached VN_GUARDED_BY(mutex);

  int64_t num_rows() const { return static_cast<int64_t>(lengths.size()); }
  int64_t rows_per_epoch() const { return mixture.has_value() ? mixture->rows_per_epoch() : num_rows(); }
  bool by_tokens() const { return options.batch_tokens > 0; }
  int64_t steps_by_rows() const { return (rows_per_epoch() + options.batch_rows - 1) / options.batch_rows; }

  // Rows of an epoch by their position in it.
  struct Order {
    const State& state;
    const int64_t epoch;
    const KeyedPermutation permutation;
    int64_t operator()(int64_t position) const {
      const int64_t slot = static_cast<int64_t>(permutation(static_cast<uint64_t>(position)));
      return state.mixture.has_value() ? state.mixture->Row(epoch, slot) : slot;
    }
  };
  Order OrderOf(int64_t epoch) const {
    return {*this, epoch,
            KeyedPermutation(static_cast<uint64_t>(rows_per_epoch()),
                             DeriveSeed(options.seed, kOrderTag, static_cast<uint64_t>(epoch)))};
  }

  // Cuts epoch `epoch` into batches of tokens.
  std::vector<int64_t> CutByTokens(int64_t epoch) const {
    const Order order = OrderOf(epoch);
    std::vector<int64_t> starts;
    int64_t tokens = 0;
    for (int64_t i = 0; i < rows_per_epoch(); ++i) {
      const int64_t length = lengths[order(i)];
      if (starts.empty() || tokens + length > options.batch_tokens) {
        starts.push_back(i);
        tokens = 0;
      }
      tokens += length;
    }
    return starts;
  }

  // Makes `cached` hold `epoch`; first_steps must reach it.
  void Load(int64_t epoch) const VN_REQUIRES(mutex) {
    if (cached.index == epoch) return;
    cached.index = epoch;
    cached.first_step = first_steps[epoch];
    cached.starts = CutByTokens(epoch);
    if (static_cast<int64_t>(first_steps.size()) == epoch + 1) {
      first_steps.push_back(cached.first_step + static_cast<int64_t>(cached.starts.size()));
    }
  }

  struct Place {
    int64_t epoch, begin, end;  // positions in the permutation
    int64_t step_in_epoch, steps_in_epoch;
  };
  Place Find(int64_t step) const {
    VN_CHECK(step >= 0);
    if (!by_tokens()) {
      const int64_t steps = steps_by_rows();
      const int64_t in_epoch = step % steps;
      const int64_t begin = in_epoch * options.batch_rows;
      return {step / steps, begin, std::min(begin + options.batch_rows, rows_per_epoch()), in_epoch, steps};
    }
    MutexLock lock(mutex);
    while (first_steps.back() <= step) Load(static_cast<int64_t>(first_steps.size()) - 1);
    const auto after = std::upper_bound(first_steps.begin(), first_steps.end(), step);
    const int64_t epoch = (after - first_steps.begin()) - 1;
    Load(epoch);
    const int64_t in_epoch = step - cached.first_step;
    const int64_t steps = static_cast<int64_t>(cached.starts.size());
    return {epoch, cached.starts[in_epoch],
            in_epoch + 1 < steps ? cached.starts[in_epoch + 1] : rows_per_epoch(), in_epoch, steps};
  }

  // Step at which `epoch` begins.
  int64_t FirstStep(int64_t epoch) const {
    if (!by_tokens()) return epoch * steps_by_rows();
    MutexLock lock(mutex);
    while (static_cast<int64_t>(first_steps.size()) <= epoch) {
      Load(static_cast<int64_t>(first_steps.size()) - 1);
    }
    return first_steps[epoch];
  }
};

BatchPlan::BatchPlan(std::unique_ptr<State> state) : state_(std::move(state)) {}
BatchPlan::BatchPlan(BatchPlan&&) noexcept = default;
BatchPlan& BatchPlan::operator=(BatchPlan&&) noexcept = default;
BatchPlan::~BatchPlan() = default;

absl::StatusOr<BatchPlan> BatchPlan::Create(std::vector<int64_t> lengths, std::vector<double> weight_sums,
                                            BatchPlanOptions options) {
  const auto bad = [](auto&&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); };
  if (lengths.empty()) return bad("data: there is no row to make a batch of");
  if (lengths.size() != weight_sums.size()) {
    return bad("data: ", lengths.size(), " row lengths but ", weight_sums.size(), " weight sums");
  }
  constexpr int64_t kMaxLength = int64_t{1} << 31;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 1 || lengths[i] >= kMaxLength)
      return bad("data: row ", i, " has ", lengths[i], " tokens");
    if (!std::isfinite(weight_sums[i]) || weight_sums[i] < 0) {
      return bad("data: row ", i, " has weight sum ", weight_sums[i]);
    }
  }
  if (options.batch_tokens < 0 || options.batch_tokens > 16777216) {
    return bad("batch.tokens = ", options.batch_tokens, " is outside [64, 16777216]");
  }
  if (options.batch_tokens == 0 && (options.batch_rows < 1 || options.batch_rows > 65536)) {
    return bad("batch.rows = ", options.batch_rows, " is outside [1, 65536]");
  }
  const int32_t shards = options.virtual_shards;
  if (shards < 1 || shards > 64 || !std::has_single_bit(static_cast<uint32_t>(shards))) {
    return bad("virtual_shards = ", shards, " is not a power of two in [1, 64]");
  }
  if (options.micro_batch_tokens < 1 || options.micro_batch_tokens >= kMaxLength) {
    return bad("micro_batch_tokens = ", options.micro_batch_tokens, " is outside [64, 1048576]");
  }
  int64_t mixed = 0;
  for (size_t i = 0; i < options.mixture.size(); ++i) {
    const MixturePart& part = options.mixture[i];
    if (part.num_rows < 1 || !std::isfinite(part.weight) || part.weight <= 0) {
      return bad("data.mix[", i, "] has ", part.num_rows, " rows and weight ", part.weight,
                 "; both must be above 0");
    }
    mixed += part.num_rows;
  }
  if (!options.mixture.empty() && mixed != static_cast<int64_t>(lengths.size())) {
    return bad("data.mix: its datasets have ", mixed, " rows, the prepared data has ", lengths.size());
  }
  auto state = std::make_unique<State>();
  if (!options.mixture.empty()) state->mixture.emplace(options.mixture, options.seed);
  state->lengths = std::move(lengths);
  state->weight_sums = std::move(weight_sums);
  state->options = options;
  return BatchPlan(std::move(state));
}

std::vector<int64_t> BatchPlan::Rows(int64_t step) const {
  const State::Place place = state_->Find(step);
  const State::Order order = state_->OrderOf(place.epoch);
  std::vector<int64_t> rows;
  rows.reserve(place.end - place.begin);
  for (int64_t i = place.begin; i < place.end; ++i) rows.push_back(order(i));
  return rows;
}

GlobalBatch BatchPlan::Batch(int64_t step) const {
  GlobalBatch batch;
  batch.step = step;
  batch.epoch = state_->Find(step).epoch;
  batch.rows = Rows(step);
  std::vector<PlannedRow> planned;
  planned.reserve(batch.rows.size());
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const int64_t row = batch.rows[i];
    planned.push_back(
        {.row = row, .index_in_batch = static_cast<int64_t>(i), .length = state_->lengths[row]});
    batch.total_weight += state_->weight_sums[row];
    batch.num_tokens += state_->lengths[row];
  }
  batch.shards = SplitIntoShards(planned, state_->options.virtual_shards, state_->options.micro_batch_tokens,
                                 state_->options.layout);
  return batch;
}

int64_t BatchPlan::TotalSteps(double epochs) const {
  VN_CHECK(epochs > 0 && epochs <= 1e6);
  const int64_t whole = static_cast<int64_t>(std::floor(epochs));
  const double part = epochs - static_cast<double>(whole);
  const int64_t begin = state_->FirstStep(whole);
  if (part == 0) return begin;
  const int64_t steps = state_->FirstStep(whole + 1) - begin;
  // The small slack keeps 0.1 x 10 from becoming 2 through rounding.
  const double share = std::ceil(part * static_cast<double>(steps) - 1e-9);
  return std::max<int64_t>(1, begin + static_cast<int64_t>(share));
}

double BatchPlan::EpochOf(int64_t step) const {
  const State::Place place = state_->Find(step);
  return static_cast<double>(place.epoch) +
         static_cast<double>(place.step_in_epoch) / static_cast<double>(place.steps_in_epoch);
}

int64_t BatchPlan::num_rows() const { return state_->num_rows(); }
const BatchPlanOptions& BatchPlan::options() const { return state_->options; }

}  // namespace vernier::data
