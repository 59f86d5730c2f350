// What ./quickstart does before it installs or builds anything.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/testing/temp_folder.h"

namespace vernier {
namespace {

// The script in a folder where everything that it calls only says that it was called.
class QuickstartTest : public testing::Test {
 protected:
  QuickstartTest() {
    namespace fs = std::filesystem;
    fs::copy_file(std::string(VERNIER_SOURCE_DIR) + "/quickstart", folder_.File("quickstart"));
    for (const char* const tool : {"tools/setup", "tools/build"}) {
      fs::permissions(folder_.Write(tool, "#!/bin/sh\necho \"$0 $*\"\n"), fs::perms::owner_all);
    }
    folder_.Write("tools/quickstart.py", "import sys\nprint('runs', sys.argv[1:])\n");
  }
  int Run(const std::string& arguments) {
    const int status = std::system(
        absl::StrCat("'", folder_.File("quickstart"), "' ", arguments, " > '", folder_.File("out"), "' 2>&1")
            .c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string Output() const { return ReadFile(folder_.File("out")).value_or(""); }

  TempFolder folder_;
};

TEST_F(QuickstartTest, AWrongFlagIsRefusedInOneLineBeforeAnythingIsInstalledOrBuilt) {
  for (const char* const wrong :
       {"--rows 5", "--rows", "--rows x", "--rows=1e3", "--steps 0", "--steps=-1", "--nope", "12"}) {
    EXPECT_EQ(Run(wrong), 2) << wrong;
    const std::string said = Output();
    EXPECT_EQ(said.find("quickstart: "), 0u) << said;
    EXPECT_EQ(said.find('\n'), said.size() - 1) << said;
    EXPECT_NE(said.find("--help"), std::string::npos) << said;
  }
}

TEST_F(QuickstartTest, FlagsReachWhatRunsAfterTheBuild) {
  EXPECT_EQ(Run("--rows=200 --steps 3 --keep"), 0);
  EXPECT_NE(Output().find("runs ['--rows', '200', '--steps', '3', '--keep']"), std::string::npos) << Output();
  EXPECT_EQ(Run(""), 0);
  EXPECT_NE(Output().find("runs []"), std::string::npos) << Output();
}

TEST_F(QuickstartTest, HelpIsItsCommentAndRunsNothing) {
  EXPECT_EQ(Run("--help"), 0);
  EXPECT_NE(Output().find("./quickstart --rows N"), std::string::npos) << Output();
  EXPECT_EQ(Output().find("tools/"), std::string::npos) << Output();
}

}  // namespace
}  // namespace vernier
