// What the simulated processes share: time, chance, the object store as far as checkpoints go, and the book
// of who runs what, which notices what must never happen.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/simulation/timeline.h"

namespace vernier::simulation {

// How often things go wrong. All zero: a perfect world.
struct Faults {
  // The network.
  double break_connection = 0;   // per message
  double refuse_stream = 0;      // per dial: somebody is there but lets nobody in
  double partition = 0;          // per agent and 5 seconds: messages are held back for a while
  double partition_one_way = 0;  // likewise, but up or down alone
  double fade = 0;               // likewise: the way down gets slow, then the way up is lost
  double lose_event = 0;         // per event of a task
  double lose_renewal = 0;       // per answer to a heartbeat
  double repeat = 0;             // per acknowledgement, commit, stop and cancellation: it comes again, later
  double delay_ack = 0;          // per acknowledgement: what was said after it overtakes it
  // Agents.
  double crash_agent = 0;           // per agent and 5 seconds
  double clone_agent = 0;           // per agent and 5 seconds: a second process with its id
  double shut_down_agent = 0;       // per agent and 5 seconds: SIGTERM, tasks are stopped first
  double shut_down_at_prepare = 0;  // per placement: SIGTERM before, between or after its two phases
  double stall = 0;                 // per thing to do: the loop is held up, up to a second
  double clock_rate = 0;            // clocks run up to this share faster or slower
  double refuse = 0;                // per placement: the device is not there any more
  // Tasks.
  double kill_trainer = 0;  // per step
  double raise = 0;         // per step
  double lose_model = 0;    // per step: its model is gone, the job fails; somebody resumes it
  double damage = 0;        // per resumed checkpoint
  double hang = 0;          // per stop request: not obeyed
  // vernierd.
  double restart_server = 0;  // per 5 seconds
  double fail_store = 0;      // per 5 seconds
  double zombie = 0;  // per event: one under an older token comes along, of a checkpoint that is not there
};

struct Checkpoint {
  std::string stage;  // "jobs/ID stage"
  int64_t step = 0;
};

// Thread-compatible.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  Timeline timeline;
  Faults faults;
  absl::Time calm_from = absl::InfiniteFuture();  // nothing goes wrong any more, nor do its consequences last
  std::map<std::string, Checkpoint> checkpoints;  // by key
  std::set<std::string> artifacts;                // keys

  absl::Time now() const { return timeline.now(); }
  bool Chance(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }
  int64_t Between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  absl::Duration Span(absl::Duration low, absl::Duration high) {
    return absl::Milliseconds(Between(absl::ToInt64Milliseconds(low), absl::ToInt64Milliseconds(high)));
  }
  std::string RandomId(int num_bytes) {
    std::string id;
    for (int i = 0; i < num_bytes; ++i) absl::StrAppendFormat(&id, "%02x", Between(0, 255));
    return id;
  }

  // --- The book.

  // A trainer starts (stops) on a process' device.
  void Starts(const std::string& stage, const std::string& process, int64_t from_step) {
    if (!running_.emplace(stage, process).second)
      Violation(stage, " runs twice: on ", running_[stage], " and ", process);
    if (!busy_.insert(process).second) Violation(process, " runs two device tasks at once");
    const auto safe = safe_.find(stage);
    if (safe != safe_.end() && from_step < safe->second) {
      Violation(stage, " starts from step ", from_step, " though step ", safe->second, " was acknowledged");
    }
  }
  void Ends(const std::string& stage, const std::string& process) {
    running_.erase(stage);
    busy_.erase(process);
  }
  // The server acknowledged a checkpoint at `step`.
  void Safe(const std::string& stage, int64_t step) { safe_[stage] = std::max(safe_[stage], step); }
  // One was found damaged: older ones count.
  void Damaged(const std::string& stage) { safe_.erase(stage); }

  template <typename... Parts>
  void Violation(const Parts&... parts) {
    violations.push_back(absl::StrCat(absl::FormatTime("%H:%M:%E3S ", now(), absl::UTCTimeZone()), parts...));
  }
  std::vector<std::string> violations;

  // What happened, for comparing two runs of a seed.
  void Note(absl::string_view what) {
    for (const char c : what) trace_ = (trace_ ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  uint64_t trace() const { return trace_; }

 private:
  std::mt19937_64 random_;
  std::map<std::string, std::string> running_;  // stage -> process
  std::set<std::string> busy_;                  // processes
  std::map<std::string, int64_t> safe_;         // stage -> step
  uint64_t trace_ = 14695981039346656037ULL;
};

}  // namespace vernier::simulation
