// What is particular to objects as files.
#include "storage/folder_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/unwritable.h"
#include "storage/safetensors.h"
#include "tests/testing/temp_folder.h"

namespace vernier::storage {
namespace {

using testing::HasSubstr;

std::unique_ptr<FolderStore> Open(const TempFolder& folder) {
  auto store = FolderStore::Open({.root = folder.path()});
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

void Age(const std::string& path, absl::Duration age) {
  const time_t when = absl::ToTimeT(absl::Now() - age);
  const utimbuf times{when, when};
  ASSERT_EQ(::utime(path.c_str(), &times), 0);
}

TEST(FolderStoreTest, DebrisOfACrashIsInvisibleAndRemovedWhenStale) {
  TempFolder folder;
  const std::string stale = folder.Write(".tmp/crashed-yesterday", "half an obj");
  const std::string fresh = folder.Write(".tmp/being-written", "half an obj");
  Age(stale, absl::Hours(25));
  const auto store = Open(folder);
  EXPECT_FALSE(std::filesystem::exists(stale));
  EXPECT_TRUE(std::filesystem::exists(fresh)) << "another process may be writing it";
  EXPECT_TRUE(store->List("", "", 10)->empty());
}

TEST(FolderStoreTest, EmptyFoldersOfACrashDoNotBlockAnObject) {
  TempFolder folder;
  const auto store = Open(folder);
  std::filesystem::create_directories(folder.File("a/b/c"));
  EXPECT_TRUE(store->List("", "", 10)->empty());
  EXPECT_TRUE(store->Put("a/b/c", "x").ok());
  EXPECT_EQ(*store->Get("a/b/c"), "x");
}

TEST(FolderStoreTest, DeletingTheLastObjectRemovesItsFolders) {
  TempFolder folder;
  const auto store = Open(folder);
  ASSERT_TRUE(store->Put("a/b/1", "x").ok());
  ASSERT_TRUE(store->Put("a/2", "x").ok());
  ASSERT_TRUE(store->Delete("a/b/1").ok());
  EXPECT_FALSE(std::filesystem::exists(folder.File("a/b")));
  EXPECT_TRUE(std::filesystem::exists(folder.File("a/2")));
  ASSERT_TRUE(store->Delete("a/2").ok());
  EXPECT_FALSE(std::filesystem::exists(folder.File("a")));
  EXPECT_TRUE(std::filesystem::exists(folder.path()));
}

TEST(FolderStoreTest, NoTemporaryFileIsLeftByAWriterThatGaveUp) {
  TempFolder folder;
  const auto store = Open(folder);
  {
    const auto writer = store->OpenWriter("k", WriteMode::kIfAbsent);
    ASSERT_TRUE((*writer)->Append("x").ok());
  }
  ASSERT_TRUE(store->PutIfAbsent("k", "y").ok());
  ASSERT_TRUE(store->Put("k", "z").ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder.File(".tmp")));
}

TEST(FolderStoreTest, LinksAreNotFollowed) {
  TempFolder folder;
  TempFolder outside;
  const std::string secret = outside.Write("secret", "s");
  const auto store = Open(folder);
  std::filesystem::create_symlink(secret, folder.File("link"));
  EXPECT_EQ(store->Head("link").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(store->Get("link").ok());
  EXPECT_FALSE(store->GetRange("link", 0, 1).ok());
  EXPECT_FALSE(store->LocalPath("link").has_value());
  EXPECT_TRUE(store->List("", "", 10)->empty());
}

TEST(FolderStoreTest, ForeignFilesAreNotListed) {
  TempFolder folder;
  folder.Write("lost+found/x y", "1");
  folder.Write(".nfs0001", "1");
  folder.Write("ok", "1");
  const auto page = Open(folder)->List("", "", 10);
  ASSERT_EQ(page->size(), 1);
  EXPECT_EQ(page->front().key, "ok");
}

TEST(FolderStoreTest, TwoStoresOnOneFolderSeeEachOther) {
  TempFolder folder;
  const auto first = Open(folder);
  const auto second = Open(folder);
  ASSERT_TRUE(first->PutIfAbsent("k", "first").ok());
  EXPECT_EQ(second->PutIfAbsent("k", "second").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*second->Get("k"), "first");
}

TEST(FolderStoreTest, AReaderKeepsItsBytesWhileTheObjectIsReplaced) {
  TempFolder folder;
  const auto store = Open(folder);
  ASSERT_TRUE(store->Put("k", "old").ok());
  std::ifstream reader(*store->LocalPath("k"));
  ASSERT_TRUE(store->Put("k", "new").ok());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(reader), {}), "old");
}

TEST(FolderStoreTest, ARootThatIsAFileIsRefusedByName) {
  TempFolder folder;
  const std::string file = folder.Write("file", "x");
  const absl::Status status = FolderStore::Open({.root = file}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(file));
  EXPECT_EQ(FolderStore::Open({.root = ""}).status().code(), absl::StatusCode::kInvalidArgument);
}

// Gives this process mounts of its own; without being root that needs a namespace of users too.
bool MayMount() {
  const auto write = [](const char* path, const std::string& text) {
    return bool(std::ofstream(path) << text);
  };
  if (::unshare(CLONE_NEWNS) != 0) {
    const std::string user = std::to_string(::getuid()), group = std::to_string(::getgid());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    if (!write("/proc/self/setgroups", "deny") || !write("/proc/self/uid_map", user + " " + user + " 1") ||
        !write("/proc/self/gid_map", group + " " + group + " 1")) {
      return false;
    }
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

// Runs `body` in a child process for which `folder` is a file system of 256 KiB. Returns its result; 77: this
// machine does not let us mount.
int OnSmallDisk(const std::string& folder, int (*body)(const std::string& folder)) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool mounted = MayMount() && ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=256k") == 0;
    ::_exit(mounted ? body(folder) : 77);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int FillDisk(const std::string& folder) {
  const auto store = FolderStore::Open({.root = folder + "/store"});
  if (!store.ok() || !(*store)->Put("small", "kept").ok()) return 1;
  const absl::Status full = (*store)->Put("a/large", std::string(1 << 20, 'x'));
  std::cerr << full << "\n";
  if (!absl::IsResourceExhausted(full)) return 2;
  if (!absl::StartsWith(full.message(), "a/large: ") || !absl::StrContains(full.message(), "free space"))
    return 3;
  if ((*store)->Head("a/large").ok() || *(*store)->Get("small") != "kept") return 4;
  if (!std::filesystem::is_empty(folder + "/store/.tmp")) return 5;
  // What the failed write took is free again.
  if (!(*store)->Put("a/medium", std::string(64 << 10, 'x')).ok()) return 6;
  // To the last byte: every layer above passes on that it is the disk.
  std::ofstream(folder + "/ballast") << std::string(1 << 20, 'x');
  const std::string bytes(64, '\0');
  TensorView tensor;
  tensor.name = "w";
  tensor.shape = {16};
  tensor.bytes = bytes;
  const absl::Status written =
      WriteSafetensors(**store, "t.safetensors", WriteMode::kIfAbsent, {&tensor, 1}, {}).status();
  std::cerr << written << "\n";
  return IsUnwritable(full) && IsUnwritable(written) ? 0 : 7;
}

TEST(FolderStoreTest, AFullDiskIsResourceExhaustedAndLeavesNothing) {
  TempFolder folder;
  const int outcome = OnSmallDisk(folder.path(), FillDisk);
  if (outcome == 77) GTEST_SKIP() << "this machine does not let tests mount a small file system";
  EXPECT_EQ(outcome, 0);
}

}  // namespace
}  // namespace vernier::storage
