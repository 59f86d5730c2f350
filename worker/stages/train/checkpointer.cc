#include "worker/stages/train/checkpointer.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "storage/checkpoint.h"
#include "storage/layout.h"
#include "worker/stages/start.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

constexpr absl::string_view kStatePart = "state";
constexpr absl::string_view kBestPart = "best";

}  // namespace

Checkpointer::Checkpointer(const StageContext& context, std::string output_key)
    : context_(context), output_key_(std::move(output_key)) {}

absl::Status Checkpointer::Start(Snapshot snapshot) {
  if (in_flight_.valid() && in_flight_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    const Stopwatch waited;
    in_flight_.wait();
    ++num_waits_;
    wait_seconds_ += waited.Seconds();
    context_.events.ReportLog(
        "warning",
        absl::StrCat("training waited ", absl::FormatDuration(absl::Seconds(waited.Seconds())),
                     " for the checkpoint before step ", snapshot.step, "; raise checkpoint.every_steps"));
  }
  VN_RETURN_IF_ERROR(Drain());
  std::packaged_task<absl::Status()> write([this, snapshot = std::move(snapshot)] {
    return trainer::TorchCall("writing a checkpoint", [&] { return Write(snapshot); });
  });
  in_flight_ = write.get_future();
  thread_ = std::jthread(std::move(write));
  return absl::OkStatus();
}

absl::Status Checkpointer::Poll() {
  if (!in_flight_.valid() || in_flight_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    return absl::OkStatus();
  }
  return in_flight_.get();
}

absl::Status Checkpointer::Drain() { return in_flight_.valid() ? in_flight_.get() : absl::OkStatus(); }

absl::Status Checkpointer::Write(const Snapshot& snapshot) const {
  const Stopwatch stopwatch;
  const v1::Task& task = context_.task;
  storage::CheckpointWriter writer(
      context_.store, storage::CheckpointsFolder(output_key_),
      {.step = snapshot.step, .token = task.token(), .incarnation = task.incarnation()});
  VN_RETURN_IF_ERROR(writer.AddTensors(kStatePart, ViewsOf(snapshot.buffers)));
  context_.faults.At(trainer::FaultPoint::kDuringCheckpoint, snapshot.step);
  if (snapshot.best != nullptr) VN_RETURN_IF_ERROR(writer.AddTensors(kBestPart, ViewsOf(*snapshot.best)));
  VN_RETURN_IF_ERROR(writer.AddTensors(storage::kLedgerName, storage::TensorsOf(snapshot.ledger),
                                       storage::LedgerMetadata()));
  context_.faults.At(trainer::FaultPoint::kBeforeManifest, snapshot.step);
  VN_ASSIGN_OR_RETURN(const storage::CheckpointWriter::Committed committed,
                      writer.Commit(snapshot.state, {{"job", task.job()}, {"stage", task.stage()}}));
  context_.faults.At(trainer::FaultPoint::kAfterManifest, snapshot.step);
  VN_LOG(INFO) << "checkpoint written key=" << writer.folder() << " bytes=" << committed.manifest.TotalBytes()
               << " seconds=" << stopwatch.Seconds();
  v1::TaskEvent event;
  v1::CheckpointInfo& info = *event.mutable_checkpoint();
  info.set_step(snapshot.step);
  info.set_key(writer.folder());
  info.set_manifest_sha256(committed.manifest_sha256);
  info.set_best(snapshot.is_best);
  info.mutable_create_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  context_.events.Report(std::move(event));
  return absl::OkStatus();
}

absl::StatusOr<Restored> RestoreCheckpoint(storage::ObjectStore& store, const std::string& key,
                                           const std::string& manifest_sha256, const TrainIdentity& identity,
                                           trainer::Run& run) {
  const absl::StatusOr<storage::Checkpoint> checkpoint =
      storage::Checkpoint::Open(store, key, manifest_sha256);
  if (absl::IsNotFound(checkpoint.status())) return absl::DataLossError(checkpoint.status().message());
  VN_RETURN_IF_ERROR(checkpoint.status());
  VN_RETURN_IF_ERROR(CheckIdentity(checkpoint->state(), identity, key));
  Restored restored;
  VN_ASSIGN_OR_RETURN(restored.state,
                      TrainStateFromJson(checkpoint->state(), absl::StrCat(key, "/state.json")));
  VN_ASSIGN_OR_RETURN(const storage::SafetensorsFile state, checkpoint->Tensors(kStatePart));
  VN_ASSIGN_OR_RETURN(const Buffers buffers, ReadBuffers(state, key));
  if (checkpoint->manifest().Find(absl::StrCat(kBestPart, ".safetensors")) != nullptr) {
    VN_ASSIGN_OR_RETURN(const storage::SafetensorsFile best, checkpoint->Tensors(kBestPart));
    VN_ASSIGN_OR_RETURN(Buffers best_buffers, ReadBuffers(best, key));
    restored.best = std::make_shared<const Buffers>(std::move(best_buffers));
  }
  if (checkpoint->manifest().Find(storage::kLedgerFile) != nullptr) {
    VN_ASSIGN_OR_RETURN(const storage::SafetensorsFile ledger, checkpoint->Tensors(storage::kLedgerName));
    VN_ASSIGN_OR_RETURN(restored.ledger, storage::ReadLedger(ledger, key));
  }
  VN_RETURN_IF_ERROR(RestoreBuffers(buffers, "", key, run));
  run.set_num_updates(restored.state.num_updates);
  return restored;
}

}  // namespace vernier::stages
