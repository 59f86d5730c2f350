#include "storage/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/folder_store.h"
#include "storage/memory_store.h"
#include "tests/testing/temp_folder.h"

namespace vernier::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::StartsWith;

// A file with this header, whatever it says.
std::string File(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(uint64_t{header.size()} >> (8 * i));
  return bytes + header + data;
}

class StringSink final : public ByteSink {
 public:
  absl::Status Append(absl::string_view more) override {
    absl::StrAppend(&bytes, more);
    return absl::OkStatus();
  }
  std::string bytes;
};

constexpr char kA[] = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
constexpr char kB[] = R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]})";

TEST(SafetensorsTest, TensorsAreReadInTheOrderOfTheirBytes) {
  const std::string bytes =
      File(absl::StrCat("{", R"("__metadata__":{"format":"pt"},)", kB, ",", kA, "}"), "01234567abc");
  const auto file = SafetensorsFile::Parse(bytes, "f");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 2);
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_EQ(file->tensors()[0].bytes, "01234567");
  EXPECT_THAT(file->tensors()[0].shape, ElementsAre(2));
  EXPECT_EQ(file->tensors()[1].dtype, Dtype::kU8);
  EXPECT_EQ(file->Find("b")->bytes, "abc");
  EXPECT_THAT(file->metadata(), ElementsAre(Pair("format", "pt")));
}

TEST(SafetensorsTest, AMissingTensorNamesTheNearest) {
  const std::string bytes =
      File(R"({"model.embed.weight":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", "x");
  const auto file = SafetensorsFile::Parse(bytes, "f");
  const absl::Status status = file->Find("model.embed.weigth").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("model.embed.weight"));
}

TEST(SafetensorsTest, ScalarsAndEmptyTensorsAreSound) {
  const std::string bytes = File(R"({"e":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},)"
                                 R"("s":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})",
                                 "01234567");
  const auto file = SafetensorsFile::Parse(bytes, "f");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Find("e")->bytes, "");
  EXPECT_EQ(file->Find("s")->bytes.size(), 8);
}

struct BadFile {
  std::string name;
  std::string bytes;
  std::string message;  // part of it
};

class BadSafetensorsTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensorsTest, IsRefusedByName) {
  const absl::Status status = SafetensorsFile::Parse(GetParam().bytes, "models/x.safetensors").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("models/x.safetensors: "));
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

std::string One(const std::string& entry, const std::string& data = "01234567") {
  return File(absl::StrCat(R"({"a":)", entry, "}"), data);
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadSafetensorsTest,
    testing::ValuesIn<BadFile>({
        {"Empty", "", "has 0 bytes"},
        {"SevenBytes", "1234567", "has 7 bytes"},
        {"LfsPointer", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
        {"HeaderLongerThanFile", File("{}", "").substr(0, 9), "does not fit"},
        {"HeaderAboveTheLimit", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10), "above the limit"},
        {"NotJson", File("{a}", ""), "is not JSON"},
        {"NotAnObject", File("[]", ""), "does not start with '{'"},
        {"NoHeader", File("", "x"), "does not start with '{'"},
        {"Truncated", File(absl::StrCat("{", kA, "}"), "0123456"), "header promises"},
        {"TrailingBytes", File(absl::StrCat("{", kA, "}"), "01234567x"), "1 bytes after its last tensor"},
        {"TrailingArchive", File("{}", "PK\x03\x04"), "4 bytes after its last tensor"},
        {"Overlap",
         File(absl::StrCat("{", kA, R"(,"b":{"dtype":"U8","shape":[3],"data_offsets":[7,10]}})"),
              "0123456789"),
         "inside the one before it"},
        {"SameBytesTwice",
         File(absl::StrCat("{", kA, R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"), "01234567"),
         "inside the one before it"},
        {"Gap",
         File(absl::StrCat("{", kA, R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}})"),
              "0123456789"),
         "gap"},
        {"GapAtTheStart", One(R"({"dtype":"U8","shape":[1],"data_offsets":[1,2]})", "01"), "gap"},
        {"SpanIsNotTheShape", One(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "span 8 bytes"},
        {"Backwards", One(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "backwards"},
        {"NegativeOffset", One(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"), "is not a count"},
        {"NegativeSize", One(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "is not a count"},
        {"FractionalSize", One(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "is not a count"},
        {"HugeSize", One(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"),
         "is not a count"},
        {"OverflowingShape", One(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]})"),
         "overflows"},
        {"OverflowHiddenByZero",
         One(R"({"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]})", ""), "overflows"},
        {"TooManyDimensions",
         One(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]})", "x"),
         "17 dimensions"},
        {"UnknownDtype", One(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})"),
         "\"F8_E4M3\" is not supported"},
        {"NoDtype", One(R"({"shape":[2],"data_offsets":[0,8]})"), "dtype is missing"},
        {"NoShape", One(R"({"dtype":"F32","data_offsets":[0,8]})"), "shape is missing"},
        {"NoOffsets", One(R"({"dtype":"F32","shape":[2]})"), "data_offsets is missing"},
        {"ThreeOffsets", One(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,9]})"),
         "data_offsets is missing"},
        {"UnknownField", One(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})"),
         "unknown field \"x\""},
        {"EntryIsNoObject", One("[]"), "not an object"},
        {"NameTwice", File(absl::StrCat("{", kA, ",", kA, "}"), "01234567"), "twice"},
        {"FieldTwice", One(R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "twice"},
        {"EmptyName", File(R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"),
         "name has 0 bytes"},
        {"MetadataIsNoObject", File(R"({"__metadata__":1})", ""), "__metadata__ is not an object"},
        {"MetadataIsNoText", File(R"({"__metadata__":{"n":1}})", ""), "__metadata__.n is not a string"},
        {"DeepNesting", One(R"({"dtype":[[[[[]]]]],"shape":[2],"data_offsets":[0,8]})"), "nested deeper"},
    }),
    [](const auto& info) { return info.param.name; });

std::string ManyTensors(int count) {
  std::string header = "{";
  for (int i = 0; i < count; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"t", i, R"(":{"dtype":"U8","shape":[1],"data_offsets":[)",
                    i, ",", i + 1, "]}");
  }
  return File(header + "}", std::string(count, 'x'));
}

TEST(SafetensorsTest, AHundredThousandTensorsAreTheLimit) {
  EXPECT_EQ(SafetensorsFile::Parse(ManyTensors(100'000), "f")->tensors().size(), 100'000);
  const absl::Status above = SafetensorsFile::Parse(ManyTensors(100'001), "f").status();
  EXPECT_EQ(above.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(above.message(), HasSubstr("limit of 100000"));
}

TEST(SafetensorsTest, EveryPrefixOfAFileIsRefused) {
  const std::string bytes = File(absl::StrCat("{", kA, ",", kB, "}"), "01234567abc");
  ASSERT_TRUE(SafetensorsFile::Parse(bytes, "f").ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(SafetensorsFile::Parse(absl::string_view(bytes).substr(0, size), "f").status().code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
}

TensorView View(std::string name, Dtype dtype, std::vector<int64_t> shape, absl::string_view bytes) {
  TensorView view;
  view.name = std::move(name);
  view.dtype = dtype;
  view.shape = std::move(shape);
  view.bytes = bytes;
  return view;
}

TEST(SafetensorsTest, WhatIsWrittenIsRead) {
  MemoryStore memory;
  TempFolder folder;
  const auto files = FolderStore::Open({.root = folder.path()});
  const std::vector<TensorView> tensors = {View("model.\"q\".weight\n", Dtype::kF32, {2, 1}, "01234567"),
                                           View("empty", Dtype::kF64, {0}, ""),
                                           View("flag", Dtype::kBool, {}, absl::string_view("\1", 1)),
                                           View("half", Dtype::kBF16, {1, 1, 1}, "hh")};
  for (ObjectStore* store : {static_cast<ObjectStore*>(&memory), static_cast<ObjectStore*>(files->get())}) {
    const auto digest =
        WriteSafetensors(*store, "a/x.safetensors", WriteMode::kIfAbsent, tensors, {{"format", "pt"}});
    ASSERT_TRUE(digest.ok()) << digest.status();
    EXPECT_EQ(*DigestOf(*store, "a/x.safetensors"), *digest);
    const auto file = SafetensorsFile::Open(*store, "a/x.safetensors");
    ASSERT_TRUE(file.ok()) << file.status();
    const SafetensorsFile moved = *std::move(const_cast<absl::StatusOr<SafetensorsFile>&>(file));
    ASSERT_EQ(moved.tensors().size(), tensors.size());
    for (const TensorView& want : tensors) {
      const auto got = moved.Find(want.name);
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(got->dtype, want.dtype);
      EXPECT_EQ(got->shape, want.shape);
      EXPECT_EQ(got->bytes, want.bytes);
    }
    EXPECT_THAT(moved.metadata(), ElementsAre(Pair("format", "pt")));
    // Equal input gives equal bytes: writing again is a retry.
    EXPECT_TRUE(
        WriteSafetensors(*store, "a/x.safetensors", WriteMode::kIfAbsent, tensors, {{"format", "pt"}}).ok());
  }
}

TEST(SafetensorsTest, DataStartsAligned) {
  for (const char* name : {"a", "ab", "abc", "abcdefgh"}) {
    StringSink sink;
    auto writer = SafetensorsWriter::Create(sink, {{name, Dtype::kU8, {1}}});
    ASSERT_TRUE(writer.ok());
    EXPECT_EQ(sink.bytes.size() % 8, 0) << name;
  }
}

TEST(SafetensorsTest, TheWriterTakesPiecesOfAnySize) {
  StringSink sink;
  auto writer = SafetensorsWriter::Create(sink, {{"a", Dtype::kU8, {3}}, {"b", Dtype::kU8, {3}}});
  ASSERT_TRUE(writer->Append("1234").ok());
  ASSERT_TRUE(writer->Append("").ok());
  ASSERT_TRUE(writer->Append("56").ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(SafetensorsFile::Parse(sink.bytes, "f")->Find("b")->bytes, "456");
}

TEST(SafetensorsTest, TheWriterSeesThatSpecsAndBytesAgree) {
  StringSink sink;
  auto writer = SafetensorsWriter::Create(sink, {{"a", Dtype::kU8, {3}}, {"b", Dtype::kU8, {3}}});
  ASSERT_TRUE(writer->Append("1234").ok());
  const absl::Status few = writer->Finish();
  EXPECT_EQ(few.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(few.message(), HasSubstr("tensor \"b\": got 1 of 3"));
  EXPECT_EQ(writer->Append("567").code(), absl::StatusCode::kInvalidArgument);
  MemoryStore store;
  const absl::Status wrong =
      WriteSafetensors(store, "k", WriteMode::kReplace, {View("a", Dtype::kF32, {2}, "1234")}).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(wrong.message(), HasSubstr("has 4 bytes, its shape needs 8"));
  EXPECT_EQ(store.Head("k").status().code(), absl::StatusCode::kNotFound);
}

TEST(SafetensorsTest, TheWriterRefusesWhatNobodyCouldRead) {
  const std::vector<std::vector<TensorSpec>> bad = {
      {{"a", Dtype::kU8, {1}}, {"a", Dtype::kU8, {1}}},
      {{"", Dtype::kU8, {1}}},
      {{"__metadata__", Dtype::kU8, {1}}},
      {{"\xff", Dtype::kU8, {1}}},
      {{"a", Dtype::kU8, {-1}}},
      {{"a", Dtype::kF32, {int64_t{1} << 62, 4}}},
      {{"a", Dtype::kU8, {int64_t{1} << 62}}, {"b", Dtype::kU8, {int64_t{1} << 62}}},
  };
  for (const std::vector<TensorSpec>& specs : bad) {
    StringSink sink;
    EXPECT_EQ(SafetensorsWriter::Create(sink, specs).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(sink.bytes, "");
  }
}

TEST(SafetensorsTest, AMissingFileIsNotFound) {
  MemoryStore store;
  EXPECT_EQ(SafetensorsFile::Open(store, "a/b").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::Open("/nonexistent/x.safetensors").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace vernier::storage
