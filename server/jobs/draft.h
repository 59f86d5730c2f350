// A change being made: copies of the records it touches, the events that tell of it, the effects that follow.
// Commit writes all of it in one transaction and only then changes the State; a Draft that is dropped changed
// nothing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/effects.h"
#include "server/jobs/job_store.h"
#include "server/jobs/record.pb.h"
#include "server/jobs/state.h"
#include "server/limits.h"
#include "vernier/v1/agent_service.pb.h"

namespace vernier::server {

// At most `max_bytes` of `text`, cut between characters and marked where cut.
std::string Shortened(absl::string_view text, size_t max_bytes);

google::protobuf::Timestamp ToTimestamp(absl::Time time);
absl::Time FromTimestamp(const google::protobuf::Timestamp& time);

// Thread-compatible. `state` must outlive it.
class Draft {
 public:
  Draft(State& state, const Limits& limits, absl::Time now) : state_(state), limits_(limits), now_(now) {}

  absl::Time now() const { return now_; }
  const State& state() const { return state_; }

  // The job as this draft has it; null: none.
  const JobRecord* Find(absl::string_view id) const;
  // A copy to change. The reference lives as long as the draft.
  JobRecord& Edit(absl::string_view id);
  JobRecord& Add(JobRecord record);
  // Ids of jobs that have not ended in the state, and of those added or resumed here, by order of submission.
  std::vector<std::string> LiveJobs() const;
  void Delete(const std::string& id);

  uint64_t NextToken();
  uint64_t NextOrder();

  // `message` is a sentence for the user; `level`: info | warning | error; `stage` "" = the job.
  void AddEvent(JobRecord& record, absl::string_view level, absl::string_view stage,
                absl::string_view message);
  void AddPoint(const JobRecord& record, v1::MetricPoint point);
  void SetProgress(const StagePlace& place, const v1::Progress& progress);

  // Further rows of the transaction.
  StoreBatch& batch() { return batch_; }
  // After the commit.
  void Then(Effect effect) { effects_.push_back(std::move(effect)); }
  // Likewise, to the agent with this id, if it is connected then.
  void Tell(absl::string_view agent, v1::ServerMessage message) {
    messages_.emplace_back(std::string(agent), std::move(message));
  }
  // The same, before every other message of this draft.
  void TellFirst(absl::string_view agent, v1::ServerMessage message) {
    messages_.emplace(messages_.begin(), std::string(agent), std::move(message));
  }
  // The newest event of a lease that is dealt with: acknowledged after the commit.
  void Handled(absl::string_view lease, absl::string_view agent, int64_t sequence) {
    handled_[std::string(lease)] = {std::string(agent), sequence};
  }
  // 0: none in this draft.
  int64_t HandledOf(absl::string_view lease) const;

  // Something that scheduling looks at has changed.
  void Reschedule() { reschedule_ = true; }
  bool reschedule() const { return reschedule_; }

  struct HandledEvent {
    std::string agent;
    int64_t sequence = 0;
  };
  struct Committed {
    bool wrote = false;  // there was something to store
    std::vector<Effect> effects;
    std::vector<std::pair<std::string, v1::ServerMessage>> messages;  // agent id, message
    std::map<std::string, HandledEvent> handled;                      // by lease
    std::vector<std::string> started;                                 // leases that count from now on
    std::vector<std::string> released;                                // leases that are no more
  };
  // Call once, last. After an error nothing has changed.
  absl::StatusOr<Committed> Commit(JobStore& store);

 private:
  Counters& counters();
  void CollectLeases(const JobRecord* before, const JobRecord* after, Committed& out) const;

  State& state_;
  const Limits& limits_;
  const absl::Time now_;
  std::map<std::string, JobRecord, std::less<>> edited_;
  std::vector<std::string> added_;
  std::set<std::string, std::less<>> deleted_;
  StoreBatch batch_;
  std::vector<Effect> effects_;
  std::vector<std::pair<std::string, v1::ServerMessage>> messages_;
  std::map<std::string, HandledEvent> handled_;
  std::vector<std::pair<StagePlace, v1::Progress>> progress_;
  bool reschedule_ = false;
};

}  // namespace vernier::server
