// A whole control plane in this process, with everything in memory, behind a real loopback port.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/digest.h"
#include "server/api/control_plane.h"
#include "server/jobs/memory_job_store.h"
#include "storage/memory_store.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_model.h"
#include "vernier/v1/dataset_service.grpc.pb.h"
#include "vernier/v1/model_service.grpc.pb.h"

namespace vernier::server {

inline constexpr char kTestToken[] = "a-token-for-tests";

// A deadline on everything: a test that hangs fails with a status.
inline std::unique_ptr<grpc::ClientContext> Call(const std::string& token = kTestToken) {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  return context;
}

// An object store that the server owns and the test looks into.
class SharedStore final : public storage::ObjectStore {
 public:
  explicit SharedStore(std::shared_ptr<storage::ObjectStore> store) : store_(std::move(store)) {}
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view key,
                                                                    storage::WriteMode mode) override {
    return store_->OpenWriter(key, mode);
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override {
    return store_->GetRange(key, offset, length);
  }
  absl::StatusOr<storage::ObjectInfo> Head(absl::string_view key) override { return store_->Head(key); }
  absl::StatusOr<std::vector<storage::ObjectInfo>> List(absl::string_view prefix, absl::string_view after,
                                                        int limit) override {
    return store_->List(prefix, after, limit);
  }
  absl::Status Delete(absl::string_view key) override { return store_->Delete(key); }
  std::optional<std::string> LocalPath(absl::string_view key) override { return store_->LocalPath(key); }
  std::string Uri() const override { return store_->Uri(); }

 private:
  const std::shared_ptr<storage::ObjectStore> store_;
};

class TestServer {
 public:
  explicit TestServer(std::vector<std::string> import_roots = {},
                      absl::Duration garbage_grace = absl::Hours(1),
                      int64_t always_read_bytes = int64_t{64} << 20) {
    ControlPlane::Options options;
    options.spool_dir = folder_.path();
    options.max_upload_bytes = 4 << 20;
    options.always_read_bytes = always_read_bytes;
    options.grpc.listen = "127.0.0.1:0";
    options.grpc.token = kTestToken;
    options.grpc.token_where = "/data/token";
    options.grpc.models.import_roots = std::move(import_roots);
    options.grpc.admin.data_dir = "/data";
    options.grpc.admin.start_time = absl::Now();
    options.grpc.admin.garbage_grace = garbage_grace;
    options.workers.num_threads = 2;
    absl::StatusOr<std::unique_ptr<ControlPlane>> plane =
        ControlPlane::Start(std::move(options), std::make_unique<MemoryJobStore>(),
                            std::make_unique<SharedStore>(objects_), metrics_, RealClock());
    if (!plane.ok()) {
      ADD_FAILURE() << plane.status();
      return;
    }
    plane_ = *std::move(plane);
    channel_ = grpc::CreateChannel(plane_->endpoint(), grpc::InsecureChannelCredentials());
  }

  ControlPlane& plane() { return *plane_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  storage::ObjectStore& objects() { return *objects_; }
  Metrics& metrics() { return *metrics_; }
  const TempFolder& spool() const { return folder_; }

 private:
  TempFolder folder_;
  const std::shared_ptr<storage::MemoryStore> objects_ = std::make_shared<storage::MemoryStore>();
  const std::shared_ptr<Metrics> metrics_ = std::make_shared<Metrics>();
  std::unique_ptr<ControlPlane> plane_;
  std::shared_ptr<grpc::Channel> channel_;
};

// `pieces` after the header.
inline grpc::Status Upload(TestServer& server, const v1::UploadHeader& header,
                           const std::vector<std::string>& pieces, v1::UploadDatasetResponse* response) {
  const auto context = Call();
  const auto stub = v1::DatasetService::NewStub(server.channel());
  const auto writer = stub->UploadDataset(context.get(), response);
  v1::UploadDatasetRequest request;
  *request.mutable_header() = header;
  bool open = writer->Write(request);
  for (const std::string& piece : pieces) {
    if (!open) break;
    request.set_chunk(piece);
    open = writer->Write(request);
  }
  writer->WritesDone();
  return writer->Finish();
}

inline v1::UploadHeader Header(const std::string& name, const std::string& sha256 = "") {
  v1::UploadHeader header;
  header.set_name(name);
  header.set_filename("rows.jsonl");
  header.set_sha256(sha256);
  return header;
}

// All messages of an import; the status at the end.
inline grpc::Status Import(TestServer& server, const std::string& path, const std::string& name,
                           std::vector<v1::ImportModelResponse>* responses) {
  const auto stub = v1::ModelService::NewStub(server.channel());
  const auto context = Call();
  v1::ImportModelRequest request;
  request.set_path(path);
  request.set_name(name);
  const auto reader = stub->ImportModel(context.get(), request);
  v1::ImportModelResponse response;
  while (reader->Read(&response)) responses->push_back(response);
  return reader->Finish();
}

// A server with the model "tiny" and the rows "rows".
class FilledServer {
 public:
  FilledServer() : server_({std::filesystem::canonical(models_.path()).string()}) {
    const std::string path = std::filesystem::canonical(models_.path()).string() + "/tiny";
    EXPECT_TRUE(tiny::WriteModelFolder(path).ok());
    std::vector<v1::ImportModelResponse> responses;
    const grpc::Status imported = Import(server_, path, "tiny", &responses);
    EXPECT_TRUE(imported.ok()) << imported.error_message();
    v1::UploadDatasetResponse uploaded;
    const std::string rows = tiny::RowsAsJsonl(tiny::MakeRows(20));
    const grpc::Status stored = Upload(server_, Header("rows"), {rows}, &uploaded);
    EXPECT_TRUE(stored.ok()) << stored.error_message();
  }
  TestServer& operator*() { return server_; }
  TestServer* operator->() { return &server_; }

 private:
  TempFolder models_;
  TestServer server_;
};

}  // namespace vernier::server
