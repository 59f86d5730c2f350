#include "client/cli/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "client/cli/follow.h"
#include "tests/testing/temp_folder.h"

namespace vernier::cli {
namespace {

// A client that knows where the service is but has no token for it.
TEST(FollowTest, WordsThatWereToldAreNotToldAgainUnlessThereAreNoOthers) {
  EXPECT_EQ(WithoutRepetition("job failed: no rows", "no rows"), "job failed");
  EXPECT_EQ(WithoutRepetition("data ready: 5 rows", "data ready: 5 rows"), "data ready: 5 rows");
  EXPECT_EQ(WithoutRepetition("job running", "no rows"), "job running");
  EXPECT_EQ(WithoutRepetition("job running", ""), "job running");
}

TEST(EndpointTest, AMissingTokenIsUnauthenticatedAndSaysWhatToSet) {
  const TempFolder folder;
  folder.Write("endpoint", "127.0.0.1:1\n");
  const absl::Status status = client::FindEndpoint(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("set $VERNIER_TOKEN"));
  folder.Write("token", "secret\n");
  EXPECT_EQ(client::FindEndpoint(folder.path())->token, "secret");
}

// What UsageError says after parsing `line` with some commands.
std::string UsageErrorOf(const std::string& line) {
  Cli cli;
  CLI::App app("", "vernier");
  app.require_subcommand(1);
  app.fallthrough();
  AddJobCommands(app, cli);
  AddDatasetCommands(app, cli);
  try {
    app.parse(line);
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error.what());
  }
  return "it parsed";
}

TEST(UsageErrorTest, NamesTheWordAndTheNearestCommand) {
  EXPECT_EQ(UsageErrorOf("jobz"),
            "\"jobz\" is no command; did you mean \"jobs\"?; `vernier --help` lists them");
  EXPECT_EQ(UsageErrorOf("datasets lst"),
            "\"lst\" is no command; did you mean \"list\"?; `vernier datasets --help` lists them");
}

TEST(UsageErrorTest, AnythingElseIsOneSentenceWithThePlaceThatExplainsIt) {
  EXPECT_EQ(UsageErrorOf(""), "A subcommand is required; `vernier --help` explains it");
  EXPECT_EQ(UsageErrorOf("datasets"), "A subcommand is required; `vernier datasets --help` explains it");
  EXPECT_EQ(UsageErrorOf("submit"), "file is required; `vernier submit --help` explains it");
  EXPECT_EQ(UsageErrorOf("jobs --limit 0"),
            "--limit: Value 0 not in range 1 to 1000000; `vernier jobs --help` explains it");
  EXPECT_EQ(UsageErrorOf("jobs --nonsense"),
            "The following argument was not expected: --nonsense; `vernier jobs --help` explains it");
  EXPECT_EQ(UsageErrorOf("jobs"), "it parsed");
}

TEST(ReportEndTest, TheExitCodeSaysHowTheJobEnded) {
  for (const auto& [state, code] :
       {std::pair(v1::JOB_STATE_SUCCEEDED, 0), std::pair(v1::JOB_STATE_FAILED, 10),
        std::pair(v1::JOB_STATE_CANCELLED, 11), std::pair(v1::JOB_STATE_PAUSED, 12)}) {
    Cli cli;
    v1::Job job;
    job.set_state(state);
    EXPECT_TRUE(ReportEnd(cli, job).ok());
    EXPECT_EQ(cli.exit_code, code) << StateName(state);
  }
}

TEST(HumanDurationTest, PicksItsUnits) {
  EXPECT_EQ(HumanDuration(-3), "0 s");
  EXPECT_EQ(HumanDuration(59.4), "59 s");
  EXPECT_EQ(HumanDuration(61), "1 min 1 s");
  EXPECT_EQ(HumanDuration(7384), "2 h 3 min");
}

TEST(StateNameTest, DropsThePrefix) {
  EXPECT_EQ(StateName(v1::JOB_STATE_SUCCEEDED), "SUCCEEDED");
  EXPECT_EQ(StateName(v1::STAGE_STATE_QUEUED), "QUEUED");
}

}  // namespace
}  // namespace vernier::cli
