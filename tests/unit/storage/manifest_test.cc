#include "storage/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/digest.h"
#include "storage/memory_store.h"

namespace vernier::storage {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

ManifestPart Part(const std::string& name, const std::string& bytes) {
  return {name, static_cast<int64_t>(bytes.size()), Sha256Hex(bytes)};
}

class ManifestTest : public testing::Test {
 protected:
  ManifestTest() {
    EXPECT_TRUE(store_.Put("thing/a.bin", "aaa").ok());
    EXPECT_TRUE(store_.Put("thing/sub/b.bin", "bb").ok());
    manifest_.format = "vernier.test";
    manifest_.parts = {Part("sub/b.bin", "bb"), Part("a.bin", "aaa")};
    manifest_.fields = {{"step", 7}, {"note", "x"}};
  }
  MemoryStore store_;
  Manifest manifest_;
};

TEST_F(ManifestTest, WhatIsWrittenIsReadAndVerifies) {
  const auto sha256 = WriteManifest(store_, "thing", manifest_);
  ASSERT_TRUE(sha256.ok()) << sha256.status();
  EXPECT_EQ(*sha256, Sha256Hex(*store_.Get("thing/manifest.json")));
  const auto read = ReadManifest(store_, "thing", "vernier.test", 1, *sha256);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->format, "vernier.test");
  EXPECT_EQ(read->version, 1);
  EXPECT_EQ(read->fields["step"], 7);
  EXPECT_EQ(read->TotalBytes(), 5);
  ASSERT_NE(read->Find("sub/b.bin"), nullptr);
  EXPECT_EQ(*read->Find("sub/b.bin"), Part("sub/b.bin", "bb"));
  EXPECT_EQ(read->Find("b.bin"), nullptr);
  EXPECT_TRUE(VerifyParts(store_, "thing", *read).ok());
}

TEST_F(ManifestTest, EqualManifestsGiveEqualBytesInAnyOrderOfParts) {
  const std::string text = ManifestToJson(manifest_);
  std::swap(manifest_.parts[0], manifest_.parts[1]);
  EXPECT_EQ(ManifestToJson(manifest_), text);
  EXPECT_TRUE(WriteManifest(store_, "thing", manifest_).ok());
  std::swap(manifest_.parts[0], manifest_.parts[1]);
  EXPECT_TRUE(WriteManifest(store_, "thing", manifest_).ok()) << "a retry";
  EXPECT_EQ(text,
            "{\n \"fields\": {\n  \"note\": \"x\",\n  \"step\": 7\n },\n \"format\": \"vernier.test\",\n"
            " \"parts\": [\n  {\n   \"name\": \"a.bin\",\n   \"sha256\": \"" +
                Sha256Hex("aaa") +
                "\",\n   \"size\": 3\n  },\n  {\n   \"name\": \"sub/b.bin\",\n   \"sha256\": \"" +
                Sha256Hex("bb") + "\",\n   \"size\": 2\n  }\n ],\n \"version\": 1\n}\n");
}

TEST_F(ManifestTest, ASecondOtherManifestIsRefused) {
  ASSERT_TRUE(WriteManifest(store_, "thing", manifest_).ok());
  manifest_.fields["step"] = 8;
  EXPECT_EQ(WriteManifest(store_, "thing", manifest_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ManifestTest, DigestOfPartsIsTheDocumentedSum) {
  EXPECT_EQ(DigestOfParts(manifest_.parts),
            Sha256Hex(absl::StrCat("a.bin ", Sha256Hex("aaa"), "\nsub/b.bin ", Sha256Hex("bb"), "\n")));
}

TEST_F(ManifestTest, BadPartsAreRefusedBeforeAnythingIsWritten) {
  const ManifestPart bad[] = {Part("a.bin", "again"),
                              Part("manifest.json", "x"),
                              Part("../a", "x"),
                              Part("", "x"),
                              {"c", -1, Sha256Hex("")},
                              {"c", 1, "ABC"},
                              {"c", 1, std::string(64, 'G')}};
  for (const ManifestPart& part : bad) {
    Manifest manifest = manifest_;
    manifest.parts.push_back(part);
    const absl::Status status = WriteManifest(store_, "thing", manifest).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << part.name;
    EXPECT_THAT(std::string(status.message()), StartsWith("thing/manifest.json: parts[2]"));
  }
  manifest_.fields = nlohmann::json::array();
  EXPECT_EQ(WriteManifest(store_, "thing", manifest_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.Head("thing/manifest.json").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ManifestTest, AnUnfinishedThingIsNotFound) {
  EXPECT_EQ(ReadManifest(store_, "thing", "vernier.test").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ManifestTest, OtherFormatsAndLaterVersionsAreFailedPreconditions) {
  manifest_.version = 2;
  ASSERT_TRUE(WriteManifest(store_, "thing", manifest_).ok());
  const absl::Status version = ReadManifest(store_, "thing", "vernier.test").status();
  EXPECT_EQ(version.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(version.message(), HasSubstr("version 2"));
  EXPECT_TRUE(ReadManifest(store_, "thing", "vernier.test", 2).ok());
  const absl::Status format = ReadManifest(store_, "thing", "vernier.other", 2).status();
  EXPECT_EQ(format.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(format.message(), HasSubstr("\"vernier.test\""));
}

TEST_F(ManifestTest, AnUnreadableManifestIsDataLoss) {
  const std::string good = ManifestToJson(manifest_);
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"version\": 1", "\"version\": 0"},
                                                        {"\"version\": 1", "\"version\": \"1\""},
                                                        {"\"size\": 3", "\"size\": -3"},
                                                        {"\"size\": 3", "\"size\": 3.5"},
                                                        {"\"size\": 3", "\"size\": 18446744073709551615"},
                                                        {"\"name\": \"a.bin\"", "\"name\": \"sub/b.bin\""},
                                                        {"\"name\": \"a.bin\"", "\"name\": \"/etc/passwd\""},
                                                        {"\"format\": \"vernier.test\",", ""},
                                                        {"}\n", ""}}) {
    const std::string text = absl::StrReplaceAll(good, {{from, to}});
    ASSERT_NE(text, good) << from;
    ASSERT_TRUE(store_.Put("thing/manifest.json", text).ok());
    const absl::Status status = ReadManifest(store_, "thing", "vernier.test").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << to;
    EXPECT_THAT(std::string(status.message()), StartsWith("thing/manifest.json"));
  }
}

TEST_F(ManifestTest, AManifestThatIsNotTheExpectedOneIsDataLoss) {
  ASSERT_TRUE(WriteManifest(store_, "thing", manifest_).ok());
  EXPECT_EQ(ReadManifest(store_, "thing", "vernier.test", 1, Sha256Hex("other")).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ManifestTest, DamagedPartsAreNamed) {
  ASSERT_TRUE(store_.Put("thing/sub/b.bin", "xx").ok());
  const absl::Status changed = VerifyParts(store_, "thing", manifest_);
  EXPECT_EQ(changed.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(changed.message()), StartsWith("thing/sub/b.bin: SHA-256"));
  ASSERT_TRUE(store_.Put("thing/sub/b.bin", "bbb").ok());
  EXPECT_THAT(VerifyParts(store_, "thing", manifest_).message(), HasSubstr("promises 2 bytes, object has 3"));
  ASSERT_TRUE(store_.Delete("thing/sub/b.bin").ok());
  const absl::Status gone = VerifyParts(store_, "thing", manifest_);
  EXPECT_EQ(gone.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(gone.message()), StartsWith("thing/sub/b.bin: "));
}

}  // namespace
}  // namespace vernier::storage
