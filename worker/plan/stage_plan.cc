#include "worker/plan/stage_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/plan/batches.h"
#include "worker/plan/fit.h"
#include "worker/plan/memory.h"
#include "worker/plan/model_shape.h"
#include "worker/plan/work.h"

namespace vernier::plan {
namespace {

// Training and validation on a device with this rate.
double SecondsOf(const StageFacts& facts, const Batches& batches, int64_t checkpointed, const Rate& rate) {
  const double flops =
      TrainingFlops(facts.shape, facts.stage, batches, checkpointed) +
      static_cast<double>(NumValidations(facts.stage, batches)) * ValidationFlops(facts.shape, batches);
  return flops / rate.flops_per_second;
}

// The parts that matter, largest first: "activations 5.1 GB, base_weights 0.3 GB".
std::string LargestParts(const MemoryPlan& memory) {
  std::vector<v1::MemoryPart> parts = memory.parts;
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.bytes() > b.bytes(); });
  parts.resize(std::min<size_t>(parts.size(), 3));
  return absl::StrJoin(parts, ", ", [](std::string* out, const v1::MemoryPart& part) {
    absl::StrAppend(out, part.name(), " ", HumanBytes(part.bytes()));
  });
}

void DescribeProblem(const StageFacts& facts, const Batches& batches, const Device& device,
                     const MemoryPlan& memory, v1::StagePlan& plan) {
  std::string problem =
      absl::StrCat("it needs ", HumanBytes(memory.peak_bytes), " of memory (", LargestParts(memory),
                   "), and agent ", device.agent, " has ", HumanBytes(device.memory_bytes));
  const std::optional<NearestFit> nearest = FindNearestFit(facts, batches, device);
  if (nearest.has_value()) {
    for (const std::string& change : nearest->changes) plan.add_changes(change);
    absl::StrAppend(&problem, "; it fits with ", absl::StrJoin(nearest->changes, ", "), " (",
                    HumanBytes(nearest->peak_bytes), ")");
  } else {
    absl::StrAppend(&problem, "; no setting makes it fit: use a smaller model or a machine with more memory");
  }
  plan.set_problem(std::move(problem));
}

}  // namespace

bool UsesBf16(v1::Precision precision, bool device_has_bf16) {
  if (precision == v1::PRECISION_FP32) return false;
  return precision == v1::PRECISION_BF16 || device_has_bf16;
}

absl::StatusOr<v1::StagePlan> PlanTrain(const StageFacts& facts, absl::Span<const Device> devices,
                                        const RateFn& rate) {
  VN_RETURN_IF_ERROR(CheckModelShape(facts.shape, "the model's shape"));
  VN_ASSIGN_OR_RETURN(const Batches batches,
                      BatchesOf(facts.report, facts.num_rows, facts.stage, facts.seed));
  v1::StagePlan plan;
  plan.set_num_layers(static_cast<int32_t>(facts.shape.num_layers()));
  plan.set_steps(batches.steps);
  plan.set_rows(batches.rows);
  plan.set_tokens(batches.tokens);
  plan.set_micro_batch_tokens(batches.largest_micro_batch);
  plan.set_longest_row_tokens(batches.longest_row);
  plan.set_rows_measured(batches.measured);
  if (!batches.measured) {
    plan.add_notes(absl::StrCat("the rows are not prepared yet: each is taken to have ", batches.longest_row,
                                " tokens, the most that data.max_tokens allows"));
  }
  if (facts.stage.has_init_from() && facts.stage.tuning().has_lora() &&
      !facts.stage.tuning().lora().has_rank()) {
    plan.add_notes("the adapter of init_from has its own rank: 8 is assumed");
  }
  std::vector<Device> all(devices.begin(), devices.end());
  if (all.empty()) {
    all.push_back({.bf16 = true});
    plan.add_notes("no agent is connected: there is nothing to compare with");
  }
  // The table is of the device that fits with the least work done twice, else of the one with most memory.
  std::optional<size_t> chosen;
  std::vector<MemoryPlan> memories;
  size_t largest = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Device& device = all[i];
    const bool bf16 = UsesBf16(facts.stage.precision(), device.bf16);
    const int64_t checkpointed = ChooseCheckpointedLayers(facts, batches, device, bf16);
    memories.push_back(MemoryOf(facts.shape, facts.stage, batches, bf16, device.threads, checkpointed));
    v1::DevicePlan& row = *plan.add_devices();
    row.set_agent(device.agent);
    row.set_host(device.host);
    row.set_device(device.id);
    row.set_memory_bytes(device.memory_bytes);
    row.set_precision(bf16 ? "bf16" : "fp32");
    row.set_peak_bytes(memories.back().peak_bytes);
    row.set_checkpointed_layers(static_cast<int32_t>(checkpointed));
    row.set_fits(device.memory_bytes == 0 || memories.back().peak_bytes <= device.memory_bytes);
    if (const std::optional<Rate> known = rate(device, bf16, facts.stage.tuning().has_full());
        known.has_value() && known->flops_per_second > 0) {
      row.set_seconds(SecondsOf(facts, batches, checkpointed, *known));
      const double training = TrainingFlops(facts.shape, facts.stage, batches, checkpointed);
      row.set_tokens_per_second(static_cast<double>(batches.tokens) * known->flops_per_second /
                                std::max(1.0, training));
      row.set_rate_basis(known->basis);
    } else {
      row.set_rate_basis(absl::StrCat("unknown until a first job has run there in ", row.precision(),
                                      facts.stage.tuning().has_full() ? ", training all weights" : ""));
    }
    if (row.fits() && (!chosen.has_value() || checkpointed < plan.devices(*chosen).checkpointed_layers())) {
      chosen = i;
    }
    if (device.memory_bytes > all[largest].memory_bytes) largest = i;
  }
  const size_t shown = chosen.value_or(largest);
  const MemoryPlan& memory = memories[shown];
  plan.set_precision(plan.devices(static_cast<int>(shown)).precision());
  plan.set_checkpointed_layers(plan.devices(static_cast<int>(shown)).checkpointed_layers());
  plan.set_flops(TrainingFlops(facts.shape, facts.stage, batches, plan.checkpointed_layers()));
  for (const v1::MemoryPart& part : memory.parts) *plan.add_memory() = part;
  plan.set_peak_bytes(memory.peak_bytes);
  plan.set_peak_phase(memory.phase);
  if (!chosen.has_value()) DescribeProblem(facts, batches, all[shown], memory, plan);
  return plan;
}

}  // namespace vernier::plan
