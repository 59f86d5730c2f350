#include "worker/agent/trainer_host.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace vernier::agent {

class TrainerHost::Service final : public v1::TrainerService::Service {
 public:
  explicit Service(TrainerHost& host) : host_(host) {}
  grpc::Status Attach(grpc::ServerContext* context, Stream* stream) override {
    return host_.Serve(context, stream);
  }

 private:
  TrainerHost& host_;
};

TrainerHost::TrainerHost(OnEvent on_event) : on_event_(std::move(on_event)) {}

absl::StatusOr<std::unique_ptr<TrainerHost>> TrainerHost::Create(const std::string& folder,
                                                                 OnEvent on_event) {
  std::unique_ptr<TrainerHost> host(new TrainerHost(std::move(on_event)));
  VN_RETURN_IF_ERROR(MakeDirs(folder, 0700));
  host->socket_path_ = absl::StrCat(folder, "/agent.sock");
  if (host->socket_path_.size() >= sizeof(sockaddr_un::sun_path)) {
    std::string pattern = "/tmp/vernier-agent-XXXXXX";  // mkdtemp makes it 0700
    if (::mkdtemp(pattern.data()) == nullptr) return ErrnoStatus(errno, pattern);
    host->private_folder_ = pattern;
    host->socket_path_ = absl::StrCat(pattern, "/agent.sock");
  }
  if (::unlink(host->socket_path_.c_str()) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, host->socket_path_);
  host->service_ = std::make_unique<Service>(*host);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", host->socket_path_), grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(16 << 20);
  builder.SetMaxSendMessageSize(64 << 20);
  builder.RegisterService(host->service_.get());
  host->server_ = builder.BuildAndStart();
  if (host->server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat(host->socket_path_, ": cannot listen on this socket"));
  }
  return host;
}

TrainerHost::~TrainerHost() {
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }
  ::unlink(socket_path_.c_str());
  if (!private_folder_.empty()) ::rmdir(private_folder_.c_str());
}

void TrainerHost::Expect(const std::string& lease, v1::Task task) {
  const MutexLock lock(mutex_);
  trainers_[lease].task = std::move(task);
}

void TrainerHost::Stop(const std::string& lease, const std::string& reason) {
  v1::TrainerDown down;
  down.mutable_stop()->set_reason(reason.empty() ? "asked to stop" : reason);
  Send(lease, std::move(down));
}

void TrainerHost::Tell(const std::string& lease, const v1::GenerateMore& more) {
  v1::TrainerDown down;
  *down.mutable_more() = more;
  Send(lease, std::move(down));
}

void TrainerHost::Send(const std::string& lease, v1::TrainerDown down) {
  {
    const MutexLock lock(mutex_);
    const auto it = trainers_.find(lease);
    if (it == trainers_.end()) return;
    it->second.waiting.push_back(std::move(down));
  }
  changed_.NotifyAll();
}

void TrainerHost::WriteCommands(const std::string& lease, Stream* stream) {
  while (true) {
    v1::TrainerDown down;
    {
      const MutexLock lock(mutex_);
      while (true) {
        const auto it = trainers_.find(lease);
        if (it == trainers_.end() || it->second.stream != stream) return;  // it has left
        if (!it->second.waiting.empty()) {
          down = std::move(it->second.waiting.front());
          it->second.waiting.pop_front();
          break;
        }
        changed_.Wait(mutex_);
      }
    }
    // Not under the lock: a trainer that does not read must not hold up the others. A failed write means that
    // the stream broke, which its reader notices.
    stream->Write(down);
  }
}

void TrainerHost::WaitDetached(const std::string& lease, absl::Time deadline) {
  const MutexLock lock(mutex_);
  while (absl::Now() < deadline) {
    const auto it = trainers_.find(lease);
    if (it == trainers_.end() || it->second.stream == nullptr) return;
    changed_.WaitUntil(mutex_, deadline);
  }
}

void TrainerHost::Forget(const std::string& lease) {
  const MutexLock lock(mutex_);
  const auto it = trainers_.find(lease);
  if (it == trainers_.end()) return;
  if (it->second.context != nullptr) it->second.context->TryCancel();
  trainers_.erase(it);
  changed_.NotifyAll();
}

grpc::Status TrainerHost::Serve(grpc::ServerContext* context, Stream* stream) {
  v1::TrainerUp up;
  if (!stream->Read(&up) || !up.has_hello()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the first message must be hello");
  }
  const std::string lease = up.hello().lease();
  {
    const MutexLock lock(mutex_);
    const auto it = trainers_.find(lease);
    if (it == trainers_.end() || it->second.stream != nullptr) {
      return grpc::Status(grpc::StatusCode::NOT_FOUND,
                          absl::StrCat("no task waits under lease \"", lease, "\""));
    }
    // The first word; what was said before it dialled comes after it.
    v1::TrainerDown down;
    *down.mutable_task() = it->second.task;
    it->second.waiting.push_front(std::move(down));
    it->second.stream = stream;
    it->second.context = context;
  }
  std::jthread writer([&] { WriteCommands(lease, stream); });
  while (stream->Read(&up)) {
    if (up.has_event()) on_event_(lease, std::move(*up.mutable_event()));
  }
  {
    const MutexLock lock(mutex_);
    const auto it = trainers_.find(lease);
    if (it != trainers_.end() && it->second.stream == stream) {
      it->second.stream = nullptr;
      it->second.context = nullptr;
    }
  }
  changed_.NotifyAll();
  writer.join();
  return grpc::Status::OK;
}

}  // namespace vernier::agent
