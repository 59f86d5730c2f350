#include "server/strand.h"

#include <algorithm>

namespace vernier::server {

Strand::Strand(Options options, std::unique_ptr<Core> core, Clock& clock)
    : options_(std::move(options)), core_(std::move(core)), clock_(clock), thread_([this] { Run(); }) {}

Strand::~Strand() { Stop(); }

absl::Status Strand::Post(Task task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return absl::UnavailableError("vernierd is stopping; try again once it is back");
    if (queue_.size() >= options_.max_queued) {
      return absl::ResourceExhaustedError(
          "vernierd has more calls waiting than it takes; try again in a moment");
    }
    queue_.push_back(std::move(task));
  }
  wake_.NotifyOne();
  return absl::OkStatus();
}

void Strand::PostAlways(Task task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(task));
  }
  wake_.NotifyOne();
}

void Strand::PostAgentMessage(ConnectionId connection, v1::AgentMessage message,
                              absl::AnyInvocable<void()> done) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    queue_.push_back(AgentItem{connection, std::move(message), std::move(done)});
  }
  wake_.NotifyOne();
}

void Strand::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

absl::Time Strand::Now() {
  latest_ = std::max(latest_, clock_.Now());
  return latest_;
}

void Strand::Run() {
  while (true) {
    std::deque<Item> batch;
    {
      const absl::Time wakeup = core_->NextWakeup();
      const MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_ && clock_.Now() < wakeup) wake_.WaitUntil(mutex_, wakeup);
      if (queue_.empty() && stopping_) return;
      batch.swap(queue_);
    }
    RunBatch(std::move(batch));
  }
}

void Strand::RunBatch(std::deque<Item> batch) {
  std::vector<absl::AnyInvocable<void()>> done;
  const absl::Time now = Now();
  while (!batch.empty()) {
    if (Task* task = std::get_if<Task>(&batch.front())) {
      (*task)(*core_, now);
      batch.pop_front();
      continue;
    }
    std::vector<std::pair<ConnectionId, v1::AgentMessage>> messages;
    while (!batch.empty() && std::holds_alternative<AgentItem>(batch.front())) {
      AgentItem& item = std::get<AgentItem>(batch.front());
      messages.emplace_back(item.connection, std::move(item.message));
      done.push_back(std::move(item.done));
      batch.pop_front();
    }
    core_->AgentMessages(messages, now);
  }
  if (now >= core_->NextWakeup()) core_->Tick(now);
  // An effect's execution may call Core again, which may have effects of its own.
  for (std::vector<Effect> effects = core_->TakeEffects(); !effects.empty(); effects = core_->TakeEffects()) {
    for (Effect& effect : effects) options_.execute(*this, *core_, effect);
  }
  for (absl::AnyInvocable<void()>& notify : done) notify();
  if (options_.after_batch) options_.after_batch(*core_);
}

}  // namespace vernier::server
