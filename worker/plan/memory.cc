#include "worker/plan/memory.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/plan/activations.h"
#include "worker/plan/work.h"

namespace vernier::plan {
namespace {

constexpr int64_t kFp32Bytes = 4;
constexpr int64_t kMiB = int64_t{1} << 20;

// What a trainer holds before it loads anything: LibTorch's code and tables, gRPC, stacks, the allocator's
// first arenas. Measured with a model of 27,000 parameters (bench/plan, docs/performance.md).
constexpr int64_t kProcess = 190 * kMiB;
// What the allocator holds beyond what is in use, as a share of what comes and goes within a step.
constexpr double kFragmentation = 0.06;
// The same where shards are computed at once: what one frees lies between what others hold.
constexpr double kSharedFragmentation = 0.08;
// Layers' worth of memory that checkpointing leaves held: what a layer frees lies between the inputs that
// stay.
constexpr int64_t kHeldLayers = 6;
// Prepared rows, mapped: an id and a weight for each token.
constexpr int64_t kRowBytesPerToken = 8;

int64_t FloorLog2(int64_t n) {
  int64_t log = 0;
  while (n > 1) {
    n /= 2;
    ++log;
  }
  return log;
}

bool PublishesBest(const v1::TrainStage& stage, const Batches& batches) {
  return batches.validation_tokens > 0 && stage.publish() != v1::PUBLISH_LAST;
}

class Table {
 public:
  void Add(absl::string_view name, int64_t bytes, std::string detail) {
    if (bytes <= 0) return;
    for (v1::MemoryPart& part : plan_.parts) {
      if (part.name() != name) continue;
      part.set_bytes(part.bytes() + bytes);
      part.set_detail(absl::StrCat(part.detail(), "; ", detail));
      plan_.peak_bytes += bytes;
      return;
    }
    v1::MemoryPart part;
    part.set_name(std::string(name));
    part.set_bytes(bytes);
    part.set_detail(std::move(detail));
    plan_.parts.push_back(std::move(part));
    plan_.peak_bytes += bytes;
  }
  MemoryPlan Finish(absl::string_view phase) {
    plan_.phase = std::string(phase);
    return std::move(plan_);
  }

 private:
  MemoryPlan plan_;
};

// "134.5 M".
std::string Millions(int64_t number) { return absl::StrFormat("%.1f M", static_cast<double>(number) / 1e6); }

}  // namespace

int64_t TrainedParameters(const v1::ModelShape& shape, const v1::Tuning& tuning) {
  // Frozen parts of full tuning are not told apart: the plan is on the safe side.
  if (tuning.has_full()) return shape.matrix_parameters() + shape.vector_parameters();
  return LoraParameters(shape, tuning.lora());
}

MemoryPlan MemoryOf(const v1::ModelShape& shape, const v1::TrainStage& stage, const Batches& batches,
                    bool bf16, int threads, int64_t checkpointed_layers) {
  const bool full = stage.tuning().has_full();
  const int64_t element = bf16 ? 2 : kFp32Bytes;
  const int64_t trained = TrainedParameters(shape, stage.tuning());
  const int64_t base = shape.matrix_parameters() * element + shape.vector_parameters() * kFp32Bytes;
  const bool converts = bf16 ? !shape.stored_bf16() : !shape.stored_fp32();
  const int64_t moments = stage.optimizer().has_sgd() ? (stage.optimizer().sgd().momentum() > 0 ? 1 : 0) : 2;
  const int64_t gradients = FloorLog2(std::max(1, stage.virtual_shards())) + 1;
  const int64_t every = stage.checkpoint().has_every_steps() ? stage.checkpoint().every_steps() : 50;
  const std::string precision = bf16 ? "bf16" : "fp32";

  const auto common = [&](Table& table) {
    table.Add("process", kProcess, "LibTorch, the runtime");
    table.Add("process", std::min(batches.tokens, batches.rows * batches.longest_row) * kRowBytesPerToken,
              "prepared rows");
    table.Add("base_weights", base,
              absl::StrCat(Millions(shape.matrix_parameters() + shape.vector_parameters()), " parameters in ",
                           precision));
  };
  const auto tuned = [&](Table& table) {
    common(table);
    table.Add(full ? "master_weights" : "adapter", trained * kFp32Bytes,
              absl::StrCat(Millions(trained), " trained parameters in fp32"));
    table.Add("optimizer", moments * trained * kFp32Bytes,
              absl::StrCat(moments, moments == 1 ? " moment" : " moments", " in fp32"));
    if (PublishesBest(stage, batches))
      table.Add("copies", trained * kFp32Bytes, "the best parameters so far");
  };
  // A checkpoint is written from a copy while training goes on.
  const int64_t snapshot = (1 + moments) * trained * kFp32Bytes;

  const Batches::AtOnce at_once = AtOnceOn(batches, stage, threads);
  const int64_t tokens = at_once.tokens;
  const int64_t labelled = std::min<int64_t>(
      tokens, std::llround(1.25 * batches.labelled_share * static_cast<double>(tokens)) + 1);
  const KeptBytes kept = KeptBytesOf(shape, stage.tuning(), bf16);
  const int64_t activations = kept.Total(tokens, labelled, shape.num_layers(), checkpointed_layers);
  const ScratchBytes scratch = ScratchBytesOf(shape, stage.tuning(), bf16, tokens, labelled);
  // A checkpointed layer keeps all it has while it is computed again; the others are gone by then.
  const int64_t again = checkpointed_layers == 0
                            ? 0
                            : kept.layer + kept.layer_per_token * tokens -
                                  std::max<int64_t>(0, shape.num_layers() - checkpointed_layers) *
                                      kept.layer_per_token * tokens;
  const auto stepping = [&](Table& table) {
    table.Add("activations", activations,
              absl::StrCat(tokens, " tokens x ", shape.num_layers(), " layers",
                           checkpointed_layers > 0
                               ? absl::StrCat(", ", std::min(checkpointed_layers, shape.num_layers()),
                                              " of them checkpointed")
                               : ""));
    table.Add("step_scratch", std::max({at_once.lanes * scratch.loss, scratch.layer, scratch.layer + again}),
              "logits of a chunk, or gradients within a layer");
    table.Add("allocator",
              std::llround((kFragmentation + (at_once.lanes > 1 ? kSharedFragmentation : 0.0)) *
                           static_cast<double>(activations)) +
                  std::min(checkpointed_layers, kHeldLayers) * kept.layer_per_token * tokens,
              "held, but not in use");
  };

  Table training;
  tuned(training);
  training.Add("gradients", gradients * trained * kFp32Bytes,
               absl::StrCat(gradients, " sums of ", stage.virtual_shards(), " shards in fp32"));
  if (every > 0 && batches.steps > every) training.Add("copies", snapshot, "a checkpoint being written");
  stepping(training);

  // After the last step: the allocator still holds what the step had.
  Table saving;
  tuned(saving);
  saving.Add("gradients", trained * kFp32Bytes, "1 sum in fp32");
  if (every > 0) saving.Add("copies", snapshot, "a checkpoint being written");
  stepping(saving);

  Table loading;
  common(loading);
  if (converts) loading.Add("copies", shape.stored_bytes(), "the model's files while they are converted");

  Table publishing;
  tuned(publishing);
  publishing.Add("gradients", trained * kFp32Bytes, "1 sum in fp32");
  publishing.Add("copies", full ? shape.stored_bytes() : trained * kFp32Bytes, "what is published");
  if (full) {
    publishing.Add("copies", converts ? shape.stored_bytes() + base : shape.stored_bytes(),
                   "read again and compared");
  } else {
    publishing.Add("copies", trained * kFp32Bytes, "read again and compared");
  }

  MemoryPlan best = training.Finish("training");
  for (MemoryPlan other :
       {saving.Finish("training"), loading.Finish("loading"), publishing.Finish("publishing")}) {
    if (other.peak_bytes > best.peak_bytes) best = std::move(other);
  }
  return best;
}

}  // namespace vernier::plan
