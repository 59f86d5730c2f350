// The real vernierd as its own process, driven over gRPC as any client would.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "tests/testing/process.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_model.h"
#include "vernier/v1/admin_service.grpc.pb.h"
#include "vernier/v1/artifact_service.grpc.pb.h"
#include "vernier/v1/dataset_service.grpc.pb.h"
#include "vernier/v1/job_service.grpc.pb.h"
#include "vernier/v1/model_service.grpc.pb.h"

namespace vernier {
namespace {

using testing::HasSubstr;

constexpr char kBinary[] = VERNIER_BIN_DIR "/vernierd";

// One data directory and the vernierd on it.
class VernierdTest : public testing::Test {
 protected:
  std::string DataDir() const { return folder_.File("data"); }
  std::string ImportRoot() const { return folder_.File("models"); }

  std::unique_ptr<TestProcess> Spawn(std::vector<std::string> more = {}, const std::string& log = "log") {
    std::vector<std::string> arguments = {kBinary, "--data-dir", DataDir()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto process = TestProcess::Start(std::move(arguments), folder_.File(log));
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }
  void Start(std::vector<std::string> more = {}) {
    std::filesystem::remove(DataDir() + "/endpoint");  // of one that was killed
    server_ = Spawn(std::move(more));
    const auto endpoint = server_->AwaitFile(DataDir() + "/endpoint");
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    endpoint_ = *endpoint;
    token_ = *ReadFile(DataDir() + "/token");
    channel_ = grpc::CreateChannel(endpoint_, grpc::InsecureChannelCredentials());
  }
  // Ends it as an operator does.
  void Stop() {
    server_->Signal(SIGTERM);
    const auto code = server_->AwaitExit(absl::Seconds(20));
    ASSERT_TRUE(code.ok()) << code.status();
    EXPECT_EQ(*code, 0) << server_->Output();
  }
  std::unique_ptr<grpc::ClientContext> Call() const {
    auto context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("authorization", "Bearer " + token_);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return context;
  }

  v1::Dataset Upload(const std::string& name, const std::string& rows) {
    const auto stub = v1::DatasetService::NewStub(channel_);
    const auto context = Call();
    v1::UploadDatasetResponse response;
    const auto writer = stub->UploadDataset(context.get(), &response);
    v1::UploadDatasetRequest request;
    request.mutable_header()->set_name(name);
    request.mutable_header()->set_sha256(Sha256Hex(rows));
    writer->Write(request);
    request.set_chunk(rows);
    writer->Write(request);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.dataset();
  }
  grpc::Status Import(const std::string& path, const std::string& name, v1::Model* model) {
    const auto stub = v1::ModelService::NewStub(channel_);
    const auto context = Call();
    v1::ImportModelRequest request;
    request.set_path(path);
    request.set_name(name);
    const auto reader = stub->ImportModel(context.get(), request);
    for (v1::ImportModelResponse response; reader->Read(&response);) *model = response.model();
    return reader->Finish();
  }
  grpc::Status CreateJob(const std::string& request_id, v1::Job* job) {
    const auto stub = v1::JobService::NewStub(channel_);
    const auto context = Call();
    v1::CreateJobRequest request;
    request.set_request_id(request_id);
    request.mutable_spec()->set_name("names");
    request.mutable_spec()->mutable_model()->set_base("tiny");
    request.mutable_spec()->mutable_data()->set_source("rows");
    v1::CreateJobResponse response;
    const grpc::Status status = stub->CreateJob(context.get(), request, &response);
    *job = response.job();
    return status;
  }
  // A model and rows to train on.
  void Fill() {
    ASSERT_TRUE(tiny::WriteModelFolder(ImportRoot() + "/tiny").ok());
    Start({"--import-root", ImportRoot()});
    v1::Model model;
    const grpc::Status status = Import(ImportRoot() + "/tiny", "tiny", &model);
    ASSERT_TRUE(status.ok()) << status.error_message();
    Upload("rows", tiny::RowsAsJsonl(tiny::MakeRows(20)));
  }

  TempFolder folder_;
  std::unique_ptr<TestProcess> server_;
  std::string endpoint_, token_;
  std::shared_ptr<grpc::Channel> channel_;
};

// An HTTP/1.0 GET; the whole reply.
std::string HttpGet(const std::string& endpoint, const std::string& path) {
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(endpoint.substr(colon + 1), &port));
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n");
  EXPECT_EQ(::write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string reply;
  char buffer[4096];
  for (ssize_t got; (got = ::read(fd, buffer, sizeof(buffer))) > 0;) reply.append(buffer, got);
  ::close(fd);
  return reply;
}

// One request to a service that we have no stubs for, and its first response.
grpc::Status GenericCall(const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context,
                         const std::string& method, const std::string& request, std::string* response) {
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(channel);
  const auto call = stub.PrepareCall(&context, method, &queue);
  // Every step is awaited; a step after the call has ended fails, and Finish says why.
  const auto await = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  await();
  const grpc::Slice slice(request);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  await();
  grpc::ByteBuffer buffer;
  call->Read(&buffer, nullptr);
  if (await()) {
    grpc::Slice bytes;
    EXPECT_TRUE(buffer.DumpToSingleSlice(&bytes).ok());
    response->assign(bytes.begin(), bytes.end());
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  await();
  return status;
}

TEST_F(VernierdTest, IsReadyWithinASecondAndStopsCleanly) {
  const absl::Time start = absl::Now();
  Start();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5)) << "far above what it takes, for loaded machines";
  EXPECT_THAT(endpoint_, testing::StartsWith("127.0.0.1:"));
  EXPECT_TRUE(server_->AwaitOutput("vernierd ready endpoint=").ok());
  Stop();
  EXPECT_FALSE(std::filesystem::exists(DataDir() + "/endpoint"));
  EXPECT_FALSE(std::filesystem::exists(DataDir() + "/metrics_endpoint"));
}

TEST_F(VernierdTest, HealthIsOpenAndEverythingElseWantsTheToken) {
  Start();
  std::string response;
  grpc::ClientContext health;
  const grpc::Status healthy = GenericCall(channel_, health, "/grpc.health.v1.Health/Check", "", &response);
  ASSERT_TRUE(healthy.ok()) << healthy.error_message();
  EXPECT_EQ(response, "\x08\x01");  // status: SERVING

  const auto stub = v1::JobService::NewStub(channel_);
  grpc::ClientContext without;
  v1::ListJobsResponse jobs;
  const grpc::Status refused = stub->ListJobs(&without, {}, &jobs);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(refused.error_message(), HasSubstr(DataDir() + "/token"));
  EXPECT_TRUE(stub->ListJobs(Call().get(), {}, &jobs).ok());
}

TEST_F(VernierdTest, ReflectionListsTheServices) {
  Start();
  constexpr char kMethod[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  const std::string list_services("\x3a\x01*", 3);
  std::string response;
  const grpc::Status status = GenericCall(channel_, *Call(), kMethod, list_services, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  for (const char* service :
       {"JobService", "DatasetService", "ModelService", "ArtifactService", "AdminService", "AgentService"}) {
    EXPECT_THAT(response, HasSubstr(absl::StrCat("vernier.v1.", service)));
  }
  EXPECT_THAT(response, HasSubstr("grpc.health.v1.Health"));

  grpc::ClientContext without;
  EXPECT_EQ(GenericCall(channel_, without, kMethod, list_services, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(VernierdTest, AJobWithoutAnAgentWaitsAndSaysWhy) {
  Fill();
  v1::Job job, again;
  const grpc::Status status = CreateJob("one", &job);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(job.state_reason(), HasSubstr("no agent is connected"));
  EXPECT_TRUE(job.state() == v1::JOB_STATE_QUEUED || job.state() == v1::JOB_STATE_VALIDATING);
  ASSERT_TRUE(CreateJob("one", &again).ok());
  EXPECT_EQ(again.name(), job.name());
  ASSERT_TRUE(CreateJob("two", &again).ok());
  EXPECT_NE(again.name(), job.name());
}

TEST_F(VernierdTest, RestartKeepsEverything) {
  Fill();
  v1::Job job;
  ASSERT_TRUE(CreateJob("one", &job).ok());
  const std::string token = token_;
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (signal == SIGTERM) {
      Stop();
    } else {
      server_->Signal(SIGKILL);
      ASSERT_EQ(*server_->AwaitExit(), 128 + SIGKILL);
    }
    Start({"--import-root", ImportRoot()});
    EXPECT_EQ(token_, token);
    v1::Job again;
    const grpc::Status status = CreateJob("one", &again);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(again.name(), job.name());
    const auto datasets = v1::DatasetService::NewStub(channel_);
    v1::ListDatasetsResponse list;
    ASSERT_TRUE(datasets->ListDatasets(Call().get(), {}, &list).ok());
    ASSERT_EQ(list.datasets_size(), 1);
    EXPECT_EQ(list.datasets(0).num_rows(), 20);
    const auto models = v1::ModelService::NewStub(channel_);
    v1::GetModelRequest get;
    get.set_name("tiny");
    v1::GetModelResponse model;
    EXPECT_TRUE(models->GetModel(Call().get(), get, &model).ok());
    const auto jobs = v1::JobService::NewStub(channel_);
    const auto context = Call();
    v1::WatchJobRequest watch;
    watch.set_name(job.name());
    const auto reader = jobs->WatchJob(context.get(), watch);
    v1::WatchJobResponse response;
    ASSERT_TRUE(reader->Read(&response) && reader->Read(&response));
    EXPECT_EQ(response.event().sequence(), 1);
  }
}

TEST_F(VernierdTest, DatasetsInUseStayAndOthersGo) {
  Fill();
  Upload("spare", "{\"text\": \"x\"}\n");
  v1::Job job;
  ASSERT_TRUE(CreateJob("", &job).ok());
  const auto stub = v1::DatasetService::NewStub(channel_);
  v1::DeleteDatasetRequest request;
  v1::DeleteDatasetResponse response;
  request.set_name("rows");
  const grpc::Status used = stub->DeleteDataset(Call().get(), request, &response);
  EXPECT_EQ(used.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(used.error_message(), HasSubstr(job.name()));
  request.set_name("spare");
  EXPECT_TRUE(stub->DeleteDataset(Call().get(), request, &response).ok());
}

TEST_F(VernierdTest, ASecondOneOnTheSameDataDirIsRefused) {
  Start();
  const auto second = Spawn({}, "second.log");
  const auto code = second->AwaitExit();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 7);  // docs/cli.md
  EXPECT_THAT(second->Output(), HasSubstr(absl::StrCat("process ", server_->pid())));
  EXPECT_THAT(second->Output(), HasSubstr("stop it, or choose another --data-dir"));
  // The first one goes on.
  EXPECT_EQ(*ReadFile(DataDir() + "/endpoint"), endpoint_);
  v1::ListJobsResponse jobs;
  EXPECT_TRUE(v1::JobService::NewStub(channel_)->ListJobs(Call().get(), {}, &jobs).ok());
}

struct RefusalCase {
  std::string name;
  std::vector<std::string> flags;
  std::string message;
};
class VernierdRefusalTest : public VernierdTest, public testing::WithParamInterface<RefusalCase> {};

TEST_P(VernierdRefusalTest, IsOneSentence) {
  const auto server = Spawn(GetParam().flags);
  const auto code = server->AwaitExit();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_NE(*code, 0);
  EXPECT_THAT(server->Output(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, VernierdRefusalTest,
    testing::ValuesIn<RefusalCase>({
        {"OtherAddress", {"--listen", "0.0.0.0:0"}, "TLS is not configured"},
        {"OtherMetricsAddress", {"--metrics-listen", "0.0.0.0:0"}, "TLS is not configured"},
        {"NotAnAddress", {"--listen", "here"}, "is not ADDRESS:PORT"},
        {"StoreOfOneProcess", {"--store", "memory:"}, "no agent reaches it"},
        {"UnknownStore", {"--store", "s4://x"}, "s4"},
        {"MissingImportRoot", {"--import-root", "/does/not/exist"}, "--import-root /does/not/exist"},
        {"ShortLease", {"--lease-ttl", "5s"}, "more than half of --lease-ttl"},
        {"NotADuration", {"--heartbeat", "often"}, "--heartbeat often is not a duration"},
        {"UnknownFlag", {"--lisen", "127.0.0.1:0"}, "--lisen"},
    }),
    [](const auto& info) { return info.param.name; });

TEST_F(VernierdTest, ADataDirOfAnotherVersionIsRefused) {
  folder_.Write("data/VERSION", "99\n");
  const auto server = Spawn();
  EXPECT_EQ(*server->AwaitExit(), 7);
  EXPECT_THAT(server->Output(), HasSubstr("format version 99"));
}

TEST_F(VernierdTest, ATakenPortIsNamed) {
  Start();
  for (const char* flag : {"--listen", "--metrics-listen"}) {
    TempFolder other;
    const auto second =
        TestProcess::Start({kBinary, "--data-dir", other.path(), flag, endpoint_}, other.File("log"));
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(*(*second)->AwaitExit(), 7);
    EXPECT_THAT((*second)->Output(), HasSubstr(absl::StrCat(flag, " ", endpoint_, ": cannot listen there")));
  }
}

TEST_F(VernierdTest, ImportsNothingFromOutsideItsRoots) {
  std::filesystem::create_directories(ImportRoot());
  ASSERT_TRUE(tiny::WriteModelFolder(folder_.File("elsewhere/tiny")).ok());
  std::filesystem::create_symlink(folder_.File("elsewhere/tiny"), ImportRoot() + "/link");
  Start({"--import-root", ImportRoot()});
  v1::Model model;
  for (const std::string& path : {folder_.File("elsewhere/tiny"), ImportRoot() + "/link"}) {
    const grpc::Status status = Import(path, "", &model);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << path;
  }
  Stop();
  Start();
  EXPECT_THAT(Import(folder_.File("elsewhere/tiny"), "", &model).error_message(),
              HasSubstr("start it with --import-root"));
}

TEST_F(VernierdTest, SigtermEndsOpenStreams) {
  Fill();
  v1::Job job;
  ASSERT_TRUE(CreateJob("", &job).ok());
  const auto stub = v1::JobService::NewStub(channel_);
  const auto context = Call();
  v1::WatchJobRequest request;
  request.set_name(job.name());
  const auto reader = stub->WatchJob(context.get(), request);
  v1::WatchJobResponse response;
  ASSERT_TRUE(reader->Read(&response));
  const absl::Time start = absl::Now();
  server_->Signal(SIGTERM);
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(*server_->AwaitExit(), 0);
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST_F(VernierdTest, MetricsAreServedWithTheirNames) {
  Start();
  v1::ListJobsResponse jobs;
  ASSERT_TRUE(v1::JobService::NewStub(channel_)->ListJobs(Call().get(), {}, &jobs).ok());
  Upload("rows", "{\"text\": \"x\"}\n");
  const std::string endpoint = *ReadFile(DataDir() + "/metrics_endpoint");
  // A call is measured when gRPC forgets it, a moment after its reply.
  std::string page;
  const absl::Status measured = AwaitCondition("the call in the metrics", [&] {
    page = HttpGet(endpoint, "/metrics");
    return absl::StrContains(
               page,
               "vernier_server_rpc_duration_seconds_count{method=\"JobService/ListJobs\",code=\"OK\"} 1") ||
           absl::StrContains(
               page,
               "vernier_server_rpc_duration_seconds_count{code=\"OK\",method=\"JobService/ListJobs\"} 1");
  });
  EXPECT_TRUE(measured.ok()) << page;
  for (const char* name :
       {"vernier_server_jobs{state=\"queued\"} 0", "vernier_server_agents_connected 0",
        "vernier_scheduler_queue_wait_seconds_count 0", "vernier_server_named_things{kind=\"dataset\"} 1"}) {
    EXPECT_THAT(page, HasSubstr(name));
  }
  EXPECT_THAT(page, HasSubstr("vernier_storage_transferred_bytes_total"));
}

TEST_F(VernierdTest, VersionAndHelpNeedNoDataDir) {
  for (const char* flag : {"--version", "--help"}) {
    const auto process = TestProcess::Start({kBinary, flag}, folder_.File(flag));
    ASSERT_TRUE(process.ok()) << process.status();
    EXPECT_EQ(*(*process)->AwaitExit(), 0);
    EXPECT_THAT((*process)->Output(),
                HasSubstr(std::string(flag) == "--help" ? "--import-root" : "vernierd 0."));
  }
}

}  // namespace
}  // namespace vernier
