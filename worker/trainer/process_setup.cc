#include "worker/trainer/process_setup.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace vernier::trainer {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);  // ends the thread
  return signals;
}

}  // namespace

void DieWithParent() { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

void VolunteerForOom() {
  // Raising the own score needs no privilege; where /proc is absent the default stays.
  std::ofstream score("/proc/self/oom_score_adj");
  score << 500;
}

int64_t PeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kib = 0;
  while (status >> word) {
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

void EnsureNumericEnvironment(int threads, char** argv) {
  const std::pair<const char*, std::string> wanted[] = {
      {"OMP_NUM_THREADS", absl::StrCat(threads)},
      {"MKL_NUM_THREADS", absl::StrCat(threads)},
      {"OMP_DYNAMIC", "FALSE"},
      {"MKL_DYNAMIC", "FALSE"},
      {"MKL_CBWR", "AUTO"},
  };
  bool changed = false;
  for (const auto& [name, value] : wanted) {
    if (std::getenv(name) != nullptr) continue;
    ::setenv(name, value.c_str(), /*overwrite=*/0);
    changed = true;
  }
  if (!changed) return;
  ::execv("/proc/self/exe", argv);
  VN_LOG(WARNING)
      << "cannot start again with the numeric environment set; results may differ in their last bits";
}

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

SignalThread::SignalThread(std::function<void(int)> on_signal) {
  thread_ = std::jthread([signals = StopSignals(), on_signal = std::move(on_signal)] {
    int number = 0;
    while (::sigwait(&signals, &number) == 0 && number != SIGUSR1) on_signal(number);
  });
}

SignalThread::~SignalThread() { ::pthread_kill(thread_.native_handle(), SIGUSR1); }

}  // namespace vernier::trainer
