// The socket that trainers dial: each gets its task, sends events up and receives commands. A Unix-domain
// socket in a folder that only this user can enter; what a trainer may say is bounded to its own lease.
#pragma once

#include <grpcpp/server.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "vernier/v1/task.grpc.pb.h"

namespace vernier::agent {

// Thread-safe. `on_event` comes from gRPC's threads, in order per lease.
class TrainerHost {
 public:
  using OnEvent = std::function<void(const std::string& lease, v1::TaskEvent event)>;

  // Serves on `<folder>/agent.sock`; where that path is too long for a socket, in a new private folder below
  // /tmp.
  static absl::StatusOr<std::unique_ptr<TrainerHost>> Create(const std::string& folder, OnEvent on_event);
  // Breaks every trainer's stream: they exit.
  ~TrainerHost();

  const std::string& socket_path() const { return socket_path_; }
  // The trainer that says hello with `lease` gets `task`.
  void Expect(const std::string& lease, v1::Task task) VN_EXCLUDES(mutex_);
  // Tells it to checkpoint and leave; remembered when it has not dialled yet.
  void Stop(const std::string& lease, const std::string& reason) VN_EXCLUDES(mutex_);
  // Passes it on; kept for a trainer that has not dialled yet.
  void Tell(const std::string& lease, const v1::GenerateMore& more) VN_EXCLUDES(mutex_);
  // Waits until everything that the (dead) trainer had sent was told, at most until `deadline`.
  void WaitDetached(const std::string& lease, absl::Time deadline) VN_EXCLUDES(mutex_);
  void Forget(const std::string& lease) VN_EXCLUDES(mutex_);

 private:
  class Service;
  using Stream = grpc::ServerReaderWriter<v1::TrainerDown, v1::TrainerUp>;
  struct Trainer {
    v1::Task task;
    std::deque<v1::TrainerDown> waiting;  // to be told, in order
    Stream* stream = nullptr;             // while attached
    grpc::ServerContext* context = nullptr;
  };

  explicit TrainerHost(OnEvent on_event);
  grpc::Status Serve(grpc::ServerContext* context, Stream* stream) VN_EXCLUDES(mutex_);
  void Send(const std::string& lease, v1::TrainerDown down) VN_EXCLUDES(mutex_);
  // Tells the trainer on `stream` what waits for it, until it leaves.
  void WriteCommands(const std::string& lease, Stream* stream) VN_EXCLUDES(mutex_);

  const OnEvent on_event_;
  std::string socket_path_;
  std::string private_folder_;  // made by Create, removed at the end; "" = none
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Trainer> trainers_ VN_GUARDED_BY(mutex_);
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace vernier::agent
