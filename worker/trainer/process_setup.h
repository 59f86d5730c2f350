// What a trainer process arranges before anything else runs in it.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>

namespace vernier::trainer {

// The kernel kills this process when the thread that started it ends: a second line behind the broken stream.
// The starter must therefore be a thread that lives as long as its process (the agent's loop).
void DieWithParent();

// When memory runs out the kernel picks this process, not the agent or vernierd: what it holds is in its
// checkpoints.
void VolunteerForOom();

// Numerical libraries read OMP_* and MKL_* while they are loaded, long before main. Where one of these is not
// set, sets it (threads, no dynamic adjustment, MKL's own code path for this CPU) and starts this program
// again with the same arguments; returns when all are set. The agent sets them, so this is for trainers
// started by hand.
void EnsureNumericEnvironment(int threads, char** argv);

// The most memory that this process had resident so far (VmHWM), files it maps included; 0: the system does
// not tell.
int64_t PeakResidentBytes();

// Keeps SIGTERM and SIGINT, for this thread and every one that it starts, until a SignalThread takes them.
void BlockStopSignals();

// Calls `on_signal` for each blocked stop signal, those kept so far included, from a thread of its own until
// it is destroyed.
class SignalThread {
 public:
  explicit SignalThread(std::function<void(int signal_number)> on_signal);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  std::jthread thread_;
};

}  // namespace vernier::trainer
