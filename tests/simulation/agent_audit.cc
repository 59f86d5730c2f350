#include "tests/simulation/agent_audit.h"

#include <limits>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::simulation {
namespace {

constexpr int kMostIdleTurns = 100;

}  // namespace

void AgentAudit::Receives(const v1::ServerMessage& message) {
  switch (message.message_case()) {
    case v1::ServerMessage::kWelcome: {
      std::set<std::string> lost;
      for (const auto& [key, step] : unstored_) {
        if (!absl::c_linear_search(message.welcome().keep(), key.first)) lost.insert(key.first);
      }
      for (const std::string& lease : lost) Forget(lease);
      return;
    }
    case v1::ServerMessage::kPrepare:
      if (shut_down_) too_late_.insert(message.prepare().lease());
      return;
    case v1::ServerMessage::kCommit:
      if (shut_down_) too_late_.insert(message.commit().lease());
      return;
    case v1::ServerMessage::kCancel: {
      const std::string& lease = message.cancel().lease();
      // A heartbeat that lists a lease may cross the acknowledgement of its end: the answer to it harms nobody.
      if (world_.now() > world_.calm_from && running_.contains(lease) &&
          absl::StrContains(message.cancel().reason(), "not held")) {
        world_.Violation(process_, " is told to drop ", lease, ", which it runs, though nothing goes wrong");
      }
      return Forget(lease);
    }
    case v1::ServerMessage::kAck:
      return Stored(message.ack().lease(), message.ack().sequence());
    default:
      return;
  }
}

void AgentAudit::Sends(const v1::AgentMessage& message) {
  if (message.has_prepare_reply() && message.prepare_reply().ok() &&
      too_late_.contains(message.prepare_reply().lease())) {
    world_.Violation(process_, " takes ", message.prepare_reply().lease(), " though it shuts down");
  }
  if (!message.has_event()) return;
  const std::string& lease = message.event().lease();
  const v1::TaskEvent& event = message.event().event();
  const auto [newest, first] = sent_.emplace(lease, event.sequence());
  if (!first && event.sequence() != newest->second + 1) {
    world_.Violation(process_, " sends event ", event.sequence(), " of ", lease, " after event ",
                     newest->second);
  }
  newest->second = event.sequence();
  if (event.has_checkpoint()) unstored_[{lease, event.sequence()}] = event.checkpoint().step();
  if (!event.has_finished()) return;
  unstored_[{lease, event.sequence()}] = -1;
  running_.erase(lease);
}

void AgentAudit::Starts(const std::string& lease, const v1::Task& task) {
  world_.Note(absl::StrCat(process_, " starts ", lease));
  if (!started_.emplace(lease, absl::StrCat(task.job(), " ", task.stage())).second) {
    world_.Violation(process_, " starts ", lease, " twice");
  }
  if (too_late_.contains(lease)) world_.Violation(process_, " starts ", lease, " though it shuts down");
  running_.insert(lease);
}

void AgentAudit::Stops(absl::string_view lease, absl::string_view reason) {
  world_.Note(absl::StrCat(process_, " stops ", lease));
  if (world_.now() > world_.calm_from && absl::StrContains(reason, "not renewed")) {
    world_.Violation(process_, " loses ", lease, " though nothing goes wrong");
  }
}

void AgentAudit::CarriedOut(absl::string_view not_stopping) {
  if (shut_down_ && !not_stopping.empty()) {
    world_.Violation(process_, " shuts down and does not stop ", not_stopping);
  }
}

void AgentAudit::Turned(bool something_happened) {
  num_idle_turns_ = something_happened ? 0 : num_idle_turns_ + 1;
  if (num_idle_turns_ == kMostIdleTurns) world_.Violation(process_, " wakes up again and again for nothing");
}

void AgentAudit::Leaves(bool connected, absl::string_view running) {
  if (!running.empty()) world_.Violation(process_, " leaves though ", running, " runs");
  if (connected && !unstored_.empty()) {
    const auto& [lease, sequence] = unstored_.begin()->first;
    world_.Violation(process_, " leaves though event ", sequence, " of ", lease, " is not stored");
  }
}

void AgentAudit::Stored(const std::string& lease, int64_t up_to) {
  auto it = unstored_.lower_bound({lease, 0});
  while (it != unstored_.end() && it->first.first == lease && it->first.second <= up_to) {
    if (it->second >= 0) world_.Safe(started_.at(lease), it->second);
    it = unstored_.erase(it);
  }
}

void AgentAudit::Forget(const std::string& lease) {
  running_.erase(lease);
  unstored_.erase(unstored_.lower_bound({lease, 0}),
                  unstored_.upper_bound({lease, std::numeric_limits<int64_t>::max()}));
}

}  // namespace vernier::simulation
