#include "worker/trainer/agent_link.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace vernier::trainer {
namespace {

// A task can carry prompts; the agent allows itself as much.
constexpr int kMaxMessageBytes = 64 << 20;

absl::Status FromGrpc(const grpc::Status& status, absl::string_view socket) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("agent at ", socket, ": ", status.error_message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentLink>> AgentLink::Attach(Options options) {
  std::unique_ptr<AgentLink> link(new AgentLink(std::move(options)));
  VN_RETURN_IF_ERROR(link->Dial());
  link->reader_ = std::jthread([link = link.get()] { link->ReadCommands(); });
  link->writer_ = std::jthread([link = link.get()] { link->WriteEvents(); });
  return link;
}

AgentLink::~AgentLink() {
  {
    const MutexLock lock(mutex_);
    finishing_ = true;
    broken_ = true;
  }
  changed_.NotifyAll();
  context_.TryCancel();
}

absl::Status AgentLink::Dial() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  channel_ = grpc::CreateCustomChannel(absl::StrCat("unix:", options_.socket),
                                       grpc::InsecureChannelCredentials(), arguments);
  if (!channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + options_.dial_timeout))) {
    return absl::UnavailableError(absl::StrCat("no agent answers at ", options_.socket, " within ",
                                               absl::FormatDuration(options_.dial_timeout)));
  }
  stub_ = v1::TrainerService::NewStub(channel_);
  stream_ = stub_->Attach(&context_);
  v1::TrainerUp hello;
  hello.mutable_hello()->set_lease(options_.lease);
  hello.mutable_hello()->set_pid(::getpid());
  v1::TrainerDown down;
  if (!stream_->Write(hello) || !stream_->Read(&down)) {
    VN_RETURN_IF_ERROR(FromGrpc(stream_->Finish(), options_.socket));
    return absl::UnavailableError(
        absl::StrCat("agent at ", options_.socket, ": closed the stream without a task"));
  }
  if (!down.has_task()) {
    return absl::InternalError(absl::StrCat("agent at ", options_.socket, ": its first message is no task"));
  }
  task_ = std::move(*down.mutable_task());
  return absl::OkStatus();
}

void AgentLink::RequestStop(const std::string& reason) {
  if (!stop_requested_.exchange(true)) VN_LOG(INFO) << "stop requested reason=" << reason;
  {
    // AwaitMore looks at the flag under the lock: it is either seen there, or the waiter is woken.
    const MutexLock lock(mutex_);
  }
  changed_.NotifyAll();
}

std::optional<v1::GenerateMore> AgentLink::AwaitMore() {
  const MutexLock lock(mutex_);
  while (requests_.empty() && !stop_requested_ && !broken_) changed_.Wait(mutex_);
  if (stop_requested_ || broken_) return std::nullopt;
  v1::GenerateMore next = std::move(requests_.front());
  requests_.pop_front();
  return next;
}

void AgentLink::TakeMore(v1::GenerateMore more) {
  if (more.interrupt()) {
    interrupted_turn_ = std::max<int64_t>(interrupted_turn_, more.turn());
    return;
  }
  {
    const MutexLock lock(mutex_);
    requests_.push_back(std::move(more));
  }
  changed_.NotifyAll();
}

void AgentLink::ReadCommands() {
  v1::TrainerDown down;
  while (stream_->Read(&down)) {
    if (down.has_stop()) RequestStop(down.stop().reason());
    if (down.has_more()) TakeMore(std::move(*down.mutable_more()));
  }
  bool expected;
  {
    const MutexLock lock(mutex_);
    expected = finishing_;
    read_all_ = true;
    broken_ = broken_ || !expected;
  }
  changed_.NotifyAll();
  if (!expected && options_.on_broken) {
    options_.on_broken(absl::StrCat("the agent at ", options_.socket, " closed the stream"));
  }
}

void AgentLink::WriteEvents() {
  while (true) {
    v1::TrainerUp up;
    {
      const MutexLock lock(mutex_);
      while (waiting_.empty() && !finishing_ && !broken_) changed_.Wait(mutex_);
      if (broken_) return;
      if (waiting_.empty()) break;
      *up.mutable_event() = std::move(waiting_.front());
      waiting_.pop_front();
    }
    changed_.NotifyAll();
    if (!stream_->Write(up)) {
      // The reader notices the broken stream too and says so.
      const MutexLock lock(mutex_);
      broken_ = true;
      changed_.NotifyAll();
      return;
    }
  }
  stream_->WritesDone();
}

void AgentLink::Push(v1::TaskEvent event) {
  event.set_time_unix_micros(absl::ToUnixMicros(absl::Now()));
  if (event.has_progress() && !waiting_.empty() && waiting_.back().has_progress()) {
    waiting_.back() = std::move(event);
  } else {
    waiting_.push_back(std::move(event));
  }
}

void AgentLink::Report(v1::TaskEvent event) {
  {
    const MutexLock lock(mutex_);
    while (waiting_.size() >= options_.max_waiting && !broken_) changed_.Wait(mutex_);
    if (broken_ || finishing_) return;
    Push(std::move(event));
  }
  changed_.NotifyAll();
}

absl::Status AgentLink::Finish(v1::TaskFinished finished, absl::Time deadline) {
  {
    const MutexLock lock(mutex_);
    v1::TaskEvent event;
    *event.mutable_finished() = std::move(finished);
    Push(std::move(event));
    finishing_ = true;
    changed_.NotifyAll();
    while (!read_all_ && absl::Now() < deadline) changed_.WaitUntil(mutex_, deadline);
    if (!read_all_) {
      return absl::DeadlineExceededError(
          absl::StrCat("agent at ", options_.socket, ": did not close the stream"));
    }
  }
  return FromGrpc(stream_->Finish(), options_.socket);
}

}  // namespace vernier::trainer
