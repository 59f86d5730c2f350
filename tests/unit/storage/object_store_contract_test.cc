// What every object store promises (storage/object_store.h), whatever it is made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "storage/folder_store.h"
#include "storage/memory_store.h"
#include "storage/object_store.h"
#include "storage/registry.h"
#include "tests/testing/temp_folder.h"

namespace vernier::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Backend {
  std::string name;
  std::unique_ptr<ObjectStore> (*open)(const std::string& folder);
};

class ObjectStoreContractTest : public testing::TestWithParam<Backend> {
 protected:
  TempFolder folder_;
  std::unique_ptr<ObjectStore> owned_ = GetParam().open(folder_.path());
  ObjectStore& store_ = *owned_;

  std::vector<std::string> Keys(absl::string_view prefix, absl::string_view after = "", int limit = 100) {
    const auto page = store_.List(prefix, after, limit);
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<std::string> keys;
    for (const ObjectInfo& info : *page) keys.push_back(info.key);
    return keys;
  }
};

TEST_P(ObjectStoreContractTest, WhatWasPutIsRead) {
  const std::string bytes("a\0b\n\xff", 5);
  ASSERT_TRUE(store_.Put("a/b/c.bin", bytes).ok());
  EXPECT_EQ(*store_.Get("a/b/c.bin"), bytes);
  const auto info = store_.Head("a/b/c.bin");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->key, "a/b/c.bin");
  EXPECT_EQ(info->size_bytes, 5);
  EXPECT_LT(absl::AbsDuration(absl::Now() - info->modify_time), absl::Minutes(1));
}

TEST_P(ObjectStoreContractTest, EmptyObjectsExist) {
  ASSERT_TRUE(store_.Put("empty", "").ok());
  EXPECT_EQ(*store_.Get("empty"), "");
  EXPECT_EQ(store_.Head("empty")->size_bytes, 0);
}

TEST_P(ObjectStoreContractTest, PutReplaces) {
  ASSERT_TRUE(store_.Put("k", "first, longer").ok());
  ASSERT_TRUE(store_.Put("k", "second").ok());
  EXPECT_EQ(*store_.Get("k"), "second");
}

TEST_P(ObjectStoreContractTest, RangesEndWithTheObject) {
  ASSERT_TRUE(store_.Put("k", "0123456789").ok());
  EXPECT_EQ(*store_.GetRange("k", 2, 3), "234");
  EXPECT_EQ(*store_.GetRange("k", 8, 100), "89");
  EXPECT_EQ(*store_.GetRange("k", 10, 1), "");
  EXPECT_EQ(*store_.GetRange("k", 3, 0), "");
  EXPECT_EQ(store_.GetRange("k", 11, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.GetRange("k", -1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.GetRange("k", 0, -1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(ObjectStoreContractTest, GetRefusesObjectsAboveTheLimit) {
  ASSERT_TRUE(store_.Put("k", "0123456789").ok());
  EXPECT_EQ(*store_.Get("k", 10), "0123456789");
  const absl::Status status = store_.Get("k", 9).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith("k: has 10 bytes"));
}

TEST_P(ObjectStoreContractTest, AbsentObjectsAreNotFoundAndNamed) {
  ASSERT_TRUE(store_.Put("a/b", "x").ok());
  for (const absl::string_view key : {"nothing", "a", "a/b/c", "a/c"}) {
    EXPECT_EQ(store_.Head(key).status().code(), absl::StatusCode::kNotFound) << key;
    EXPECT_EQ(store_.Get(key).status().code(), absl::StatusCode::kNotFound) << key;
    EXPECT_EQ(store_.GetRange(key, 0, 1).status().code(), absl::StatusCode::kNotFound) << key;
    EXPECT_THAT(std::string(store_.Get(key).status().message()), StartsWith(absl::StrCat(key, ": ")));
    EXPECT_FALSE(store_.LocalPath(key).has_value()) << key;
  }
}

TEST_P(ObjectStoreContractTest, PutIfAbsentKeepsTheFirst) {
  ASSERT_TRUE(store_.PutIfAbsent("k", "first").ok());
  const absl::Status second = store_.PutIfAbsent("k", "second");
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.message()), StartsWith("k: "));
  EXPECT_EQ(*store_.Get("k"), "first");
}

TEST_P(ObjectStoreContractTest, PutIfAbsentWithEqualBytesIsARetry) {
  ASSERT_TRUE(store_.PutIfAbsent("k", "same").ok());
  EXPECT_TRUE(store_.PutIfAbsent("k", "same").ok());
}

TEST_P(ObjectStoreContractTest, OfRacingWritersExactlyOneWins) {
  constexpr int kWriters = 8;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    const std::string key = absl::StrCat("race/", round, "/manifest.json");
    std::atomic<int> waiting = 0, num_ok = 0, num_exists = 0;
    std::vector<absl::Status> statuses(kWriters);
    {
      std::vector<std::jthread> writers;
      for (int i = 0; i < kWriters; ++i) {
        writers.emplace_back([&, i] {
          ++waiting;
          while (waiting.load() < kWriters) std::this_thread::yield();
          statuses[i] = store_.PutIfAbsent(key, absl::StrCat("writer ", i));
          num_ok += statuses[i].ok() ? 1 : 0;
          num_exists += absl::IsAlreadyExists(statuses[i]) ? 1 : 0;
        });
      }
    }
    EXPECT_EQ(num_ok, 1);
    EXPECT_EQ(num_exists, kWriters - 1);
    for (int i = 0; i < kWriters; ++i) {
      if (statuses[i].ok()) {
        EXPECT_EQ(*store_.Get(key), absl::StrCat("writer ", i));
      }
    }
  }
}

TEST_P(ObjectStoreContractTest, WritersAndDeletersOfOneFolderDoNotDisturbEachOther) {
  // Deleting the last object of a folder may remove the folder that another writer is about to use.
  constexpr int kRounds = 60;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string key = absl::StrCat("shared/deep/", t);
        const absl::Status put = store_.Put(key, absl::StrCat(i));
        ASSERT_TRUE(put.ok()) << put;
        ASSERT_EQ(*store_.Get(key), absl::StrCat(i));
        ASSERT_TRUE(store_.Delete(key).ok());
      }
    });
  }
  threads.clear();
  EXPECT_THAT(Keys(""), IsEmpty());
}

TEST_P(ObjectStoreContractTest, NothingIsVisibleBeforeFinish) {
  const auto writer = store_.OpenWriter("k", WriteMode::kReplace);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Append("abc").ok());
  EXPECT_EQ(store_.Head("k").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Keys(""), IsEmpty());
  ASSERT_TRUE((*writer)->Append("def").ok());
  const auto digest = (*writer)->Finish();
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, (ByteDigest{6, Sha256Hex("abcdef")}));
  EXPECT_EQ(*store_.Get("k"), "abcdef");
}

TEST_P(ObjectStoreContractTest, AnUnfinishedObjectNeverExisted) {
  ASSERT_TRUE(store_.Put("kept", "old").ok());
  {
    const auto writer = store_.OpenWriter("kept", WriteMode::kReplace);
    ASSERT_TRUE((*writer)->Append("new").ok());
  }
  EXPECT_EQ(*store_.Get("kept"), "old");
  EXPECT_THAT(Keys(""), ElementsAre("kept"));
}

TEST_P(ObjectStoreContractTest, DeleteIsIdempotent) {
  ASSERT_TRUE(store_.Put("a/b", "x").ok());
  EXPECT_TRUE(store_.Delete("a/b").ok());
  EXPECT_TRUE(store_.Delete("a/b").ok());
  EXPECT_TRUE(store_.Delete("a").ok());
  EXPECT_THAT(Keys(""), IsEmpty());
  EXPECT_TRUE(store_.Put("a", "now an object").ok());
}

TEST_P(ObjectStoreContractTest, AKeyIsNotAlsoAFolder) {
  ASSERT_TRUE(store_.Put("a/b", "x").ok());
  EXPECT_EQ(store_.Put("a", "y").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.PutIfAbsent("a", "y").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.Put("a/b/c", "y").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.PutIfAbsent("a/b/c", "y").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Keys(""), ElementsAre("a/b"));
}

TEST_P(ObjectStoreContractTest, ListingIsInByteOrderOfWholeKeys) {
  // '.' and '-' come before '/', letters after it: sorting folder by folder would differ.
  for (const absl::string_view key : {"p/a/1", "p/a-b", "p/a.b", "p/a0", "p/B", "q"}) {
    ASSERT_TRUE(store_.Put(key, "x").ok());
  }
  EXPECT_THAT(Keys("p/"), ElementsAre("p/B", "p/a-b", "p/a.b", "p/a/1", "p/a0"));
  EXPECT_THAT(Keys("p/a"), ElementsAre("p/a-b", "p/a.b", "p/a/1", "p/a0"));
  EXPECT_THAT(Keys("p/a/"), ElementsAre("p/a/1"));
  EXPECT_THAT(Keys("nothing"), IsEmpty());
}

TEST_P(ObjectStoreContractTest, PagesFollowEachOtherWithoutGapsOrRepeats) {
  std::vector<std::string> all;
  for (int i = 0; i < 25; ++i) {
    all.push_back(absl::StrCat("d/", i / 10, "/", i % 10));
    ASSERT_TRUE(store_.Put(all.back(), "x").ok());
  }
  for (const int limit : {1, 3, 25, 100}) {
    std::vector<std::string> seen;
    while (true) {
      const std::vector<std::string> page = Keys("d/", seen.empty() ? "" : seen.back(), limit);
      ASSERT_LE(page.size(), limit);
      seen.insert(seen.end(), page.begin(), page.end());
      if (static_cast<int>(page.size()) < limit) break;
    }
    EXPECT_EQ(seen, all) << limit;
  }
  // From a key that does not exist, and past a whole folder.
  EXPECT_THAT(Keys("d/", "d/1/99", 2), ElementsAre("d/2/0", "d/2/1"));
  EXPECT_THAT(Keys("d/", "d/1/\x7f", 1), ElementsAre("d/2/0"));
  EXPECT_THAT(Keys("d/", "a", 1), ElementsAre("d/0/0"));
}

TEST_P(ObjectStoreContractTest, DeletePrefixLeavesTheOthers) {
  for (const absl::string_view key : {"a/1", "a/b/2", "ab/3", "b"}) ASSERT_TRUE(store_.Put(key, "x").ok());
  EXPECT_EQ(*DeletePrefix(store_, "a/"), 2);
  EXPECT_THAT(Keys(""), ElementsAre("ab/3", "b"));
  EXPECT_EQ(*DeletePrefix(store_, "a/"), 0);
}

TEST_P(ObjectStoreContractTest, BadKeysAreRefusedEverywhere) {
  const std::string bad_keys[] = {"",
                                  "/a",
                                  "a/",
                                  "a//b",
                                  ".",
                                  "..",
                                  "a/../b",
                                  "a/./b",
                                  ".hidden",
                                  "a/.tmp",
                                  "a b",
                                  "a%2Fb",
                                  "a\\b",
                                  "\xc3\xa4",
                                  std::string("a\0b", 3),
                                  std::string(513, 'a'),
                                  "a/" + std::string(201, 'b')};
  for (const std::string& key : bad_keys) {
    const absl::StatusCode want = absl::StatusCode::kInvalidArgument;
    EXPECT_EQ(store_.Put(key, "x").code(), want) << key;
    EXPECT_EQ(store_.PutIfAbsent(key, "x").code(), want) << key;
    EXPECT_EQ(store_.Get(key).status().code(), want) << key;
    EXPECT_EQ(store_.GetRange(key, 0, 1).status().code(), want) << key;
    EXPECT_EQ(store_.Head(key).status().code(), want) << key;
    EXPECT_EQ(store_.Delete(key).code(), want) << key;
    EXPECT_FALSE(store_.LocalPath(key).has_value()) << key;
  }
  EXPECT_THAT(Keys(""), IsEmpty());
}

TEST_P(ObjectStoreContractTest, TheLongestKeyWorks) {
  std::string key = std::string(200, 'a') + "/" + std::string(200, 'b') + "/" + std::string(110, 'c');
  ASSERT_EQ(key.size(), 512);
  ASSERT_TRUE(store_.Put(key, "x").ok());
  EXPECT_EQ(*store_.Get(key), "x");
}

TEST_P(ObjectStoreContractTest, LocalPathHoldsTheBytesWhereThereIsOne) {
  ASSERT_TRUE(store_.Put("a/b", "bytes").ok());
  const auto path = store_.LocalPath("a/b");
  if (!path.has_value()) {
    EXPECT_EQ(store_.Uri(), "memory:") << "only memory has no files";
    return;
  }
  std::ifstream file(*path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "bytes");
}

TEST_P(ObjectStoreContractTest, PutFileAndDigestOfSeeTheSameBytes) {
  const std::string bytes(3 << 20, 'x');
  const std::string path = folder_.Write(".outside/source", bytes);
  const auto put = PutFile(store_, "k", path, WriteMode::kIfAbsent);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(*put, (ByteDigest{3 << 20, Sha256Hex(bytes)}));
  EXPECT_EQ(*DigestOf(store_, "k"), *put);
  const absl::Status missing = PutFile(store_, "l", path + ".none", WriteMode::kReplace).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("source.none"));
  EXPECT_THAT(Keys(""), ElementsAre("k"));
}

INSTANTIATE_TEST_SUITE_P(Backends, ObjectStoreContractTest,
                         testing::ValuesIn<Backend>({
                             {"Memory", [](const std::string&) { return *OpenObjectStore("memory:"); }},
                             {"Folder",
                              [](const std::string& folder) { return *OpenObjectStore(folder + "/store"); }},
                         }),
                         [](const auto& info) { return info.param.name; });

TEST(ListAllTest, ItGoesThroughEveryPage) {
  MemoryStore store;
  for (int i = 0; i < 2100; ++i) ASSERT_TRUE(store.Put(absl::StrCat("many/", i), "").ok());
  ASSERT_TRUE(store.Put("other", "").ok());
  EXPECT_EQ(ListAll(store, "many/")->size(), 2100);
}

TEST(ObjectStoreRegistryTest, UrisNameTheirBackends) {
  TempFolder folder;
  EXPECT_EQ((*OpenObjectStore("memory:"))->Uri(), "memory:");
  EXPECT_EQ((*OpenObjectStore("file://" + folder.path()))->Uri(), "file://" + folder.path());
  const absl::Status unknown = OpenObjectStore("ftp://host/x").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(), HasSubstr("known: memory, file"));
}

}  // namespace
}  // namespace vernier::storage
