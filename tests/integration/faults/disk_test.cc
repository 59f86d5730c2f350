// Disks that are full and folders that are read-only, under the whole service: one sentence, nothing lost,
// and the bytes of an undisturbed run once it is mended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/faults/small_disk.h"
#include "tests/testing/tiny_model.h"
#include "tests/testing/training_fixture.h"

namespace vernier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DiskTest : public TrainingTest {
 protected:
  // A service on a data dir of its own elsewhere, for the bytes to compare with.
  std::string BytesElsewhere() {
    Start();
    std::string want = Undisturbed();
    Stop();
    return want;
  }

  // False, with a failure, when `name` does not say `sentence` as the reason why it waits while `again` is
  // repeated. What it says is left in reason_.
  bool AwaitReason(const std::string& name, const std::string& sentence, const std::function<void()>& again) {
    const absl::Status said = AwaitCondition(sentence, [&] {
      again();
      const v1::Job job = Get(name);
      if (!job.state_reason().empty()) reason_ = job.state_reason();
      return absl::StrContains(reason_, sentence) || JobEnded(name);
    });
    std::cout << "reason: " << reason_ << std::endl;
    EXPECT_TRUE(said.ok()) << said << "\n" << service_->Logs();
    EXPECT_FALSE(JobEnded(name)) << Get(name).DebugString();
    return !HasFailure();
  }

  std::string reason_;
};

#define MOUNT_OR_SKIP(disk, name, size_bytes)                                                  \
  const auto disk = SmallDisk::Mount(folder_.File(name), size_bytes);                          \
  if (absl::IsPermissionDenied(disk.status())) GTEST_SKIP() << disk.status() << " (not root)"; \
  ASSERT_TRUE(disk.ok()) << disk.status()

TEST_F(DiskTest, AJobWhoseObjectStoreIsFullWaitsAndEndsWithTheSameBytes) {
  MOUNT_OR_SKIP(disk, "disk", 16 << 20);
  Start({.up_flags = {absl::StrCat("--server-flag=--store=file://", (*disk)->path(), "/objects")}});
  const std::string want = Undisturbed();
  v1::JobSpec spec = Job();
  spec.set_max_attempts(1);  // a full disk is no attempt
  const std::string name = Submit(spec);
  AwaitStep(name, 20);
  ASSERT_TRUE(AwaitReason(name, "no space left on the disk", [&] { EXPECT_TRUE((*disk)->Fill().ok()); }));
  EXPECT_THAT(reason_, AllOf(HasSubstr("checkpoints/"), HasSubstr("free space there"),
                             HasSubstr("from step "), HasSubstr("retries in ")));
  EXPECT_EQ(Get(name).state(), v1::JOB_STATE_QUEUED);
  ASSERT_TRUE((*disk)->Free().ok());
  EXPECT_EQ(DigestOf(name), want);
  EXPECT_EQ(Get(name).stages(0).attempts(), 2);
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

TEST_F(DiskTest, AFullDataDirStopsNothingForGoodNotEvenARestart) {
  MOUNT_OR_SKIP(disk, "disk", 16 << 20);
  const std::string want = BytesElsewhere();
  const std::string data_dir = (*disk)->path() + "/data";
  Start({.data_dir = data_dir, .log_dir = folder_.path()});
  v1::JobSpec spec = Job();
  spec.set_max_attempts(1);
  const std::string name = Submit(spec);
  AwaitStep(name, 20);
  ASSERT_TRUE(AwaitReason(name, "database or disk is full", [&] { EXPECT_TRUE((*disk)->Fill().ok()); }));
  EXPECT_THAT(reason_, AllOf(HasSubstr("nothing new can be recorded"), HasSubstr("vernierd.db"),
                             HasSubstr("free some space")));
  const absl::Status refused = service_->Submit(Job()).status();
  std::cout << "submit: " << refused << std::endl;
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("free some space"));

  const auto server = service_->FindProcess("vernierd");
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ(::kill(*server, SIGKILL), 0);
  const absl::Status tried = AwaitCondition("a vernierd that cannot start", [&] {
    EXPECT_TRUE((*disk)->Fill().ok());
    return absl::StrContains(service_->Output(), "name=vernierd how=\"exited with code 6\"");
  });
  EXPECT_TRUE(tried.ok()) << service_->Output();
  std::cout << service_->Output() << std::endl;
  ASSERT_TRUE((*disk)->Free().ok());
  EXPECT_EQ(DigestOf(name), want);
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

TEST_F(DiskTest, AnUploadThatDoesNotFitIsRefusedAndTakenLater) {
  MOUNT_OR_SKIP(disk, "disk", 16 << 20);
  Start({.data_dir = (*disk)->path() + "/data"});
  const std::string path = folder_.Write("more.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(20'000)));
  ASSERT_TRUE((*disk)->Fill().ok());
  const absl::Status refused = service_->client().UploadDataset(path, "more").status();
  std::cout << "upload: " << refused << std::endl;
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("more.jsonl: cannot be stored at "), HasSubstr("No space left"),
                    HasSubstr("free some space")));
  EXPECT_TRUE(std::filesystem::is_empty((*disk)->path() + "/data/spool"));
  ASSERT_TRUE((*disk)->Free().ok());
  const auto uploaded = service_->client().UploadDataset(path, "more");
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_EQ(uploaded->dataset().num_rows(), 20'000);
  EXPECT_NE(Undisturbed(), "");
  Stop();
}

// Every folder below `root`, `root` too.
void SetMode(const std::string& root, std::filesystem::perms mode) {
  std::filesystem::permissions(root, mode);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_directory()) std::filesystem::permissions(entry.path(), mode);
  }
}

TEST_F(DiskTest, AReadOnlyDataDirIsWaitedFor) {
  // Root writes anywhere, unless the programs that it starts may not get that right.
  if (::geteuid() == 0) {
    ASSERT_EQ(::prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE), 0);
  }
  constexpr auto kReadOnly = std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec;
  constexpr auto kWritable = std::filesystem::perms::owner_all;
  Start();
  const std::string want = Undisturbed();
  v1::JobSpec spec = Job();
  spec.set_max_attempts(1);
  const std::string name = Submit(spec);
  AwaitStep(name, 20);
  SetMode(folder_.File("data"), kReadOnly);
  const bool waits = AwaitReason(name, "Permission denied", [] {});
  EXPECT_THAT(reason_, AllOf(HasSubstr("checkpoints/"), HasSubstr("let the service's user write there"),
                             HasSubstr("from step "), HasSubstr("retries in ")));
  const std::string path = folder_.Write("more.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(20)));
  const absl::Status refused = service_->client().UploadDataset(path, "more").status();
  std::cout << "upload: " << refused << std::endl;
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("more.jsonl: cannot be stored at "));
  // The next attempt cannot even write its log: that is waited for too.
  const absl::Status tried = AwaitCondition("another attempt", [&] {
    return JobEnded(name) ||
           (Get(name).stages(0).attempts() == 2 && Get(name).state() == v1::JOB_STATE_QUEUED);
  });
  EXPECT_TRUE(tried.ok()) << tried << Get(name).DebugString();
  std::cout << "reason: " << Get(name).state_reason() << std::endl;
  SetMode(folder_.File("data"), kWritable);
  ASSERT_TRUE(waits);
  EXPECT_EQ(DigestOf(name), want);
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

}  // namespace
}  // namespace vernier
