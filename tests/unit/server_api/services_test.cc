// The unary services, uploads and downloads over a real connection.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/safetensors.h"
#include "tests/testing/tiny_model.h"
#include "tests/unit/server_api/test_server.h"
#include "vernier/v1/admin_service.grpc.pb.h"
#include "vernier/v1/artifact_service.grpc.pb.h"
#include "vernier/v1/dataset_service.grpc.pb.h"
#include "vernier/v1/job_service.grpc.pb.h"
#include "vernier/v1/model_service.grpc.pb.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kRows[] = "{\"text\": \"one\"}\n\n{\"text\": \"two\"}\n";

std::string Key(absl::string_view digest) { return storage::DatasetObject("default", digest); }

template <typename Response>
grpc::Status Finished(grpc::ClientReader<Response>& reader, Response& response) {
  while (reader.Read(&response)) {
  }
  return reader.Finish();
}

TEST(AuthenticationTest, EveryServiceButHealthWantsTheToken) {
  TestServer server;
  v1::GetJobResponse response;
  const auto stub = v1::JobService::NewStub(server.channel());
  for (const std::string token : {"", "wrong"}) {
    const auto context = Call(token);
    const grpc::Status status = stub->GetJob(context.get(), {}, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_THAT(status.error_message(), HasSubstr("/data/token"));
  }
  const auto context = Call();
  EXPECT_EQ(stub->GetJob(context.get(), {}, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(JobServiceTest, ErrorsNameTheJob) {
  TestServer server;
  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call();
  v1::GetJobRequest request;
  request.set_name("jobs/0123456789abcdef");
  v1::GetJobResponse response;
  const grpc::Status status = stub->GetJob(context.get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("0123456789abcdef"));
}

TEST(JobServiceTest, OversizedRequestsAreRefusedByKind) {
  TestServer server;
  const auto stub = v1::JobService::NewStub(server.channel());
  v1::GetJobRequest naming;
  naming.set_name(std::string(100'000, 'x'));
  v1::GetJobResponse job;
  auto context = Call();
  EXPECT_EQ(stub->GetJob(context.get(), naming, &job).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::CreateJobRequest create;
  create.mutable_spec()->set_name(std::string(9 << 20, 'x'));
  v1::CreateJobResponse created;
  context = Call();
  EXPECT_EQ(stub->CreateJob(context.get(), create, &created).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// Streams stay: what a thousand of them keep must be small.
TEST(JobServiceTest, StreamsAreAskedForInFewWords) {
  TestServer server;
  const auto stub = v1::JobService::NewStub(server.channel());
  v1::StreamMetricsRequest metrics;
  metrics.set_name("jobs/x");
  metrics.set_stage(std::string(1 << 20, 's'));
  v1::StreamMetricsResponse points;
  auto context = Call();
  EXPECT_EQ(Finished(*stub->StreamMetrics(context.get(), metrics), points).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  v1::WatchJobRequest watch;
  watch.set_name(std::string(1 << 20, 'j'));
  v1::WatchJobResponse events;
  context = Call();
  EXPECT_EQ(Finished(*stub->WatchJob(context.get(), watch), events).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(DatasetServiceTest, UploadsListsAndDeletes) {
  TestServer server;
  v1::UploadDatasetResponse uploaded;
  const std::string rows = kRows;
  grpc::Status status = Upload(server, Header("words"), {rows.substr(0, 5), rows.substr(5)}, &uploaded);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(uploaded.dataset().name(), "words");
  EXPECT_EQ(uploaded.dataset().num_rows(), 2);
  EXPECT_EQ(uploaded.dataset().format(), "text");
  EXPECT_EQ(uploaded.dataset().digest(), Sha256Hex(rows));
  EXPECT_FALSE(uploaded.existed());
  EXPECT_EQ(*server.objects().Get(Key(uploaded.dataset().digest())), rows);
  EXPECT_TRUE(std::filesystem::is_empty(server.spool().path()));

  // Equal content is one dataset; a digest in the header saves sending it.
  v1::UploadDatasetResponse again;
  status = Upload(server, Header("", Sha256Hex(rows)), {}, &again);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(again.existed());
  EXPECT_EQ(again.dataset().name(), "words");

  const auto stub = v1::DatasetService::NewStub(server.channel());
  auto context = Call();
  v1::ListDatasetsResponse list;
  ASSERT_TRUE(stub->ListDatasets(context.get(), {}, &list).ok());
  ASSERT_EQ(list.datasets_size(), 1);

  v1::DeleteDatasetRequest remove;
  remove.set_name("words");
  v1::DeleteDatasetResponse removed;
  context = Call();
  ASSERT_TRUE(stub->DeleteDataset(context.get(), remove, &removed).ok());
  // The same content may come back at once, whether its old bytes are gone by then or not.
  ASSERT_TRUE(Upload(server, Header("words"), {rows}, &uploaded).ok());
  EXPECT_EQ(*server.objects().Get(Key(uploaded.dataset().digest())), rows);
  context = Call();
  v1::GetDatasetRequest get;
  get.set_name("words");
  v1::GetDatasetResponse got;
  EXPECT_TRUE(stub->GetDataset(context.get(), get, &got).ok());
}

TEST(DatasetServiceTest, UploadingItAgainMendsADatasetThatWasDamagedOrLost) {
  TestServer server;
  const std::string rows = kRows;
  const std::string key = Key(Sha256Hex(rows));
  v1::UploadDatasetResponse uploaded;
  ASSERT_TRUE(Upload(server, Header("words"), {rows}, &uploaded).ok());
  // As a client does, with the digest up front.
  const auto again = [&] { return Upload(server, Header("words", Sha256Hex(rows)), {rows}, &uploaded); };
  std::string altered = rows;
  altered[3] ^= 1;
  for (const std::string& damaged : {altered, rows.substr(0, 9)}) {
    ASSERT_TRUE(server.objects().Put(key, damaged).ok());
    const grpc::Status status = again();
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(uploaded.existed());
    EXPECT_EQ(*server.objects().Get(key), rows);
  }
  ASSERT_TRUE(server.objects().Delete(key).ok());
  ASSERT_TRUE(again().ok());
  EXPECT_EQ(*server.objects().Get(key), rows);
}

TEST(DatasetServiceTest, WhatIsKnownAndLargeIsToldByItsSize) {
  TestServer server({}, absl::Hours(1), /*always_read_bytes=*/0);
  const std::string rows = kRows;
  const std::string key = Key(Sha256Hex(rows));
  v1::UploadDatasetResponse uploaded;
  const auto upload = [&] { return Upload(server, Header("words", Sha256Hex(rows)), {rows}, &uploaded); };
  ASSERT_TRUE(upload().ok());
  std::string altered = rows;
  altered[3] ^= 1;
  ASSERT_TRUE(server.objects().Put(key, altered).ok());
  ASSERT_TRUE(upload().ok());
  EXPECT_TRUE(uploaded.existed());
  EXPECT_EQ(*server.objects().Get(key), altered) << "it was not read";
  ASSERT_TRUE(server.objects().Put(key, rows.substr(0, 9)).ok());
  ASSERT_TRUE(upload().ok());
  EXPECT_EQ(*server.objects().Get(key), rows);
}

TEST(DatasetServiceTest, DeletingAndUploadingTheSameRowsNeverLosesThem) {
  TestServer server;
  const auto stub = v1::DatasetService::NewStub(server.channel());
  for (int i = 0; i < 30; ++i) {
    v1::UploadDatasetResponse uploaded;
    const grpc::Status status = Upload(server, Header("words"), {kRows}, &uploaded);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_TRUE(server.objects().Head(Key(uploaded.dataset().digest())).ok()) << i;
    v1::DeleteDatasetRequest remove;
    remove.set_name("words");
    v1::DeleteDatasetResponse removed;
    const auto context = Call();
    ASSERT_TRUE(stub->DeleteDataset(context.get(), remove, &removed).ok());
  }
}

struct UploadCase {
  std::string name;
  v1::UploadHeader header;
  std::vector<std::string> pieces;
  grpc::StatusCode code;
  std::string message;
};
class BadUploadTest : public testing::TestWithParam<UploadCase> {};

TEST_P(BadUploadTest, IsRefusedAndLeavesNothing) {
  TestServer server;
  v1::UploadDatasetResponse response;
  const grpc::Status status = Upload(server, GetParam().header, GetParam().pieces, &response);
  EXPECT_EQ(status.error_code(), GetParam().code) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr(GetParam().message));
  EXPECT_TRUE(std::filesystem::is_empty(server.spool().path()));
  EXPECT_TRUE(server.objects().List("", "", 10)->empty());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadUploadTest,
    testing::ValuesIn<UploadCase>({
        {"Empty", Header("a"), {}, grpc::StatusCode::INVALID_ARGUMENT, "rows.jsonl: has no rows"},
        {"NotRows",
         Header("a"),
         {"Once upon a time\n"},
         grpc::StatusCode::INVALID_ARGUMENT,
         "rows.jsonl: the file is not recognised"},
        {"OtherDigest",
         Header("a", std::string(64, '0')),
         {kRows},
         grpc::StatusCode::DATA_LOSS,
         "upload it again"},
        {"BadName", Header("a/b"), {kRows}, grpc::StatusCode::INVALID_ARGUMENT, "dataset name \"a/b\""},
        {"LargeChunk",
         Header("a"),
         {std::string(2 << 20, ' ')},
         grpc::StatusCode::INVALID_ARGUMENT,
         "at most 1.0 MiB"},
        {"TooLarge", Header("a"), std::vector<std::string>(5, std::string(1 << 20, ' ')),
         grpc::StatusCode::INVALID_ARGUMENT, "--max-upload-bytes"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(DatasetServiceTest, AChunkBeforeTheHeaderIsRefused) {
  TestServer server;
  const auto context = Call();
  v1::UploadDatasetResponse response;
  const auto stub = v1::DatasetService::NewStub(server.channel());
  const auto writer = stub->UploadDataset(context.get(), &response);
  v1::UploadDatasetRequest request;
  request.set_chunk("x");
  writer->Write(request);
  writer->WritesDone();
  EXPECT_THAT(writer->Finish().error_message(), HasSubstr("the first message is the header"));
}

TEST(DatasetServiceTest, AnUploadThatIsCancelledRegistersNothing) {
  TestServer server;
  const auto stub = v1::DatasetService::NewStub(server.channel());
  for (int i = 0; i < DatasetService::kMaxUploads; ++i) {
    const auto context = Call();
    v1::UploadDatasetResponse response;
    const auto writer = stub->UploadDataset(context.get(), &response);
    v1::UploadDatasetRequest request;
    *request.mutable_header() = Header("half");
    ASSERT_TRUE(writer->Write(request));
    request.set_chunk(kRows);
    ASSERT_TRUE(writer->Write(request));
    context->TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ASSERT_TRUE(server.plane().Stop(absl::Seconds(30)));  // every call has ended
  EXPECT_TRUE(server.objects().List("", "", 10)->empty());
  EXPECT_TRUE(std::filesystem::is_empty(server.spool().path()));
}

TEST(ModelServiceTest, ImportsListsAndServesSmallFiles) {
  TempFolder folder;
  const std::string root = std::filesystem::canonical(folder.path()).string();
  ASSERT_TRUE(tiny::WriteModelFolder(root + "/tiny").ok());
  TestServer server({root});
  std::vector<v1::ImportModelResponse> responses;
  const grpc::Status status = Import(server, root + "/tiny", "tiny", &responses);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_FALSE(responses.empty());
  EXPECT_EQ(responses.back().model().name(), "tiny");
  EXPECT_EQ(responses.back().model().architecture(), "llama");
  EXPECT_EQ(responses.back().model().vocab_size(), tiny::kVocabulary);
  EXPECT_EQ(responses.back().fraction(), 1);

  const auto stub = v1::ModelService::NewStub(server.channel());
  auto context = Call();
  v1::GetModelFileRequest request;
  request.set_name("tiny");
  request.set_file("tokenizer.json");
  auto reader = stub->GetModelFile(context.get(), request);
  std::string tokenizer;
  for (v1::GetModelFileResponse part; reader->Read(&part);) tokenizer += part.chunk();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(nlohmann::json::accept(tokenizer));

  context = Call();
  request.set_file("../secret");
  reader = stub->GetModelFile(context.get(), request);
  v1::GetModelFileResponse part;
  EXPECT_FALSE(reader->Read(&part));
  EXPECT_THAT(reader->Finish().error_message(), HasSubstr("has no file \"../secret\"; it has "));
}

TEST(ModelServiceTest, ReadsNothingOutsideTheRoots) {
  TempFolder folder;
  const std::string root = std::filesystem::canonical(folder.path()).string();
  std::vector<v1::ImportModelResponse> responses;
  TestServer open({root});
  grpc::Status status = Import(open, "/etc/passwd", "", &responses);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr(root));
  TestServer closed;
  status = Import(closed, root, "", &responses);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("start it with --import-root"));
  EXPECT_TRUE(responses.empty());
}

// Sends the files of an adapter, each in two pieces.
grpc::Status ImportAdapter(TestServer& server, const std::vector<std::pair<std::string, std::string>>& files,
                           v1::ImportAdapterResponse* response) {
  const auto stub = v1::ArtifactService::NewStub(server.channel());
  const auto context = Call();
  const auto writer = stub->ImportAdapter(context.get(), response);
  for (const auto& [name, bytes] : files) {
    v1::ImportAdapterRequest request;
    request.set_file(name);
    if (!writer->Write(request)) break;
    for (const std::string& piece : {bytes.substr(0, bytes.size() / 2), bytes.substr(bytes.size() / 2)}) {
      request.set_chunk(piece);
      if (!writer->Write(request)) break;
    }
  }
  writer->WritesDone();
  return writer->Finish();
}

std::string SmallAdapterTensors() {
  storage::MemoryStore store;
  const std::string bytes(4 * 4 * 16, '\0');
  std::vector<storage::TensorView> views(2);
  views[0].name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
  views[0].shape = {4, 16};
  views[1].name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
  views[1].shape = {16, 4};
  for (storage::TensorView& view : views) view.bytes = bytes;
  EXPECT_TRUE(storage::WriteSafetensors(store, "a", storage::WriteMode::kReplace, views).ok());
  return *store.Get("a");
}

TEST(ArtifactServiceTest, ImportsAnAdapterAsAnArtifact) {
  TestServer server;
  const std::string config =
      R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"})";
  const std::vector<std::pair<std::string, std::string>> files = {
      {"adapter_config.json", config}, {"adapter_model.safetensors", SmallAdapterTensors()}};
  v1::ImportAdapterResponse response, again;
  grpc::Status status = ImportAdapter(server, files, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_THAT(response.adapter(), testing::StartsWith("adapters/"));
  const std::string folder = storage::AdapterFolder("default", response.adapter().substr(9));
  const auto manifest = storage::ReadManifest(server.objects(), folder, "vernier.artifact");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->fields["kind"], "adapter");
  EXPECT_TRUE(storage::VerifyParts(server.objects(), folder, *manifest).ok());
  ASSERT_TRUE(ImportAdapter(server, files, &again).ok());
  EXPECT_EQ(again.adapter(), response.adapter());
}

TEST(ArtifactServiceTest, BrokenAdaptersAreRefused) {
  TestServer server;
  const std::string config =
      R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]})";
  const std::string tensors = SmallAdapterTensors();
  const std::vector<std::pair<std::vector<std::pair<std::string, std::string>>, std::string>> cases = {
      {{{"adapter_config.json", config}}, "adapter_model.safetensors: is missing"},
      {{{"adapter_config.json", "{}"}, {"adapter_model.safetensors", tensors}},
       "adapter_config.json: peft_type"},
      {{{"adapter_config.json", config},
        {"adapter_model.safetensors", tensors.substr(0, tensors.size() - 8)}},
       "adapter_model.safetensors"},
      {{{"adapter_model.bin", "x"}}, "file \"adapter_model.bin\" is not part of an adapter"},
      {{{"adapter_config.json", config}, {"adapter_config.json", config}},
       "adapter_config.json: was sent already"},
      {{{"adapter_config.json", std::string(2 << 20, ' ')}}, "is larger than the limit"},
  };
  for (const auto& [files, message] : cases) {
    v1::ImportAdapterResponse response;
    const grpc::Status status = ImportAdapter(server, files, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << message;
    EXPECT_THAT(status.error_message(), HasSubstr(message));
  }
  EXPECT_TRUE(server.objects().List("", "", 10)->empty());
}

TEST(AdminServiceTest, SaysWhatItIs) {
  TestServer server;
  const auto stub = v1::AdminService::NewStub(server.channel());
  auto context = Call();
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(stub->GetServerInfo(context.get(), {}, &info).ok());
  EXPECT_THAT(info.version(), HasSubstr("."));
  EXPECT_EQ(info.data_dir(), "/data");
  EXPECT_EQ(info.store(), "memory:");
  EXPECT_EQ(info.epoch(), 1u);
  context = Call();
  v1::ListAgentsResponse agents;
  ASSERT_TRUE(stub->ListAgents(context.get(), {}, &agents).ok());
  EXPECT_EQ(agents.agents_size(), 0);
}

TEST(AdminServiceTest, GarbageIsWhatNothingRefersTo) {
  TestServer server({}, absl::ZeroDuration());
  v1::UploadDatasetResponse uploaded;
  ASSERT_TRUE(Upload(server, Header("kept"), {kRows}, &uploaded).ok());
  const std::string orphan = Key(std::string(64, 'a'));
  ASSERT_TRUE(server.objects().Put(orphan, "12345").ok());

  const auto stub = v1::AdminService::NewStub(server.channel());
  auto context = Call();
  v1::GetDiskUsageResponse usage;
  ASSERT_TRUE(stub->GetDiskUsage(context.get(), {}, &usage).ok());
  EXPECT_EQ(usage.rows(0).kind(), "datasets");
  EXPECT_EQ(usage.rows(0).objects(), 2);
  for (const bool dry_run : {true, false}) {
    context = Call();
    v1::CollectGarbageRequest request;
    request.set_dry_run(dry_run);
    v1::CollectGarbageResponse response;
    const grpc::Status status = stub->CollectGarbage(context.get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.objects_size(), 1);
    EXPECT_EQ(response.objects(0).key(), orphan);
    EXPECT_EQ(response.total_bytes(), 5);
    EXPECT_FALSE(response.objects(0).reason().empty());
    EXPECT_EQ(server.objects().Head(orphan).ok(), dry_run);
  }
  EXPECT_TRUE(server.objects().Head(Key(uploaded.dataset().digest())).ok());
}

}  // namespace
}  // namespace vernier::server
