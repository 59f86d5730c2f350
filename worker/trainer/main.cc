// vernier-trainer: one per rank. Dials its agent, gets one task, runs it, says how it ended, leaves.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/unwritable.h"
#include "common/version.h"
#include "storage/registry.h"
#include "worker/stages/stage.h"
#include "worker/trainer/agent_link.h"
#include "worker/trainer/fault_hooks.h"
#include "worker/trainer/numeric_class.h"
#include "worker/trainer/process_setup.h"
#include "worker/trainer/torch_call.h"

namespace {

constexpr int kAgentGone = 70;  // the stream to the agent broke

// An error message travels into job records: no error needs more.
constexpr size_t kMaxMessageBytes = 8192;

[[noreturn]] void LeaveAtOnce(const std::string& why) {
  // No destructor may delay this: another attempt may already run elsewhere.
  std::fprintf(stderr, "vernier-trainer: %s; leaving at once\n", why.c_str());
  std::_Exit(kAgentGone);
}

absl::Status RunTask(vernier::trainer::AgentLink& link, const vernier::trainer::FaultHooks& faults,
                     int threads, vernier::trainer::TaskOutcome& outcome) {
  return vernier::trainer::TorchCall("trainer", [&]() -> absl::Status {
    vernier::trainer::ConfigureTorch(threads);
    VN_ASSIGN_OR_RETURN(const std::unique_ptr<vernier::storage::ObjectStore> store,
                        vernier::storage::OpenObjectStore(link.task().store()));
    return vernier::stages::RunStage({link.task(), *store, link, faults}, outcome);
  });
}

vernier::v1::TaskFinished FinishedOf(const absl::Status& status,
                                     const vernier::trainer::TaskOutcome& outcome) {
  vernier::v1::TaskFinished finished;
  finished.set_code(static_cast<int>(status.code()));
  finished.set_message(std::string(status.message().substr(0, kMaxMessageBytes)));
  finished.set_cause(vernier::v1::TaskFinished::CAUSE_RAISED);
  finished.set_step(outcome.step);
  // A store that takes no bytes is not the task's fault: the newest checkpoint waits for better times.
  finished.set_stopped(status.ok() ? outcome.stopped : vernier::IsUnwritable(status));
  for (const auto& [name, value] : outcome.results) (*finished.mutable_results())[name] = value;
  return finished;
}

}  // namespace

int main(int argc, char** argv) {
  vernier::trainer::AgentLink::Options options;
  int threads = 0;
  CLI::App app("Runs one task of a job for the vernier-agent that started it.", "vernier-trainer");
  app.set_version_flag("--version", std::string(vernier::Version()));
  app.add_option("--socket", options.socket, "Unix-domain socket of the agent")->required();
  app.add_option("--lease", options.lease, "Lease under which the agent expects this trainer")->required();
  app.add_option("--threads", threads, "CPU threads; 0 = as the task says")->check(CLI::Range(0, 1024));
  app.footer(
      "Exit codes: 0 the end of the task was told to the agent (also that it failed), 1 no task was got or "
      "the end could "
      "not be told, 70 the agent went away.\nSIGTERM and SIGINT: finish the step, write a checkpoint, "
      "leave.\n"
      "VERNIER_FAULT: faults for tests, see worker/trainer/fault_hooks.h.");
  CLI11_PARSE(app, argc, argv);

  vernier::InitLogging("vernier-trainer");
  vernier::trainer::DieWithParent();
  vernier::trainer::VolunteerForOom();
  vernier::trainer::EnsureNumericEnvironment(
      threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())), argv);
  ::signal(SIGPIPE, SIG_IGN);

  const auto faults = vernier::trainer::FaultHooks::FromEnvironment();
  if (!faults.ok()) {
    std::cerr << "vernier-trainer: " << faults.status().message() << "\n";
    return 1;
  }
  vernier::trainer::BlockStopSignals();
  options.on_broken = LeaveAtOnce;
  auto link = vernier::trainer::AgentLink::Attach(std::move(options));
  if (!link.ok()) {
    std::cerr << "vernier-trainer: " << link.status().message() << "\n";
    return 1;
  }
  const vernier::trainer::SignalThread signals(
      [&](int number) { (*link)->RequestStop(absl::StrCat("signal ", number)); });

  const vernier::v1::Task& task = (*link)->task();
  if (threads == 0) threads = std::max(1, task.threads());
  VN_LOG(INFO) << "task started job=" << task.job() << " stage=" << task.stage()
               << " attempt=" << task.attempt() << " token=" << task.token() << " threads=" << threads;
  vernier::trainer::TaskOutcome outcome;
  const absl::Status status = RunTask(**link, *faults, threads, outcome);
  if (const int64_t peak = vernier::trainer::PeakResidentBytes(); status.ok() && !outcome.stopped && peak > 0) {
    outcome.results["peak_memory_bytes"] = static_cast<double>(peak);
  }
  VN_LOG(INFO) << "task ended job=" << task.job() << " stage=" << task.stage() << " step=" << outcome.step
               << " status=" << status.ToString();
  const absl::Status told = (*link)->Finish(FinishedOf(status, outcome), absl::Now() + absl::Seconds(60));
  if (!told.ok()) {
    std::cerr << "vernier-trainer: " << told.message() << "\n";
    return 1;
  }
  return 0;
}
