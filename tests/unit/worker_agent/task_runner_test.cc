#include "worker/agent/task_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/testing/temp_folder.h"

namespace vernier::agent {
namespace {

using testing::HasSubstr;

class TaskRunnerTest : public testing::Test {
 protected:
  // A trainer that is a shell script.
  std::unique_ptr<TaskRunner> Runner(const std::string& script) {
    std::ofstream(folder_.File("trainer")) << "#!/bin/sh\n" << script << "\n";
    EXPECT_EQ(::chmod(folder_.File("trainer").c_str(), 0700), 0);
    auto runner = TaskRunner::Create({.trainer_path = folder_.File("trainer"),
                                      .run_folder = folder_.File("run"),
                                      .log_folder = folder_.File("logs"),
                                      .temp_folder = folder_.File("tmp")},
                                     {.event = [](const std::string&, v1::TaskEvent) {},
                                      .exit =
                                          [this](const std::string&, const TaskExit& exit) {
                                            exit_ = exit.message;
                                            ended_.set_value();
                                          }});
    EXPECT_TRUE(runner.ok()) << runner.status();
    return *std::move(runner);
  }
  static v1::Task Export() {
    v1::Task task;
    task.set_job("jobs/j1");
    task.set_stage("out");
    task.set_threads(1);
    task.mutable_export_();
    return task;
  }
  // What the script says in its last line, of a task that has ended.
  std::string Said() const {
    const auto log = ReadFile(folder_.File("logs/j1-out-0.log"), 1 << 20);
    return log.ok() ? *log : std::string(log.status().message());
  }
  bool TempIsEmpty() const { return std::filesystem::is_empty(folder_.File("tmp")); }

  TempFolder folder_;
  std::promise<void> ended_;
  std::string exit_;
};

TEST_F(TaskRunnerTest, ATrainerHasATemporaryFolderOfItsOwnThatGoesWithIt) {
  const auto runner = Runner("echo bytes > \"$TMPDIR/left\" && echo wrote \"$TMPDIR\"; exit 3");
  runner->Start("lease-1", Export());
  ended_.get_future().wait();
  EXPECT_THAT(Said(), HasSubstr(absl::StrCat("wrote ", folder_.File("tmp"), "/trainer-")));
  EXPECT_TRUE(TempIsEmpty());
  runner->Reap("lease-1");
}

TEST_F(TaskRunnerTest, OneThatWasKilledLeavesNothingAndIsToldWhatHelps) {
  const auto runner =
      Runner("mkdir \"$TMPDIR/vernier-x\" && echo bytes > \"$TMPDIR/vernier-x/left\"; kill -9 $$");
  runner->Start("lease-1", Export());
  ended_.get_future().wait();
  EXPECT_THAT(exit_, HasSubstr("was killed by signal 9"));
  EXPECT_THAT(exit_, HasSubstr("use a machine with more memory")) << "an export has no micro-batches";
  EXPECT_TRUE(TempIsEmpty());
  runner->Reap("lease-1");
}

TEST_F(TaskRunnerTest, WhatAKilledAgentLeftIsRemovedAtTheStart) {
  std::filesystem::create_directories(folder_.File("tmp/trainer-abcdef/vernier-x"));
  std::ofstream(folder_.File("tmp/trainer-abcdef/vernier-x/model.safetensors")) << "bytes";
  const auto runner = Runner("exit 0");
  EXPECT_TRUE(TempIsEmpty());
}

}  // namespace
}  // namespace vernier::agent
