// Random calls, messages (true, late, doubled, forged), time, restarts and store failures against one Core.
// After every one of them the laws of its state hold. A failure prints the seed and how far it came.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log.h"
#include "server/core.h"
#include "server/jobs/memory_job_store.h"
#include "server/jobs/transitions.h"

namespace vernier::server {
namespace {

constexpr char kTenant[] = "default";
constexpr int kSeeds = 150;
constexpr int kEventsPerSeed = 400;

class RandomEvents {
 public:
  explicit RandomEvents(uint64_t seed) : random_(seed) {
    options_.random_id = [this](int num_bytes) { return absl::StrFormat("%0*x", 2 * num_bytes, ++last_id_); };
    options_.limits.max_waiting_jobs = 6;
    Restart();
    v1::Dataset dataset;
    dataset.set_name("rows");
    dataset.set_digest(std::string(64, 'd'));
    EXPECT_TRUE(core_->RegisterDataset(kTenant, dataset, now_).ok());
    v1::Model model;
    model.set_name("model");
    model.set_digest(std::string(64, 'e'));
    EXPECT_TRUE(core_->RegisterModel(kTenant, model, now_).ok());
  }

  void Step() {
    switch (Upto(19)) {
      case 0:
      case 1:
        Submit();
        break;
      case 2:
        AskForSomething();
        break;
      case 3:
        Connect();
        break;
      case 4:
        if (Upto(3) == 0) Disconnect();
        break;
      case 5:
        if (Upto(5) == 0) Restart();
        break;
      case 6:
        store_.FailWith(Upto(4) == 0 ? absl::ResourceExhaustedError("full") : absl::OkStatus());
        break;
      case 7:
      case 8:
        now_ += absl::Milliseconds(Upto(8000));
        core_->Tick(now_);
        break;
      case 9:
        Generate();
        break;
      default:
        for (int i = Upto(3); i >= 0; --i) SayOne();
        break;
    }
    Pump();
  }

  // The laws.
  void Check() {
    const StoreSnapshot snapshot = *store_.Load();
    std::set<std::pair<std::string, std::string>> devices;
    std::set<std::string> leases;
    std::set<uint64_t> tokens;
    for (const JobRecord& record : snapshot.jobs) {
      const v1::Job& job = record.job();
      SCOPED_TRACE(job.name());
      bool has_lease = false;
      ASSERT_EQ(record.stages_size(), job.stages_size());
      for (int i = 0; i < record.stages_size(); ++i) {
        const StageRecord& stage = record.stages(i);
        const v1::StageState state = job.stages(i).state();
        if (HasEnded(state)) {
          EXPECT_FALSE(stage.has_lease()) << "an ended stage holds a lease";
        }
        const bool leased = state == v1::STAGE_STATE_STARTING || state == v1::STAGE_STATE_RUNNING;
        if (leased) {
          EXPECT_TRUE(stage.has_lease()) << "nobody runs it";
        }
        if (!stage.has_lease()) continue;
        has_lease = true;
        const LeaseRecord& lease = stage.lease();
        EXPECT_EQ(lease.prepare_task(), state == v1::STAGE_STATE_PREPARING);
        EXPECT_TRUE(leases.insert(lease.lease()).second);
        EXPECT_TRUE(tokens.insert(lease.token()).second);
        EXPECT_LT(lease.token(), snapshot.counters.next_token);
        if (!lease.prepare_task()) {
          EXPECT_TRUE(devices.insert({lease.agent(), lease.device()}).second) << "a device is leased twice";
        }
        for (const v1::CheckpointInfo& checkpoint : job.stages(i).checkpoints()) {
          EXPECT_TRUE(live_tokens_.contains(checkpoint.key())) << checkpoint.key() << " was forged";
        }
      }
      if (HasEnded(job.state())) {
        EXPECT_FALSE(has_lease) << "an ended job holds a lease";
        for (const v1::StageStatus& stage : job.stages()) EXPECT_TRUE(HasEnded(stage.state()));
      }
      if (job.state() == v1::JOB_STATE_PAUSED) {
        EXPECT_FALSE(has_lease);
      }
      if (job.state() == v1::JOB_STATE_SUCCEEDED) {
        EXPECT_FALSE(job.has_error());
      }
      EXPECT_EQ(job.state() == v1::JOB_STATE_FAILED, HasEnded(job.state()) && job.has_error());
      CheckHistory(record);
    }
  }

  void CountEnds(std::map<v1::JobState, int>& ends) {
    for (const JobRecord& record : Jobs()) ++ends[record.job().state()];
  }

  // Without faults every job ends.
  void Drain() {
    store_.FailWith(absl::OkStatus());
    for (const JobRecord& record : Jobs()) {
      if (record.intent() == JobRecord::INTENT_PAUSE) (void)core_->ResumeJob(kTenant, record.id(), now_);
    }
    for (int i = 0; i < 3000; ++i) {
      if (connected_.empty()) Connect();
      now_ += absl::Seconds(1);
      core_->Tick(now_);
      Pump();
      for (int k = 0; k < 4; ++k) SayTruth();
      bool all_ended = true;
      for (const JobRecord& record : Jobs()) all_ended = all_ended && HasEnded(record.job().state());
      if (all_ended) return;
    }
    for (const JobRecord& record : Jobs()) {
      EXPECT_TRUE(HasEnded(record.job().state())) << core_->GetJob(kTenant, record.id())->DebugString();
    }
  }

 private:
  struct Held {
    std::string agent;
    v1::PrepareLease prepare;
    bool replied = false;
    bool committed = false;
    bool stop = false;
    int64_t sequence = 0;
    int steps = 0;
    bool published = false;
  };

  std::vector<JobRecord> Jobs() { return store_.Load()->jobs; }

  int Upto(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }
  template <typename Container>
  auto Any(Container& container) {
    auto it = container.begin();
    std::advance(it, Upto(static_cast<int>(container.size()) - 1));
    return it;
  }

  void Restart() {
    store_.FailWith(absl::OkStatus());
    auto core = Core::Create(options_, store_, now_);
    ASSERT_TRUE(core.ok()) << core.status();
    core_ = *std::move(core);
    connected_.clear();
  }

  void Submit() {
    v1::JobSpec spec;
    spec.mutable_model()->set_base("model");
    spec.mutable_data()->set_source("rows");
    for (int i = Upto(2); i >= 0; --i) {
      v1::Stage& stage = *spec.add_stages();
      stage.set_id(absl::StrCat("s", i));
      if (Upto(1)) {
        stage.mutable_train()->mutable_checkpoint()->set_keep(1 + Upto(2));
      } else {
        stage.mutable_evaluate()->add_metrics("loss");
      }
      if (spec.stages_size() > 1 && Upto(1)) stage.add_after(spec.stages(0).id());
    }
    const auto job = core_->CreateJob(kTenant, spec, absl::StrCat("r", Upto(50)), now_);
    if (job.ok()) jobs_.insert(job->name());
  }

  void AskForSomething() {
    if (jobs_.empty()) return;
    const std::string job = *Any(jobs_);
    switch (Upto(4)) {
      case 0:
        (void)core_->CancelJob(kTenant, job, now_);
        break;
      case 1:
        (void)core_->PauseJob(kTenant, job, now_);
        break;
      case 2:
        if (core_->DeleteJob(kTenant, job, now_).ok()) jobs_.erase(job);
        break;
      default:
        (void)core_->ResumeJob(kTenant, job, now_);
        break;
    }
  }

  void Connect() {
    const std::string agent = absl::StrCat("a", Upto(2));
    if (Upto(3) == 0) {  // it restarted
      ++incarnations_[agent];
      std::erase_if(held_, [&](const Held& held) { return held.agent == agent; });
    }
    v1::AgentHello hello;
    hello.set_agent_id(agent);
    hello.set_incarnation(absl::StrCat("i", incarnations_[agent]));
    hello.set_isa("isa");
    for (int d = 0; d <= Upto(1); ++d) {
      v1::Device& device = *hello.add_devices();
      device.set_id(absl::StrCat("cpu", d));
      device.set_kind("cpu");
      device.set_threads(2);
    }
    for (const Held& held : held_) {
      if (held.agent != agent) continue;
      v1::HeldLease& lease = *hello.add_leases();
      lease.set_lease(held.prepare.lease());
      lease.set_token(held.prepare.task().token());
      lease.set_committed(held.committed);
      lease.set_next_sequence(held.sequence + 1);
    }
    std::erase_if(connected_, [&](const auto& entry) { return entry.second == agent; });
    connected_[++last_connection_] = agent;
    core_->AgentConnected(last_connection_, hello, now_);
  }

  void Disconnect() {
    if (connected_.empty()) return;
    const auto it = Any(connected_);
    const ConnectionId connection = it->first;
    connected_.erase(it);
    core_->AgentDisconnected(connection, now_);
  }

  void Generate() {
    v1::GenerateRequest request;
    request.set_model("model");
    request.add_prompts("x");
    const auto id = core_->StartGenerate(kTenant, request, now_);
    if (id.ok() && Upto(1)) core_->CancelGenerate(*id, now_);
  }

  ConnectionId ConnectionOf(const std::string& agent) {
    for (const auto& [connection, id] : connected_) {
      if (id == agent) return connection;
    }
    return 0;
  }

  void SayOne() {
    if (connected_.empty()) return;
    switch (Upto(9)) {
      case 0: {  // nonsense
        v1::AgentMessage message;
        v1::LeasedEvent& event = *message.mutable_event();
        event.set_lease(absl::StrCat("lease-", Upto(30)));
        event.set_token(Upto(30));
        event.mutable_event()->set_sequence(Upto(5));
        event.mutable_event()->mutable_finished();
        core_->AgentMessage(Any(connected_)->first, message, now_);
        return;
      }
      case 1: {  // a zombie
        if (past_.empty()) return;
        core_->AgentMessage(Any(connected_)->first, *Any(past_), now_);
        return;
      }
      case 2: {
        v1::AgentMessage message;
        message.mutable_heartbeat();
        const auto connection = Any(connected_);
        for (const Held& held : held_) {
          if (held.agent == connection->second) message.mutable_heartbeat()->add_leases(held.prepare.lease());
        }
        core_->AgentMessage(connection->first, message, now_);
        return;
      }
      default:
        SayTruth();
    }
  }

  // Something that a good agent could say now.
  void SayTruth() {
    if (held_.empty()) return;
    Held& held = *Any(held_);
    const ConnectionId connection = ConnectionOf(held.agent);
    if (connection == 0) return;
    v1::AgentMessage message;
    if (!held.replied) {
      held.replied = true;
      message.mutable_prepare_reply()->set_lease(held.prepare.lease());
      message.mutable_prepare_reply()->set_ok(Upto(5) > 0);
      message.mutable_prepare_reply()->set_reason("busy");
      core_->AgentMessage(connection, message, now_);
      return;
    }
    if (!held.committed) return;
    v1::LeasedEvent& leased = *message.mutable_event();
    leased.set_lease(held.prepare.lease());
    leased.set_token(held.prepare.task().token());
    FillEvent(held, *leased.mutable_event());
    leased.mutable_event()->set_sequence(++held.sequence);
    const bool finished = leased.event().has_finished();
    past_.push_back(message);
    if (past_.size() > 20) past_.pop_front();
    core_->AgentMessage(connection, message, now_);
    if (finished) {
      const std::string lease = held.prepare.lease();
      std::erase_if(held_, [&](const Held& other) { return other.prepare.lease() == lease; });
    }
  }

  void FillEvent(Held& held, v1::TaskEvent& event) {
    const v1::Task& task = held.prepare.task();
    ++held.steps;
    if (held.steps == 1) {
      event.mutable_started();
    } else if (Upto(8) == 0) {
      FillFailure(held, *event.mutable_finished());
    } else if (task.has_prepare()) {
      if (held.published) {
        event.mutable_finished()->set_cause(v1::TaskFinished::CAUSE_RAISED);
      } else {
        event.mutable_prepared()->set_key("tenants/default/prepared/p");
        event.mutable_prepared()->mutable_report()->set_num_rows(5);
        held.published = true;
      }
    } else if (held.stop) {
      event.mutable_finished()->set_stopped(true);
    } else if (held.steps < 8 && task.has_train() && Upto(1)) {
      v1::CheckpointInfo& checkpoint = *event.mutable_checkpoint();
      checkpoint.set_step(held.steps);
      checkpoint.set_best(Upto(2) == 0);
      checkpoint.set_key(absl::StrCat(task.train().output_key(), "/checkpoints/", held.steps, "-",
                                      task.token(), "-", task.incarnation()));
      live_tokens_.insert(checkpoint.key());
    } else if (held.steps < 8) {
      (Upto(1) ? event.mutable_progress()->set_step(held.steps)
               : event.mutable_metric()->set_step(held.steps));
    } else if (task.has_train() && !held.published) {
      held.published = true;
      event.mutable_artifact()->set_name("adapter");
      event.mutable_artifact()->set_key(absl::StrCat(task.train().output_key(), "/artifacts/adapter-",
                                                     task.token(), "-", task.incarnation()));
    } else {
      event.mutable_finished()->set_cause(v1::TaskFinished::CAUSE_RAISED);
    }
  }

  void FillFailure(const Held& held, v1::TaskFinished& finished) {
    finished.set_step(Upto(3));
    switch (Upto(4)) {
      case 0:
        finished.set_cause(v1::TaskFinished::CAUSE_KILLED);
        break;
      case 1:
        finished.set_stopped(true);
        break;
      default:
        finished.set_cause(v1::TaskFinished::CAUSE_RAISED);
        finished.set_code(Upto(16));
        finished.set_message(absl::StrCat("error ", Upto(3)));
    }
  }

  void Pump() {
    for (const Effect& effect : core_->TakeEffects()) {
      if (const auto* close = std::get_if<CloseConnection>(&effect)) {
        connected_.erase(close->connection);
        core_->AgentDisconnected(close->connection, now_);
        continue;
      }
      const auto* send = std::get_if<SendToAgent>(&effect);
      if (send == nullptr || !connected_.contains(send->connection)) continue;
      Hear(connected_.at(send->connection), send->message);
    }
  }

  void Hear(const std::string& agent, const v1::ServerMessage& message) {
    const auto by_lease = [&](const std::string& lease) {
      return std::find_if(held_.begin(), held_.end(), [&](const Held& held) {
        return held.agent == agent && held.prepare.lease() == lease;
      });
    };
    switch (message.message_case()) {
      case v1::ServerMessage::kWelcome: {
        const std::set<std::string> keep(message.welcome().keep().begin(), message.welcome().keep().end());
        std::erase_if(held_, [&](const Held& held) {
          return held.agent == agent && !keep.contains(held.prepare.lease());
        });
        break;
      }
      case v1::ServerMessage::kPrepare:
        if (by_lease(message.prepare().lease()) == held_.end()) held_.push_back({agent, message.prepare()});
        break;
      case v1::ServerMessage::kCommit:
        if (const auto it = by_lease(message.commit().lease()); it != held_.end()) it->committed = true;
        break;
      case v1::ServerMessage::kCancel:
        if (const auto it = by_lease(message.cancel().lease()); it != held_.end()) held_.erase(it);
        break;
      case v1::ServerMessage::kStop:
        if (const auto it = by_lease(message.stop().lease()); it != held_.end()) it->stop = true;
        break;
      default:
        break;
    }
  }

  void CheckHistory(const JobRecord& record) {
    const auto events = store_.ListEvents(record.id(), 0, 100'000);
    ASSERT_TRUE(events.ok());
    ASSERT_FALSE(events->empty());
    EXPECT_EQ(events->back().sequence(), record.last_event());
    v1::JobState state = v1::JOB_STATE_VALIDATING;
    for (size_t i = 0; i < events->size(); ++i) {
      const v1::JobEvent& event = (*events)[i];
      EXPECT_EQ(event.sequence(), i + 1);
      EXPECT_TRUE(event.state() == state || CanFollow(state, event.state()))
          << v1::JobState_Name(state) << " -> " << v1::JobState_Name(event.state());
      state = event.state();
    }
    EXPECT_EQ(state, record.job().state()) << "a change without an event";
  }

  std::mt19937_64 random_;
  int last_id_ = 0;
  ConnectionId last_connection_ = 0;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  Core::Options options_;
  MemoryJobStore store_;
  std::unique_ptr<Core> core_;
  std::set<std::string> jobs_;
  std::map<ConnectionId, std::string> connected_;
  std::map<std::string, int> incarnations_;
  std::vector<Held> held_;
  std::deque<v1::AgentMessage> past_;
  std::set<std::string> live_tokens_;  // keys of checkpoints that an agent wrote under its lease
};

TEST(RandomEventsTest, TheLawsHoldAfterEveryEvent) {
  SetMinLogLevel(LogLevel::kError);
  std::map<v1::JobState, int> ends;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    RandomEvents world(seed);
    for (int i = 0; i < kEventsPerSeed; ++i) {
      world.Step();
      if (i % 10 == 9) world.Check();
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << " event " << i;
    }
    world.Drain();
    world.Check();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << " at its end";
    world.CountEnds(ends);
  }
  // The events were worth something: every end was reached many times.
  for (const v1::JobState state : {v1::JOB_STATE_SUCCEEDED, v1::JOB_STATE_FAILED, v1::JOB_STATE_CANCELLED}) {
    EXPECT_GT(ends[state], 20) << v1::JobState_Name(state);
  }
}

}  // namespace
}  // namespace vernier::server
