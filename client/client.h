// The C++ client of vernierd: finds it, authenticates, calls it. Every command of `vernier` goes through
// here.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/conversation.h"
#include "proto/grpc_status.h"
#include "vernier/v1/admin_service.grpc.pb.h"
#include "vernier/v1/artifact_service.grpc.pb.h"
#include "vernier/v1/dataset_service.grpc.pb.h"
#include "vernier/v1/job_service.grpc.pb.h"
#include "vernier/v1/model_service.grpc.pb.h"

namespace vernier::client {

// Where the service is and what it is asked with.
struct Endpoint {
  std::string address;  // host:port
  std::string token;
};

// $VERNIER_DATA_DIR, else $XDG_DATA_HOME/vernier, else ~/.local/share/vernier.
std::string DefaultDataDir();

// $VERNIER_ADDR and $VERNIER_TOKEN where set; the rest from the files that `vernier up` keeps in `data_dir`.
// Unavailable: no service was started there; says how.
absl::StatusOr<Endpoint> FindEndpoint(const std::string& data_dir);

// Thread-safe. Errors are the service's own, plus Unavailable when it cannot be reached.
class Client {
 public:
  explicit Client(Endpoint endpoint);

  // One unary call: `client.Call(&v1::JobService::Stub::GetJob, request)`.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, absl::Duration timeout = absl::Seconds(60)) {
    grpc::ClientContext context;
    Prepare(context, timeout);
    Response response;
    const grpc::Status status = (StubOf(static_cast<Stub*>(nullptr)).*method)(&context, request, &response);
    if (!status.ok()) return Explain(FromGrpc(status));
    return response;
  }

  // Answers come in order until the job ends; false from `on_response` ends it early (OK). A broken
  // connection is dialled again for `patience`, going on behind the last event.
  absl::Status WatchJob(const std::string& name, int64_t after_sequence,
                        const std::function<bool(const v1::WatchJobResponse&)>& on_response,
                        absl::Duration patience = absl::Seconds(60));
  // The stored events, oldest first, whether or not the job goes on.
  absl::StatusOr<std::vector<v1::JobEvent>> StoredEvents(const std::string& name);
  absl::Status StreamMetrics(const v1::StreamMetricsRequest& request,
                             const std::function<bool(const v1::MetricPoint&)>& on_point);

  using OnBytes = std::function<void(int64_t done, int64_t total)>;
  // Streams a local file. `name` "" = the service picks one; `sha256` "" = of the file as it is.
  // AlreadyExists: the name is that of other content.
  absl::StatusOr<v1::UploadDatasetResponse> UploadDataset(const std::string& path, const std::string& name,
                                                          const OnBytes& progress = nullptr,
                                                          const std::string& sha256 = "");
  // `path` lies on the server's machine. `on_progress` may be empty.
  absl::StatusOr<v1::Model> ImportModel(
      const std::string& path, const std::string& name,
      const std::function<void(double fraction, const std::string& phase)>& on_progress);
  // The bytes of a small file of a model. NotFound: the model has no such file.
  absl::StatusOr<std::string> ModelFile(const std::string& model, const std::string& file);
  // Writes one file of an artifact to `path` through a temporary file beside it, its digest checked.
  absl::Status DownloadArtifact(const v1::Artifact& artifact, const v1::ArtifactFile& file,
                                const std::string& path);
  // The bytes of one file of an artifact, checked by the service. `artifact` "ledger" is that of the newest
  // checkpoint while the stage has not ended. NotFound: it is not there (yet). ResourceExhausted: it has more
  // than `max_bytes`.
  absl::StatusOr<std::string> ArtifactFile(const std::string& job, const std::string& stage,
                                           const std::string& artifact, const std::string& file,
                                           int64_t max_bytes);
  // A PEFT folder; returns "adapters/DIGEST".
  absl::StatusOr<std::string> ImportAdapter(const std::string& folder);
  absl::Status Generate(const v1::GenerateRequest& request,
                        const std::function<void(const v1::GenerateResponse&)>& on_piece);

  // Many requests to one loaded model.
  std::unique_ptr<Conversation> Converse();

  // OK once the service answers. Unavailable: it did not until `deadline`.
  absl::Status WaitReady(absl::Time deadline);

 private:
  v1::JobService::Stub& StubOf(v1::JobService::Stub*) { return *jobs_; }
  v1::DatasetService::Stub& StubOf(v1::DatasetService::Stub*) { return *datasets_; }
  v1::ModelService::Stub& StubOf(v1::ModelService::Stub*) { return *models_; }
  v1::ArtifactService::Stub& StubOf(v1::ArtifactService::Stub*) { return *artifacts_; }
  v1::AdminService::Stub& StubOf(v1::AdminService::Stub*) { return *admin_; }
  void Prepare(grpc::ClientContext& context, absl::Duration timeout) const;
  absl::Status Explain(absl::Status status) const;

  const Endpoint endpoint_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::JobService::Stub> jobs_;
  const std::unique_ptr<v1::DatasetService::Stub> datasets_;
  const std::unique_ptr<v1::ModelService::Stub> models_;
  const std::unique_ptr<v1::ArtifactService::Stub> artifacts_;
  const std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace vernier::client
