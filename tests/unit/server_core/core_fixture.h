// A Core on a hand-cranked clock over a store in memory, and an agent that does what a test says.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/core.h"
#include "server/jobs/memory_job_store.h"

namespace vernier::server {

inline constexpr char kTenant[] = "default";

inline std::string Digest(char c) { return std::string(64, c); }

class CoreFixture : public testing::Test {
 protected:
  CoreFixture() {
    SetMinLogLevel(LogLevel::kError);
    options.random_id = [this](int num_bytes) { return absl::StrFormat("%0*x", 2 * num_bytes, ++last_id_); };
    options.store_uri = "memory:";
    Restart();
    AddThings();
  }
  ~CoreFixture() override { SetMinLogLevel(LogLevel::kInfo); }

  // vernierd stops and starts: connections are gone, the store stays.
  void Restart() {
    inbox_.clear();
    core.reset();
    auto created = Core::Create(options, store, now);
    if (!created.ok()) ADD_FAILURE() << created.status();
    core = *std::move(created);
  }

  void AddThings() {
    v1::Dataset dataset;
    dataset.set_name("chat");
    dataset.set_digest(Digest('d'));
    dataset.set_format("messages");
    EXPECT_TRUE(core->RegisterDataset(kTenant, dataset, now).ok());
    v1::Model model;
    model.set_name("smollm2");
    model.set_digest(Digest('e'));
    model.set_architecture("llama");
    model.set_context_length(8192);
    model.set_has_chat_template(true);
    EXPECT_TRUE(core->RegisterModel(kTenant, model, now).ok());
  }

  static v1::JobSpec SpecOf(const std::string& text) {
    v1::JobSpec spec;
    const std::string whole = absl::StrCat(R"(model { base: "smollm2" } data { source: "chat" } )", text);
    if (!google::protobuf::TextFormat::ParseFromString(whole, &spec))
      ADD_FAILURE() << "not a JobSpec: " << text;
    return spec;
  }
  // Returns its name.
  std::string Submit(const std::string& text = "", const std::string& request_id = "") {
    const auto job = core->CreateJob(kTenant, SpecOf(text), request_id, now);
    if (!job.ok()) {
      ADD_FAILURE() << job.status();
      return "";
    }
    Pump();
    return job->name();
  }
  v1::Job Get(const std::string& job) {
    auto got = core->GetJob(kTenant, job);
    if (!got.ok()) ADD_FAILURE() << got.status();
    return got.ok() ? *got : v1::Job();
  }
  v1::StageStatus Stage(const std::string& job, int index = 0) { return Get(job).stages(index); }
  // Messages of its events, one a line.
  std::string History(const std::string& job) {
    std::string text;
    const auto events = core->ListEvents(kTenant, job, 0, 1000);
    if (!events.ok()) ADD_FAILURE() << events.status();
    for (const v1::JobEvent& event : *events)
      absl::StrAppend(&text, event.stage(), ": ", event.message(), "\n");
    return text;
  }

  void Advance(absl::Duration by) {
    now += by;
    core->Tick(now);
    Pump();
  }

  // Sorts the effects: messages for agents by connection, the rest into `effects`.
  void Pump() {
    for (Effect& effect : core->TakeEffects()) {
      if (auto* send = std::get_if<SendToAgent>(&effect)) {
        inbox_[send->connection].push_back(std::move(send->message));
      } else {
        effects.push_back(std::move(effect));
      }
    }
  }
  template <typename T>
  std::vector<T> Take() {
    std::vector<T> taken;
    std::vector<Effect> rest;
    for (Effect& effect : effects) {
      if (auto* one = std::get_if<T>(&effect)) {
        taken.push_back(std::move(*one));
      } else {
        rest.push_back(std::move(effect));
      }
    }
    effects = std::move(rest);
    return taken;
  }

  // --- Agents.

  static v1::AgentHello Hello(const std::string& agent, const std::string& incarnation, int threads = 4) {
    v1::AgentHello hello;
    hello.set_agent_id(agent);
    hello.set_incarnation(incarnation);
    hello.set_host("host-" + agent);
    hello.set_isa("avx2");
    v1::Device& device = *hello.add_devices();
    device.set_id("cpu");
    device.set_kind("cpu");
    device.set_threads(threads);
    return hello;
  }
  ConnectionId Connect(const v1::AgentHello& hello) {
    const ConnectionId connection = ++last_connection_;
    core->AgentConnected(connection, hello, now);
    Pump();
    return connection;
  }
  ConnectionId Connect(const std::string& agent = "a", const std::string& incarnation = "i1") {
    return Connect(Hello(agent, incarnation));
  }
  void Disconnect(ConnectionId connection) {
    core->AgentDisconnected(connection, now);
    Pump();
  }

  // The next message of a kind for this connection, those before it dropped.
  std::optional<v1::ServerMessage> Next(ConnectionId connection, v1::ServerMessage::MessageCase kind) {
    auto& messages = inbox_[connection];
    while (!messages.empty()) {
      v1::ServerMessage message = std::move(messages.front());
      messages.pop_front();
      if (message.message_case() == kind) return message;
    }
    return std::nullopt;
  }
  // The next placement (of a kind of work), wherever it is among the messages; they stay.
  v1::PrepareLease NextPrepare(ConnectionId connection,
                               std::optional<v1::Task::WorkCase> work = std::nullopt) {
    auto& messages = inbox_[connection];
    for (auto it = messages.begin(); it != messages.end(); ++it) {
      if (!it->has_prepare() || (work && it->prepare().task().work_case() != *work)) continue;
      v1::PrepareLease prepare = it->prepare();
      messages.erase(it);
      return prepare;
    }
    ADD_FAILURE() << "nothing was placed on this agent";
    return {};
  }
  bool HasMessage(ConnectionId connection, v1::ServerMessage::MessageCase kind) {
    for (const v1::ServerMessage& message : inbox_[connection]) {
      if (message.message_case() == kind) return true;
    }
    return false;
  }

  void Say(ConnectionId connection, const v1::AgentMessage& message) {
    core->AgentMessage(connection, message, now);
    Pump();
  }
  void Reply(ConnectionId connection, const std::string& lease, bool ok = true,
             const std::string& reason = "") {
    v1::AgentMessage message;
    message.mutable_prepare_reply()->set_lease(lease);
    message.mutable_prepare_reply()->set_ok(ok);
    message.mutable_prepare_reply()->set_reason(reason);
    Say(connection, message);
  }
  void Heartbeat(ConnectionId connection, const std::vector<std::string>& leases = {}) {
    v1::AgentMessage message;
    message.mutable_heartbeat();
    for (const std::string& lease : leases) message.mutable_heartbeat()->add_leases(lease);
    Say(connection, message);
  }

  // A lease as the agent holds it.
  struct Held {
    ConnectionId connection = 0;
    std::string lease;
    v1::Task task;
    int64_t sequence = 0;
  };
  // Takes the next placement through both phases.
  Held Accept(ConnectionId connection, std::optional<v1::Task::WorkCase> work = std::nullopt) {
    const v1::PrepareLease prepare = NextPrepare(connection, work);
    Reply(connection, prepare.lease());
    EXPECT_TRUE(HasMessage(connection, v1::ServerMessage::kCommit));
    std::erase_if(inbox_[connection], [](const v1::ServerMessage& message) { return message.has_commit(); });
    return {connection, prepare.lease(), prepare.task()};
  }
  static v1::AgentMessage EventMessage(Held& held, const std::string& event) {
    v1::AgentMessage message;
    v1::LeasedEvent& leased = *message.mutable_event();
    leased.set_lease(held.lease);
    leased.set_token(held.task.token());
    if (!google::protobuf::TextFormat::ParseFromString(event, leased.mutable_event())) {
      ADD_FAILURE() << "not a TaskEvent: " << event;
    }
    leased.mutable_event()->set_sequence(++held.sequence);
    return message;
  }
  void Tell(Held& held, const std::string& event) { Say(held.connection, EventMessage(held, event)); }

  // The data of a stage is prepared.
  void Prepare(ConnectionId connection, const std::string& report = "num_rows: 100 num_validation_rows: 5") {
    Held held = Accept(connection, v1::Task::kPrepare);
    Tell(held, absl::StrCat("prepared { key: 'tenants/default/prepared/p' report { ", report, " } }"));
    Tell(held, "finished { cause: CAUSE_RAISED }");
  }
  std::string CheckpointKey(const Held& held, int64_t step) {
    return absl::StrCat(held.task.train().output_key(), "/checkpoints/", step, "-", held.task.token(), "-",
                        held.task.incarnation());
  }
  void Checkpoint(Held& held, int64_t step, bool best = false) {
    Tell(held, absl::StrCat("checkpoint { step: ", step, " key: '", CheckpointKey(held, step),
                            "' manifest_sha256: 'sha", step, "' best: ", best ? "true" : "false", " }"));
  }
  std::string ArtifactKey(const Held& held, const std::string& name) {
    const std::string& folder =
        held.task.has_export_() ? held.task.export_().output_key() : held.task.train().output_key();
    return absl::StrCat(folder, "/artifacts/", name, "-", held.task.token(), "-", held.task.incarnation());
  }
  void Publish(Held& held, const std::string& name = "adapter") {
    Tell(held, absl::StrCat("artifact { name: '", name, "' key: '", ArtifactKey(held, name), "' }"));
  }
  void Finish(Held& held, const std::string& fields = "") {
    Tell(held, absl::StrCat("finished { cause: CAUSE_RAISED ", fields, " }"));
  }

  Core::Options options;
  MemoryJobStore store;
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  std::unique_ptr<Core> core;
  std::vector<Effect> effects;

 private:
  int last_id_ = 0;
  ConnectionId last_connection_ = 0;
  std::map<ConnectionId, std::deque<v1::ServerMessage>> inbox_;
};

}  // namespace vernier::server
