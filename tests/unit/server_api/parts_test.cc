// The small parts of the edge, each on its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "server/api/auth.h"
#include "server/api/deletions.h"
#include "server/api/grpc_server.h"
#include "server/api/model_service.h"
#include "server/api/row_scan.h"
#include "server/api/slots.h"
#include "server/api/spool_file.h"
#include "server/api/status.h"
#include "server/data_dir.h"
#include "server/worker_pool.h"
#include "tests/testing/temp_folder.h"

namespace vernier::server {
namespace {

using testing::HasSubstr;

TEST(ToGrpcStatusTest, KeepsCodeAndMessage) {
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("jobs/1: no such job"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "jobs/1: no such job");
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(ToGrpcStatusTest, ALongMessageIsCutAtALineAndSaysSo) {
  std::string message;
  for (int i = 0; i < 500; ++i)
    absl::StrAppend(&message, i > 0 ? "\n" : "", "field ", i, ": is \xC3\xBC-wrong");
  const std::string cut = ToGrpcStatus(absl::InvalidArgumentError(message)).error_message();
  EXPECT_LT(cut.size(), 6'100u);
  EXPECT_TRUE(absl::StartsWith(cut, "field 0: is"));
  int last = 0;
  ASSERT_TRUE(absl::SimpleAtoi(
      cut.substr(cut.rfind("field ") + 6, cut.rfind(": is") - cut.rfind("field ") - 6), &last));
  EXPECT_TRUE(absl::EndsWith(cut, absl::StrCat("\n(", 499 - last, " more lines)")))
      << cut.substr(cut.size() - 60);
}

TEST(ToGrpcStatusTest, ALongLineIsCutBetweenCharacters) {
  std::string message = "x";
  for (int i = 0; i < 5'000; ++i) message += "\xC3\xBC";
  const std::string cut = ToGrpcStatus(absl::InternalError(message)).error_message();
  EXPECT_TRUE(absl::EndsWith(cut, "\xC3\xBC ..."));
}

grpc::Status Authenticate(const std::map<std::string, std::string>& metadata) {
  TokenAuth auth("secret", "/data/token");
  grpc::AuthMetadataProcessor::InputMetadata input;
  for (const auto& [key, value] : metadata) input.emplace(key, value);
  grpc::AuthMetadataProcessor::OutputMetadata consumed, response;
  return auth.Process(input, nullptr, &consumed, &response);
}

TEST(TokenAuthTest, OnlyTheTokenOpens) {
  const std::string path = "/vernier.v1.JobService/GetJob";
  EXPECT_TRUE(Authenticate({{":path", path}, {"authorization", "Bearer secret"}}).ok());
  for (const char* value : {"Bearer wrong", "secret", "bearer secret", "Bearer ", "", "Bearer secret "}) {
    const grpc::Status status = Authenticate({{":path", path}, {"authorization", value}});
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << value;
    EXPECT_THAT(status.error_message(), HasSubstr("/data/token")) << value;
  }
  EXPECT_THAT(Authenticate({{":path", path}}).error_message(), HasSubstr("carries no token"));
}

TEST(TokenAuthTest, HealthNeedsNoToken) {
  EXPECT_TRUE(Authenticate({{":path", "/grpc.health.v1.Health/Check"}}).ok());
  EXPECT_FALSE(
      Authenticate({{":path", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}}).ok());
}

struct ScanCase {
  std::string name, text;
  int64_t rows = 0;      // 0: not counted; -1: an error
  std::string expected;  // the format, or a part of the message
};
class RowScanTest : public testing::TestWithParam<ScanCase> {};

TEST_P(RowScanTest, CountsRowsAndFindsTheFormatInPiecesOfAnySize) {
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{1} << 20}) {
    RowScan scan;
    for (size_t at = 0; at < GetParam().text.size(); at += piece) {
      scan.Update(absl::string_view(GetParam().text).substr(at, piece));
    }
    const absl::StatusOr<RowScan::Result> result = scan.Finish();
    if (GetParam().rows < 0) {
      ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(result.status().message()), HasSubstr(GetParam().expected));
    } else {
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->num_rows, GetParam().rows);
      EXPECT_EQ(result->format, GetParam().expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, RowScanTest,
                         testing::ValuesIn<ScanCase>({
                             {"Messages", "{\"messages\": []}\n{\"messages\": []}\n", 2, "messages"},
                             {"LastLineWithoutBreak", "{\"text\": \"a\"}\n{\"text\": \"b\"}", 2, "text"},
                             {"BlankLinesAndCrLf", "\r\n{\"prompt\": \"a\", \"completion\": \"b\"}\r\n \r\n",
                              1, "prompt_completion"},
                             {"ByteOrderMark", "\xEF\xBB\xBF{\"text\": \"a\"}\n", 1, "text"},
                             {"BrokenFirstRow", "{broken\n{\"text\": \"a\"}\n", 2, "text"},
                             {"ColumnsToMap", "{\"a\": 1}\n{\"a\": 2}\n", 2, "jsonl"},
                             {"ShareGpt", "{\"conversations\": []}\n", 1, "sharegpt"},
                             {"Csv", "\nprompt,completion\na,b\n", 0, "csv/prompt_completion"},
                             {"JsonArray", "[{\"instruction\": \"a\", \"output\": \"b\"}]", 0, "json/alpaca"},
                             {"Parquet", "PAR1and so on", 0, "parquet"},
                             {"Empty", "", -1, "has no rows"},
                             {"OnlyBlank", "\n \r\n\n", -1, "has no rows"},
                             {"Prose", "Once upon a time\n", -1, "the file is not recognised"},
                             {"Broken", "{broken\n", -1, "line 1"},
                             {"Zip", "PK\x03\x04", -1, "a zip archive"},
                             {"Utf16", std::string("\xFF\xFE{\0\n\0", 6), -1,
                              "is UTF-16 text; save it as UTF-8"},
                         }),
                         [](const auto& info) { return info.param.name; });

TEST(RowScanTest, AFirstRowOfTenMegabytesIsNamed) {
  RowScan scan;
  scan.Update("{\"text\": \"");
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 10; ++i) scan.Update(piece);
  EXPECT_THAT(std::string(scan.Finish().status().message()),
              HasSubstr("line 1: a row is at most 8.0 MiB long"));
}

TEST(SpoolFileTest, HashesAndDisappears) {
  TempFolder folder;
  std::string path;
  {
    auto file = SpoolFile::Create(folder.path(), "x.jsonl", 10);
    ASSERT_TRUE(file.ok()) << file.status();
    path = (*file)->path();
    ASSERT_TRUE((*file)->Append("hello").ok());
    EXPECT_EQ(*ReadFile(path), "hello");
    const absl::Status status = (*file)->Append("123456");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("x.jsonl: is larger than the limit of 10 B"));
  }
  EXPECT_TRUE(absl::IsNotFound(ReadFile(path).status()));
}

TEST(SlotsTest, AreGivenBack) {
  Slots slots("uploads", 2);
  auto first = slots.Take();
  auto second = slots.Take();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(slots.Take().status().code(), absl::StatusCode::kResourceExhausted);
  first->reset();
  EXPECT_TRUE(slots.Take().ok());
}

TEST(SlotsTest, MayBeGivenBackWhenTheServiceIsGone) {
  auto slots = std::make_unique<Slots>("uploads", 1);
  std::shared_ptr<void> slot = *slots->Take();
  EXPECT_FALSE(slots->Take().ok());
  const std::weak_ptr<void> watched = slot;
  slots.reset();
  EXPECT_FALSE(watched.expired());
  slot.reset();
  EXPECT_TRUE(watched.expired());
}

TEST(DeletionsTest, OverlapBothWays) {
  Deletions deletions;
  deletions.Begin("a/b/");
  EXPECT_TRUE(deletions.Overlap("a/"));
  EXPECT_TRUE(deletions.Overlap("a/b/c"));
  EXPECT_FALSE(deletions.Overlap("a/c/"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(deletions.AwaitNone("a/b/", absl::Now())));
  std::jthread end([&] { deletions.End("a/b/"); });
  EXPECT_TRUE(deletions.AwaitNone("a/b/", absl::Now() + absl::Seconds(30)).ok());
}

TEST(WorkerPoolTest, RefusesMoreThanItsQueueHolds) {
  WorkerPool pool({.num_threads = 1, .max_queued = 2});
  std::promise<void> busy, release;
  ASSERT_TRUE(pool.Post([&] {
                    busy.set_value();
                    release.get_future().wait();
                  })
                  .ok());
  busy.get_future().wait();
  EXPECT_TRUE(pool.Post([] {}).ok());
  EXPECT_TRUE(pool.Post([] {}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(pool.Post([] {})));
  EXPECT_FALSE(pool.StopBy(absl::Now()));
  EXPECT_TRUE(absl::IsUnavailable(pool.Post([] {})));
  release.set_value();
  EXPECT_TRUE(pool.StopBy(absl::Now() + absl::Seconds(30)));
}

TEST(CheckLoopbackTest, RefusesOtherAddressesForWantOfTls) {
  for (const char* address : {"127.0.0.1:0", "localhost:7000", "[::1]:65535"}) {
    EXPECT_TRUE(CheckLoopback("--listen", address).ok()) << address;
  }
  for (const char* address : {"0.0.0.0:80", "192.168.1.2:80", "example.org:80", "[::]:80", "127.0.0.2:80"}) {
    EXPECT_THAT(std::string(CheckLoopback("--listen", address).message()),
                HasSubstr("TLS is not configured"));
  }
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1", ":"}) {
    EXPECT_THAT(std::string(CheckLoopback("--listen", address).message()), HasSubstr("is not ADDRESS:PORT"));
  }
}

TEST(ImportRootOfTest, FollowsLinksBeforeItDecides) {
  TempFolder folder;
  const std::string root = std::filesystem::canonical(folder.path()).string();
  folder.Write("allowed/model/config.json", "{}");
  folder.Write("other/model/config.json", "{}");
  std::filesystem::create_symlink(root + "/other/model", root + "/allowed/link");
  const std::vector<std::string> roots = {root + "/none", root + "/allowed"};
  std::filesystem::create_directory(root + "/none");

  EXPECT_EQ(*ImportRootOf(root + "/allowed/model", roots), root + "/allowed");
  for (const std::string& path :
       {root + "/other/model", root + "/allowed/link", root + "/allowed/../other/model"}) {
    const absl::Status status = ImportRootOf(path, roots).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << path;
    EXPECT_THAT(std::string(status.message()), HasSubstr("does not lie below"));
  }
  EXPECT_THAT(std::string(ImportRootOf(root + "/other/model", {}).status().message()),
              HasSubstr("--import-root"));
  EXPECT_EQ(ImportRootOf("model", roots).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ImportRootOf(root + "/allowed/gone", roots).status().code(), absl::StatusCode::kNotFound);
}

TEST(DataDirTest, MakesWhatItNeedsAndKeepsTheToken) {
  TempFolder folder;
  const std::string path = folder.File("new/data");
  std::string token;
  {
    const auto dir = DataDir::Open(path);
    ASSERT_TRUE(dir.ok()) << dir.status();
    token = dir->token();
    EXPECT_GE(token.size(), 32u);
    struct stat info;
    ASSERT_EQ(::stat(dir->token_path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(*ReadFile(path + "/VERSION"), "1\n");
    folder.Write("new/data/spool/left-behind", "x");
  }
  const auto again = DataDir::Open(path);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->token(), token);
  EXPECT_TRUE(std::filesystem::is_empty(again->spool()));
}

TEST(DataDirTest, EndpointsComeWholeAndGo) {
  TempFolder folder;
  folder.Write("endpoint", "127.0.0.1:1");  // of a process that was killed
  {
    auto dir = DataDir::Open(folder.path());
    ASSERT_TRUE(dir.ok()) << dir.status();
    EXPECT_FALSE(std::filesystem::exists(folder.File("endpoint")));
    ASSERT_TRUE(dir->WriteEndpoints("127.0.0.1:2", "127.0.0.1:3").ok());
    EXPECT_EQ(*ReadFile(folder.File("endpoint")), "127.0.0.1:2");
    EXPECT_EQ(*ReadFile(folder.File("metrics_endpoint")), "127.0.0.1:3");
  }
  EXPECT_FALSE(std::filesystem::exists(folder.File("endpoint")));
  EXPECT_FALSE(std::filesystem::exists(folder.File("metrics_endpoint")));
}

TEST(DataDirTest, ASecondOwnerIsToldWhoHoldsIt) {
  TempFolder folder;
  const auto first = DataDir::Open(folder.path());
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = DataDir::Open(folder.path()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr(absl::StrCat("process ", ::getpid())));
  EXPECT_THAT(std::string(second.message()), HasSubstr("--data-dir"));
}

TEST(DataDirTest, AnotherVersionIsRefused) {
  TempFolder folder;
  folder.Write("VERSION", "2\n");
  const absl::Status status = DataDir::Open(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has format version 2, and this vernierd reads 1"));
}

TEST(DataDirTest, ATokenThatOthersCanReadIsRefused) {
  TempFolder folder;
  folder.Write("token", "abc");
  ASSERT_EQ(::chmod(folder.File("token").c_str(), 0644), 0);
  EXPECT_THAT(std::string(DataDir::Open(folder.path()).status().message()), HasSubstr("chmod 600"));
}

TEST(MetricsTest, EveryLabelIsThereFromTheStart) {
  Metrics metrics;
  metrics.GangPlaced("fifo", absl::Seconds(2));
  bool queued = false, placed = false;
  for (const prometheus::MetricFamily& family : metrics.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) {
        queued |= family.name == "vernier_server_jobs" && label.name == "state" && label.value == "queued";
        placed |= family.name == "vernier_scheduler_gangs_placed_total" && label.value == "fifo" &&
                  metric.counter.value == 1;
      }
    }
  }
  EXPECT_TRUE(queued);
  EXPECT_TRUE(placed);
}

}  // namespace
}  // namespace vernier::server
