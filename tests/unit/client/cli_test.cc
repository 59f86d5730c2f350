#include "client/cli/cli.h"

#include <gtest/gtest.h>

#include <string>

namespace vernier::cli {
namespace {

TEST(ExitCodeTest, EachKindOfErrorHasItsDocumentedCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("x")), 1);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("x")), 3);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("x")), 4);
  EXPECT_EQ(ExitCodeOf(absl::UnauthenticatedError("x")), 5);
  EXPECT_EQ(ExitCodeOf(absl::ResourceExhaustedError("x")), 6);
  EXPECT_EQ(ExitCodeOf(absl::FailedPreconditionError("x")), 7);
}

// What UnknownCommand says after parsing `line` with the commands that need a service.
std::string UnknownOf(const std::string& line) {
  Cli cli;
  CLI::App app("", "vernier");
  app.require_subcommand(1);
  app.fallthrough();
  AddJobCommands(app, cli);
  AddDatasetCommands(app, cli);
  try {
    app.parse(line);
  } catch (const CLI::ParseError&) {
    return UnknownCommand(app);
  }
  return "it parsed";
}

TEST(UnknownCommandTest, NamesTheWordAndTheNearestCommand) {
  EXPECT_EQ(UnknownOf("jobz"), "\"jobz\" is no command; did you mean \"jobs\"?; `vernier --help` lists them");
  EXPECT_EQ(UnknownOf("datasets lst"),
            "\"lst\" is no command; did you mean \"list\"?; `vernier datasets --help` lists them");
  EXPECT_EQ(UnknownOf(""), "");
  EXPECT_EQ(UnknownOf("datasets"), "");
  EXPECT_EQ(UnknownOf("submit"), "") << "what is missing is its file";
  EXPECT_EQ(UnknownOf("jobs --nonsense"), "");
  EXPECT_EQ(UnknownOf("jobs"), "it parsed");
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
