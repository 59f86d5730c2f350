#include "worker/plan/fit.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/plan/memory.h"

namespace vernier::plan {
namespace {

constexpr int64_t kLeastMicroBatch = 64;
constexpr int64_t kLeastMaxTokens = 128;

// Numbers of layers that are tried: all of every model there is.
constexpr int64_t kMaxTried = 128;

// The fewest of `layers` layers with which fits(count); all when none does. What fits with some need not fit
// with more: the first ones may cost more than they save.
int64_t FewestLayers(int64_t layers, const std::function<bool(int64_t)>& fits) {
  const int64_t stride = layers / kMaxTried + 1;
  for (int64_t count = 0; count < layers; count += stride) {
    if (fits(count)) return count;
  }
  return layers;
}

// A setting of the stage, with what its batches become.
struct Setting {
  v1::TrainStage stage;
  Batches batches;
};

int64_t PeakOf(const v1::ModelShape& shape, const Setting& setting, const Device& device) {
  return MemoryOf(shape, setting.stage, setting.batches, UsesBf16(setting.stage.precision(), device.bf16),
                  device.threads, setting.stage.checkpointed_layers())
      .peak_bytes;
}

class Search {
 public:
  Search(const StageFacts& facts, const Batches& batches, const Device& device)
      : facts_(facts), device_(device), start_{facts.stage, batches} {}

  std::optional<NearestFit> Run() const {
    // All of what is tried first comes before any of what is tried next.
    std::vector<Change> changes;
    Setting now = start_;
    for (const Change& change : Changes()) {
      if (!change.applies(now)) continue;
      changes.push_back(change);
      change.apply(now);
      if (Fits(now)) break;
    }
    if (!Fits(now)) return std::nullopt;
    // Those that turn out not to be needed go, the costliest first.
    for (size_t i = changes.size(); i-- > 0;) {
      std::vector<Change> without = changes;
      without.erase(without.begin() + static_cast<int64_t>(i));
      Setting tried = Apply(without);
      if (!Fits(tried)) continue;
      changes = std::move(without);
      now = std::move(tried);
    }
    Relax(now);
    NearestFit fit;
    for (const Change& change : changes) fit.changes.push_back(change.text(now));
    fit.peak_bytes = PeakOf(facts_.shape, now, device_);
    return fit;
  }

 private:
  struct Change {
    std::function<bool(const Setting&)> applies;
    std::function<void(Setting&)> apply;
    std::function<std::string(const Setting&)> text;
  };

  bool Fits(const Setting& setting) const {
    return PeakOf(facts_.shape, setting, device_) <= device_.memory_bytes;
  }
  Setting Apply(const std::vector<Change>& changes) const {
    Setting setting = start_;
    for (const Change& change : changes) change.apply(setting);
    return setting;
  }
  void SetMicroBatch(Setting& setting, int64_t tokens) const {
    setting.stage.set_micro_batch_tokens(static_cast<int32_t>(tokens));
    // A row that is longer is a micro-batch of its own.
    const int64_t most = std::max(tokens, setting.batches.longest_row);
    setting.batches.largest_micro_batch = std::min(start_.batches.largest_micro_batch, most);
    for (size_t i = 0; i < start_.batches.at_once.size(); ++i) {
      setting.batches.at_once[i].tokens = std::min(start_.batches.at_once[i].tokens, most);
    }
  }
  void SetMaxTokens(Setting& setting, int64_t tokens) const {
    setting.stage.mutable_data()->set_max_tokens(static_cast<int32_t>(tokens));
    if (setting.stage.data().on_overlong() == v1::ON_OVERLONG_REFUSE) {
      setting.stage.mutable_data()->set_on_overlong(v1::ON_OVERLONG_TRUNCATE);
    }
    setting.batches.longest_row = std::min(start_.batches.longest_row, tokens);
    SetMicroBatch(setting, setting.stage.micro_batch_tokens());
  }

  std::vector<Change> Changes() const {
    const int64_t layers = facts_.shape.num_layers();
    std::vector<Change> changes;
    changes.push_back({[=](const Setting& s) { return s.stage.checkpointed_layers() < layers; },
                       [=](Setting& s) { s.stage.set_checkpointed_layers(static_cast<int32_t>(layers)); },
                       [](const Setting& s) {
                         return absl::StrCat("checkpointed_layers: ", s.stage.checkpointed_layers());
                       }});
    changes.push_back({[](const Setting& s) { return s.batches.largest_micro_batch > s.batches.longest_row; },
                       [this](Setting& s) { SetMicroBatch(s, kLeastMicroBatch); },
                       [](const Setting& s) {
                         return absl::StrCat("micro_batch_tokens: ", s.stage.micro_batch_tokens());
                       }});
    changes.push_back(
        {[this](const Setting& s) { return device_.bf16 && s.stage.precision() == v1::PRECISION_FP32; },
         [](Setting& s) { s.stage.set_precision(v1::PRECISION_BF16); },
         [](const Setting&) { return std::string("precision: bf16"); }});
    changes.push_back({[](const Setting& s) { return s.stage.virtual_shards() > 1; },
                       [](Setting& s) { s.stage.set_virtual_shards(1); },
                       [](const Setting&) { return std::string("virtual_shards: 1"); }});
    changes.push_back({[](const Setting& s) { return s.batches.longest_row > kLeastMaxTokens; },
                       [this](Setting& s) {
                         SetMaxTokens(s, kLeastMaxTokens);
                         SetMicroBatch(s, kLeastMicroBatch);
                       },
                       [](const Setting& s) {
                         return absl::StrCat(
                             "data.max_tokens: ", s.stage.data().max_tokens(), " with data.on_overlong: ",
                             s.stage.data().on_overlong() == v1::ON_OVERLONG_TRUNCATE ? "truncate"
                             : s.stage.data().on_overlong() == v1::ON_OVERLONG_SPLIT  ? "split"
                                                                                      : "drop",
                             " and micro_batch_tokens: ", s.stage.micro_batch_tokens());
                       }});
    changes.push_back({[](const Setting& s) { return s.stage.tuning().has_full(); },
                       [](Setting& s) {
                         s.stage.mutable_tuning()->mutable_lora()->set_rank(8);
                         s.stage.mutable_tuning()->mutable_lora()->add_targets("all_linear");
                       },
                       [](const Setting&) { return std::string("tuning: {lora: {}}"); }});
    return changes;
  }

  // From the smallest to the largest value that still fits.
  void Relax(Setting& now) const {
    const auto grow = [&](int64_t from, int64_t most, const std::function<void(Setting&, int64_t)>& set) {
      for (int64_t value = 2 * from; value <= most; value *= 2) {
        Setting tried = now;
        set(tried, value);
        if (!Fits(tried)) return;
        now = std::move(tried);
      }
    };
    if (now.batches.longest_row < start_.batches.longest_row) {
      grow(now.stage.data().max_tokens(), start_.batches.longest_row,
           [this](Setting& s, int64_t value) { SetMaxTokens(s, value); });
    }
    if (now.stage.micro_batch_tokens() < start_.stage.micro_batch_tokens()) {
      grow(now.stage.micro_batch_tokens(), start_.stage.micro_batch_tokens(),
           [this](Setting& s, int64_t value) { SetMicroBatch(s, value); });
      // Below the longest row the setting means nothing: a number that a reader would choose.
      int64_t least = kLeastMicroBatch;
      while (least < std::min<int64_t>(now.batches.longest_row, start_.stage.micro_batch_tokens()))
        least *= 2;
      if (least > now.stage.micro_batch_tokens()) {
        Setting tried = now;
        SetMicroBatch(tried, least);
        if (Fits(tried)) now = std::move(tried);
      }
    }
    if (now.stage.checkpointed_layers() == start_.stage.checkpointed_layers()) return;
    const int64_t fewest = FewestLayers(facts_.shape.num_layers(), [&](int64_t count) {
      Setting tried = now;
      tried.stage.set_checkpointed_layers(static_cast<int32_t>(count));
      return Fits(tried);
    });
    now.stage.set_checkpointed_layers(static_cast<int32_t>(fewest));
  }

  const StageFacts& facts_;
  const Device& device_;
  const Setting start_;
};

}  // namespace

int64_t ChooseCheckpointedLayers(const StageFacts& facts, const Batches& batches, const Device& device,
                                 bool bf16) {
  const int64_t layers = facts.shape.num_layers();
  if (facts.stage.has_checkpointed_layers()) {
    return std::min<int64_t>(layers, facts.stage.checkpointed_layers());
  }
  if (device.memory_bytes == 0) return 0;
  const double comfortable = kComfortable * static_cast<double>(device.memory_bytes);
  return FewestLayers(layers, [&](int64_t count) {
    const MemoryPlan memory = MemoryOf(facts.shape, facts.stage, batches, bf16, device.threads, count);
    // Beyond training, checkpointing changes nothing.
    return static_cast<double>(memory.peak_bytes) <= comfortable || memory.phase != "training";
  });
}

std::optional<NearestFit> FindNearestFit(const StageFacts& facts, const Batches& batches,
                                         const Device& device) {
  return Search(facts, batches, device).Run();
}

}  // namespace vernier::plan
