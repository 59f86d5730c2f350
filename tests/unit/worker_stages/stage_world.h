// A store with a tiny model and data, and a context that records what stages report and asks them to stop.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/mutex.h"
#include "storage/memory_store.h"
#include "tests/testing/tiny_model.h"
#include "worker/stages/stage.h"
#include "worker/trainer/task_context.h"

namespace vernier::stages {

// Thread-safe.
class RecordingContext final : public trainer::TaskContext {
 public:
  void Report(v1::TaskEvent event) override {
    if (on_event) on_event(event);
    {
      const MutexLock lock(mutex_);
      if (event.has_metric()) newest_step_ = event.metric().step();
      events_.push_back(std::move(event));
    }
    changed_.NotifyAll();
  }
  bool stop_requested() const override { return stop; }
  std::optional<v1::GenerateMore> AwaitMore() override {
    if (further.empty()) return std::nullopt;
    v1::GenerateMore next = std::move(further.front());
    further.pop_front();
    return next;
  }
  int64_t interrupted_turn() const override { return interrupted; }

  // Waits until metrics of `step` were reported; false: `deadline` passed first.
  bool WaitForStep(int64_t step, absl::Time deadline) {
    const MutexLock lock(mutex_);
    while (newest_step_ < step && absl::Now() < deadline) changed_.WaitUntil(mutex_, deadline);
    return newest_step_ >= step;
  }

  std::vector<v1::TaskEvent> events() const {
    const MutexLock lock(mutex_);
    return events_;
  }
  std::vector<v1::CheckpointInfo> checkpoints() const {
    std::vector<v1::CheckpointInfo> found;
    for (const v1::TaskEvent& event : events()) {
      if (event.has_checkpoint()) found.push_back(event.checkpoint());
    }
    return found;
  }
  // Values of `metric` by step, in the order they were reported.
  std::vector<std::pair<int64_t, double>> metric(const std::string& name) const {
    std::vector<std::pair<int64_t, double>> found;
    for (const v1::TaskEvent& event : events()) {
      if (!event.has_metric()) continue;
      const auto value = event.metric().values().find(name);
      if (value != event.metric().values().end()) found.emplace_back(event.metric().step(), value->second);
    }
    return found;
  }
  std::vector<std::string> logs() const {
    std::vector<std::string> found;
    for (const v1::TaskEvent& event : events()) {
      if (event.has_log()) found.push_back(event.log().message());
    }
    return found;
  }
  // Null when none was published.
  std::unique_ptr<v1::Artifact> artifact() const {
    for (const v1::TaskEvent& event : events()) {
      if (event.has_artifact()) return std::make_unique<v1::Artifact>(event.artifact());
    }
    return nullptr;
  }

  std::function<void(const v1::TaskEvent&)> on_event;  // called before the event is recorded
  std::atomic<bool> stop = false;
  std::deque<v1::GenerateMore> further;  // requests after the task's own; then a stop
  std::atomic<int64_t> interrupted = 0;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  int64_t newest_step_ VN_GUARDED_BY(mutex_) = -1;
  std::vector<v1::TaskEvent> events_ VN_GUARDED_BY(mutex_);
};

// One attempt at a task.
struct Attempt {
  RecordingContext context;
  trainer::TaskOutcome outcome;
  absl::Status status;
};

class StageWorld {
 public:
  static constexpr char kPrepared[] = "tenants/default/prepared/numbers";
  static constexpr char kOutput[] = "tenants/default/jobs/j1/stages/sft";

  // `train_rows` rows to train on and 6 for validation.
  explicit StageWorld(int train_rows = 20) {
    ConfigureOnce();
    model_key = tiny::ImportModel(store).value();
    rows = tiny::MakeRows(train_rows);
    validation = tiny::MakeRows(6, 500);
    Prepare();
  }
  void Prepare() { VN_CHECK_OK(tiny::WritePrepared(store, kPrepared, rows, validation)); }

  // An attempt of its own: a new fencing token and incarnation.
  v1::Task NewTask() {
    v1::Task task;
    task.set_job("jobs/j1");
    task.set_stage("sft");
    task.set_attempt(static_cast<int32_t>(++num_attempts_));
    task.set_token(num_attempts_);
    task.set_incarnation("i" + std::to_string(num_attempts_));
    task.set_seed(17);
    return task;
  }
  // Trains `stage` on the prepared rows.
  v1::Task TrainTask(const v1::TrainStage& stage) {
    v1::Task task = NewTask();
    v1::TrainTask& train = *task.mutable_train();
    *train.mutable_stage() = stage;
    train.set_model_key(model_key);
    train.set_prepared_key(kPrepared);
    train.set_output_key(kOutput);
    train.set_model_name("tiny");
    return task;
  }
  v1::Task EvaluateTask(const std::string& adapter_key, const std::vector<std::string>& metrics) {
    v1::Task task = NewTask();
    v1::EvaluateTask& evaluate = *task.mutable_evaluate();
    for (const std::string& metric : metrics) evaluate.mutable_stage()->add_metrics(metric);
    evaluate.mutable_stage()->set_precision(v1::PRECISION_FP32);
    evaluate.mutable_stage()->mutable_decoding()->set_max_new_tokens(24);
    evaluate.set_model_key(model_key);
    evaluate.set_prepared_key(kPrepared);
    evaluate.set_output_key("tenants/default/jobs/j1/stages/judge");
    evaluate.set_adapter_key(adapter_key);
    evaluate.set_use_validation(true);
    return task;
  }

  std::unique_ptr<Attempt> Run(const v1::Task& task, const trainer::FaultHooks& faults = {},
                               std::function<void(Attempt&)> prepare = nullptr) {
    auto attempt = std::make_unique<Attempt>();
    if (prepare) prepare(*attempt);
    storage::ObjectStore& used = store_override != nullptr ? *store_override : store;
    attempt->status = RunStage({task, used, attempt->context, faults}, attempt->outcome);
    return attempt;
  }
  // SHA-256 of the published tensors.
  static std::string TensorDigest(const Attempt& attempt) {
    const auto artifact = attempt.context.artifact();
    if (artifact == nullptr) return "nothing published";
    for (const v1::ArtifactFile& file : artifact->files()) {
      if (file.name().ends_with(".safetensors")) return file.sha256();
    }
    return "no tensors published";
  }

  storage::MemoryStore store;
  storage::ObjectStore* store_override = nullptr;  // used by Run instead, when set
  std::string model_key;
  std::vector<tiny::Row> rows, validation;

 private:
  static void ConfigureOnce();
  uint64_t num_attempts_ = 0;
};

// lora, AdamW, fp32, 8 steps of 4 rows, validated every 3 steps, a checkpoint every 2.
v1::TrainStage SmallStage();

}  // namespace vernier::stages
