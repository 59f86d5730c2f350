// `vernier up` where it cannot: one sentence on the terminal, an exit code, and nothing that runs on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/client.h"
#include "tests/testing/process.h"
#include "tests/testing/service.h"
#include "tests/testing/temp_folder.h"

namespace vernier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class UpTest : public testing::Test {
 protected:
  // Runs `vernier up` until it ends; what it said last.
  std::string Refusal(const std::string& data_dir, std::vector<std::string> flags = {}) {
    std::vector<std::string> arguments = {std::string(VERNIER_BIN_DIR) + "/vernier", "--data-dir", data_dir,
                                          "up"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const std::string log = folder_.File("refusal.log");
    std::filesystem::remove(log);
    const auto process = TestProcess::Start(std::move(arguments), log);
    EXPECT_TRUE(process.ok()) << process.status();
    const auto code = (*process)->AwaitExit();
    EXPECT_TRUE(code.ok()) << code.status();
    code_ = code.value_or(0);
    EXPECT_NE(code_, 0) << (*process)->Output();
    const std::vector<std::string> lines = absl::StrSplit((*process)->Output(), '\n', absl::SkipEmpty());
    std::cout << (lines.empty() ? "(silence)" : lines.back()) << std::endl;
    return lines.empty() ? "" : lines.back();
  }
  std::unique_ptr<Service> Running() {
    auto service = Service::Start({.data_dir = folder_.File("data")});
    EXPECT_TRUE(service.ok()) << service.status();
    return service.ok() ? *std::move(service) : nullptr;
  }
  static void ExpectWorks(Service& service) {
    EXPECT_TRUE(service.client().Call(&v1::JobService::Stub::ListJobs, v1::ListJobsRequest()).ok());
  }

  TempFolder folder_;
  int code_ = 0;  // of the last refusal
};

TEST_F(UpTest, ASecondOneOnADataDirNamesTheFirst) {
  const auto service = Running();
  ASSERT_NE(service, nullptr);
  const auto first = service->FindProcess("vernier");
  ASSERT_TRUE(first.ok()) << first.status();
  for (const std::vector<std::string>& flags : {std::vector<std::string>(), {"--detach"}}) {
    EXPECT_THAT(Refusal(folder_.File("data"), flags),
                AllOf(HasSubstr(absl::StrCat("another `vernier up` (process ", *first, ")")),
                      HasSubstr("stop it with `vernier down`, or choose another --data-dir")));
  }
  ExpectWorks(*service);
  EXPECT_TRUE(service->Stop().ok());
}

TEST_F(UpTest, ATakenPortIsNamed) {
  const auto service = Running();
  ASSERT_NE(service, nullptr);
  const auto endpoint = client::FindEndpoint(folder_.File("data"));
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const TempFolder other;
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--listen", endpoint->address},
                                                {"--listen", endpoint->address, "--detach"},
                                                {"--metrics-listen", endpoint->address}}) {
    EXPECT_THAT(Refusal(other.path(), flags),
                AllOf(HasSubstr(absl::StrCat(flags[0], " ", endpoint->address, ": cannot listen there"))));
  }
  ExpectWorks(*service);
  EXPECT_TRUE(service->Stop().ok());
}

// docs/cli.md: 2 is a command line that is wrong, wherever the flag ends up.
TEST_F(UpTest, AWrongFlagIsAUsageErrorWhicheverProcessFindsIt) {
  for (const char* const flag : {"--listen=0.0.0.0:0", "--listen=nowhere", "--server-flag=--lease-ttl=soon",
                                 "--server-flag=--nonsense", "--threads=-1", "--metrics-listen=x"}) {
    for (const std::vector<std::string>& flags : {std::vector<std::string>{flag}, {flag, "--detach"}}) {
      EXPECT_NE(Refusal(folder_.File("data"), flags), "");
      EXPECT_EQ(code_, 2) << flag;
    }
  }
  EXPECT_THAT(Refusal(folder_.File("data"), {"--import-root", folder_.File("nothing")}), HasSubstr("nothing"));
  EXPECT_EQ(code_, 3);
}

TEST_F(UpTest, AsJsonItSaysHowToReachIt) {
  const auto up = TestProcess::Start({std::string(VERNIER_BIN_DIR) + "/vernier", "--output", "json", "--data-dir",
                                      folder_.File("data"), "up", "--detach"},
                                     folder_.File("up.log"));
  ASSERT_TRUE(up.ok()) << up.status();
  ASSERT_EQ((*up)->AwaitExit().value_or(-1), 0) << (*up)->Output();
  const auto said = nlohmann::json::parse((*up)->Output(), nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(said.is_object()) << (*up)->Output();
  const auto endpoint = client::FindEndpoint(folder_.File("data"));
  EXPECT_EQ(said.value("endpoint", ""), endpoint->address);
  EXPECT_EQ(said.value("token_file", ""), folder_.File("data/token"));
  EXPECT_EQ(said.value("data_dir", ""), folder_.File("data"));
  const pid_t pid = said.value("pid", 0);
  ASSERT_EQ(::kill(pid, SIGTERM), 0) << "that process stops it";
  EXPECT_TRUE(AwaitCondition("it to stop", [pid] { return ::kill(pid, 0) != 0; }).ok());
}

TEST_F(UpTest, ADataDirOfAnotherVersionIsLeftAsItIs) {
  folder_.Write("data/VERSION", "99\n");
  for (const std::vector<std::string>& flags : {std::vector<std::string>(), {"--detach"}}) {
    EXPECT_THAT(Refusal(folder_.File("data"), flags),
                AllOf(HasSubstr("format version 99"), HasSubstr("choose another --data-dir")));
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.File("data/vernierd.db")));
}

TEST_F(UpTest, AJobStoreThatIsNoneIsNamed) {
  folder_.Write("data/VERSION", "1\n");
  folder_.Write("data/vernierd.db", std::string(8192, 'x'));
  EXPECT_THAT(Refusal(folder_.File("data")), AllOf(HasSubstr("vernierd.db"), HasSubstr("--data-dir")));
}

}  // namespace
}  // namespace vernier
