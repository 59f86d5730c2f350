// vernier-agent: one per machine. Dials vernierd, offers this machine's devices, runs leased tasks.
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>

#include "common/exit_code.h"
#include "common/log.h"
#include "common/version.h"
#include "worker/agent/agent.h"

namespace {

std::string OwnFolder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

}  // namespace

int main(int argc, char** argv) {
  vernier::agent::Agent::Options options;
  options.trainer_path = OwnFolder() + "/vernier-trainer";
  options.metrics_listen = "127.0.0.1:0";
  double stop_grace_seconds = 60;
  CLI::App app("Offers this machine's devices to vernierd and runs the tasks it leases.", "vernier-agent");
  app.set_version_flag("--version", std::string(vernier::Version()));
  app.add_option("--server", options.server.address, "Address of vernierd, host:port")->required();
  app.add_option("--token-file", options.server.token_file, "File with the access token")->required();
  app.add_option("--data-dir", options.data_dir, "Folder for its id, sockets and logs")->required();
  app.add_option("--threads", options.threads, "CPU threads to offer; 0 = all usable")
      ->check(CLI::Range(0, 1024));
  app.add_option("--trainer", options.trainer_path, "The vernier-trainer binary")->capture_default_str();
  app.add_option("--metrics-listen", options.metrics_listen,
                 "Address of /metrics, port 0 = pick, empty = off")
      ->capture_default_str();
  app.add_option("--stop-grace", stop_grace_seconds, "Seconds that tasks get to checkpoint at shutdown")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 3600.0));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : vernier::ExitCodeOf(absl::InvalidArgumentError(""));
  }
  options.stop_grace = absl::Seconds(stop_grace_seconds);

  vernier::InitLogging("vernier-agent");
  // Signals are taken by one thread; every other one starts with them blocked.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  auto agent = vernier::agent::Agent::Create(options);
  if (!agent.ok()) {
    std::cerr << "vernier-agent: " << agent.status().message() << "\n";
    return vernier::ExitCodeOf(agent.status());
  }
  std::thread waiter([&] {
    int signal_number = 0;
    sigwait(&signals, &signal_number);
    VN_LOG(INFO) << "stopping signal=" << signal_number;
    (*agent)->Shutdown();
  });
  const absl::Status status = (*agent)->Run();
  pthread_kill(waiter.native_handle(), SIGTERM);  // where no signal ended it
  waiter.join();
  if (!status.ok()) std::cerr << "vernier-agent: " << status.message() << "\n";
  return vernier::ExitCodeOf(status);
}
