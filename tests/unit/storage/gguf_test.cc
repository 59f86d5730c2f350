#include "storage/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/gguf_dequant.h"
#include "storage/gguf_quantize.h"
#include "tests/testing/gguf_builder.h"
#include "tests/testing/temp_folder.h"

namespace vernier::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::string Array(uint32_t type, uint64_t count, const std::string& elements) {
  return Raw(type) + Raw(count) + elements;
}

TEST(GgufTest, MetadataOfEveryTypeIsRead) {
  GgufBuilder b;
  b.Add("u8", 0, Raw(uint8_t{200})).Add("i8", 1, Raw(int8_t{-3})).Add("u16", 2, Raw(uint16_t{60000}));
  b.Add("i16", 3, Raw(int16_t{-300}))
      .Add("u32", 4, Raw(uint32_t{4000000000}))
      .Add("i32", 5, Raw(int32_t{-5}));
  b.Add("f32", 6, Raw(0.5F)).Add("bool", 7, Raw(uint8_t{1})).String("str", "text\n");
  b.Add("u64", 10, Raw(uint64_t{1} << 62)).Add("i64", 11, Raw(int64_t{-7})).Add("f64", 12, Raw(0.1));
  b.Add("ints", 9, Array(5, 2, Raw(int32_t{1}) + Raw(int32_t{-2})));
  b.Add("floats", 9, Array(6, 1, Raw(0.25F)));
  b.Add("bools", 9, Array(7, 2, std::string("\1\0", 2)));
  b.Strings("strings", {"a", "", "c"});
  b.Add("nested", 9, Array(9, 1, Array(0, 2, "xy")));
  b.Add("none", 9, Array(4, 0, ""));
  const std::string bytes = b.Build();
  const auto gguf = Gguf::Parse(bytes, "f");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->version(), 3);
  EXPECT_EQ(*gguf->GetInt("u8"), 200);
  EXPECT_EQ(*gguf->GetInt("i8"), -3);
  EXPECT_EQ(*gguf->GetInt("u16"), 60000);
  EXPECT_EQ(*gguf->GetInt("i16"), -300);
  EXPECT_EQ(*gguf->GetInt("u32"), 4000000000);
  EXPECT_EQ(*gguf->GetInt("i32"), -5);
  EXPECT_EQ(*gguf->GetInt("u64"), int64_t{1} << 62);
  EXPECT_EQ(*gguf->GetInt("i64"), -7);
  EXPECT_EQ(*gguf->GetDouble("f32"), 0.5);
  EXPECT_EQ(*gguf->GetDouble("f64"), 0.1);
  EXPECT_EQ(*gguf->GetDouble("i8"), -3.0);
  EXPECT_EQ(*gguf->GetBool("bool"), true);
  EXPECT_EQ(*gguf->GetString("str"), "text\n");
  EXPECT_THAT(*gguf->GetInts("ints"), ElementsAre(1, -2));
  EXPECT_THAT(*gguf->GetInts("none"), IsEmpty());
  EXPECT_THAT(*gguf->GetDoubles("floats"), ElementsAre(0.25));
  EXPECT_THAT(*gguf->GetStrings("strings"), ElementsAre("a", "", "c"));
  EXPECT_TRUE(gguf->Has("nested"));
  EXPECT_TRUE(gguf->tensors().empty());
}

TEST(GgufTest, AskingForTheWrongKindNamesFileAndKey) {
  const std::string bytes = GgufBuilder().String("key", "text").Build();
  const auto gguf = Gguf::Parse(bytes, "x.gguf");
  for (const absl::Status& status : {gguf->GetInt("key").status(), gguf->GetDouble("key").status(),
                                     gguf->GetBool("key").status(), gguf->GetStrings("key").status(),
                                     gguf->GetInts("key").status(), gguf->GetString("absent").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), StartsWith("x.gguf: "));
    EXPECT_TRUE(absl::StrContains(status.message(), "\"key\"") ||
                absl::StrContains(status.message(), "\"absent\""));
  }
}

TEST(GgufTest, TensorsHaveOurOrderOfDimensions) {
  const std::string bytes =
      GgufBuilder().Floats("a", {2, 3}, {1, 2, 3, 4, 5, 6}).Floats("b", {1}, {7}).Build();
  const auto gguf = Gguf::Parse(bytes, "f");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  ASSERT_EQ(gguf->tensors().size(), 2);
  const GgufTensor* a = gguf->FindTensor("a");
  ASSERT_NE(a, nullptr);
  EXPECT_THAT(a->shape, ElementsAre(2, 3));
  EXPECT_EQ(a->NumElements(), 6);
  EXPECT_EQ(a->bytes, RawAll<float>({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(gguf->FindTensor("b")->bytes, Raw(7.0F));
  EXPECT_EQ(gguf->FindTensor("c"), nullptr);
}

TEST(GgufTest, AnotherAlignmentIsObeyed) {
  GgufBuilder b;
  b.alignment = 64;
  const std::string bytes =
      b.Int("general.alignment", 64).Floats("a", {1}, {1}).Floats("b", {1}, {2}).Build();
  const auto gguf = Gguf::Parse(bytes, "f");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->FindTensor("b")->bytes, Raw(2.0F));
  EXPECT_EQ((gguf->FindTensor("b")->bytes.data() - bytes.data()) % 64, 0);
}

TEST(GgufTest, AFileIsMappedAndMayMove) {
  TempFolder folder;
  const std::string path = folder.Write("x.gguf", GgufBuilder().Int("n", 1).Floats("a", {1}, {1}).Build());
  auto gguf = Gguf::Open(path);
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const Gguf moved = *std::move(gguf);
  EXPECT_EQ(moved.FindTensor("a")->bytes, Raw(1.0F));
  EXPECT_EQ(moved.name(), path);
  EXPECT_EQ(Gguf::Open(folder.File("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST(GgufTest, EveryPrefixOfAFileIsRefused) {
  const std::string bytes =
      GgufBuilder().Strings("tokens", {"a", "b"}).Int("n", 1).Floats("a", {2, 2}, {1, 2, 3, 4}).Build();
  ASSERT_TRUE(Gguf::Parse(bytes, "f").ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const absl::Status status = Gguf::Parse(absl::string_view(bytes).substr(0, size), "f").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST(GgufTest, NoSingleByteMakesItReadOutside) {
  // Under AddressSanitizer this looks for reads outside of the file; here, that it ends and says what is
  // wrong.
  const std::string good =
      GgufBuilder().Strings("tokens", {"ab", "c"}).Int("n", 7).Floats("a", {2, 2}, {1, 2, 3, 4}).Build();
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ flip);
      const auto gguf = Gguf::Parse(bytes, "f");
      if (gguf.ok()) {
        for (const GgufTensor& tensor : gguf->tensors()) {
          EXPECT_GE(tensor.bytes.data(), bytes.data());
          EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size());
        }
      } else {
        EXPECT_EQ(gguf.status().code(), absl::StatusCode::kInvalidArgument);
      }
    }
  }
}

struct BadFile {
  std::string name;
  std::string bytes;
  std::string message;
};

class BadGgufTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadGgufTest, IsRefusedByName) {
  const absl::Status status = Gguf::Parse(GetParam().bytes, "dir/x.gguf").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("dir/x.gguf: "));
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

GgufBuilder With(void (*change)(GgufBuilder&)) {
  GgufBuilder b;
  change(b);
  return b;
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadGgufTest,
    testing::ValuesIn<BadFile>({
        {"Empty", "", "cut off"},
        {"OtherMagic", "GGML" + std::string(100, '\0'), "is not a GGUF file"},
        {"LfsPointer", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
        {"Version1", With([](auto& b) { b.version = 1; }).Build(), "GGUF version 1"},
        {"Version4", With([](auto& b) { b.version = 4; }).Build(), "GGUF version 4"},
        {"BigEndian", With([](auto& b) { b.version = 0x03000000; }).Build(), "big-endian"},
        {"KeysThatAreNotThere", With([](auto& b) { b.num_keys = 1; }).Build(), "number of metadata keys"},
        {"TensorsThatAreNotThere", With([](auto& b) { b.num_tensors = 1; }).Build(), "number of tensors"},
        {"HugeTensorCount", With([](auto& b) { b.num_tensors = ~uint64_t{0}; }).Build(), "limit of 100000"},
        {"HugeKeyCount", With([](auto& b) { b.num_keys = ~uint64_t{0}; }).Build(), "limit of 65536"},
        {"HugeString", GgufBuilder().Add("k", 8, Raw(~uint64_t{0}) + "abc").Build(), "cut off"},
        {"HugeArray", GgufBuilder().Add("k", 9, Array(4, ~uint64_t{0}, "")).Build(),
         "above the limit of 16777216"},
        {"ArrayBeyondTheFile", GgufBuilder().Add("k", 9, Array(4, 1000, "")).Build(), "cut off"},
        {"ArraysTooLargeTogether",
         GgufBuilder().Add("k", 9, Array(0, 3, "abc")).Add("l", 9, Array(4, 16777214, "")).Build(),
         "above the limit"},
        {"DeepArrays",
         GgufBuilder()
             .Add("k", 9, Array(9, 1, Array(9, 1, Array(9, 1, Array(9, 1, Array(9, 0, ""))))))
             .Build(),
         "nested deeper"},
        {"UnknownType", GgufBuilder().Add("k", 13, Raw(uint64_t{0})).Build(), "unknown type 13"},
        {"UnknownArrayType", GgufBuilder().Add("k", 9, Array(77, 1, "x")).Build(), "unknown type 77"},
        {"BoolOfTwo", GgufBuilder().Add("k", 7, Raw(uint8_t{2})).Build(), "neither false nor true"},
        {"IntegerAbove63Bits", GgufBuilder().Add("k", 10, Raw(~uint64_t{0})).Build(), "2^63"},
        {"KeyTwice", GgufBuilder().Int("k", 1).Int("k", 1).Build(), "key \"k\" twice"},
        {"TensorTwice", GgufBuilder().Floats("t", {1}, {1}).Floats("t", {1}, {1}).Build(),
         "tensor \"t\" twice"},
        {"EmptyTensorName", GgufBuilder().Floats("", {1}, {1}).Build(), "empty name"},
        {"LongTensorName", GgufBuilder().Floats(std::string(1025, 'n'), {1}, {1}).Build(), "limit of 1024"},
        {"FiveDimensions", GgufBuilder().Floats("t", {1, 1, 1, 1, 1}, {1}).Build(), "5 dimensions"},
        {"EmptyDimension", GgufBuilder().Floats("t", {0}, {}).Build(), "is empty or overflows"},
        {"OverflowingShape", GgufBuilder().Floats("t", {int64_t{1} << 32, int64_t{1} << 32}, {}).Build(),
         "overflows"},
        {"OverflowingBytes", GgufBuilder().Floats("t", {int64_t{1} << 62}, {}).Build(), "overflows"},
        {"NegativeDimension", GgufBuilder().Floats("t", {-1}, {}).Build(), "overflows"},
        {"UnknownTensorType", GgufBuilder().TensorAt("t", 999, {32}, 0).Build(), "unknown tensor type 999"},
        {"RetiredTensorType", GgufBuilder().TensorAt("t", 4, {32}, 0).Build(), "unknown tensor type 4"},
        {"HalfABlock", GgufBuilder().Tensor("t", 8, {2, 16}, std::string(34, 'x')).Build(),
         "whole blocks of 32"},
        {"CrookedOffset", GgufBuilder().TensorAt("t", 0, {1}, 4).Data(std::string(64, 'x')).Build(),
         "multiple of the alignment"},
        {"OffsetBeyondTheFile", GgufBuilder().TensorAt("t", 0, {1}, 64).Data(std::string(64, 'x')).Build(),
         "takes bytes [64"},
        {"HugeOffset", GgufBuilder().TensorAt("t", 0, {1}, ~uint64_t{31}).Data("x").Build(),
         "multiple of the alignment"},
        {"OffsetThatWraps", GgufBuilder().TensorAt("t", 0, {64}, (uint64_t{1} << 63) - 32).Data("x").Build(),
         "takes bytes"},
        {"TensorBeyondTheFile", GgufBuilder().TensorAt("t", 0, {17}, 0).Data(std::string(64, 'x')).Build(),
         "takes bytes [0"},
        {"Overlap",
         GgufBuilder().TensorAt("a", 0, {9}, 0).TensorAt("b", 0, {1}, 32).Data(std::string(64, 'x')).Build(),
         "\"a\" and \"b\" overlap"},
        {"SamePlace",
         GgufBuilder().TensorAt("a", 0, {1}, 0).TensorAt("b", 0, {1}, 0).Data(std::string(64, 'x')).Build(),
         "overlap at byte 0"},
        {"ZeroAlignment", GgufBuilder().Int("general.alignment", 0).Floats("t", {1}, {1}).Build(),
         "multiple of 8"},
        {"OddAlignment", GgufBuilder().Int("general.alignment", 12).Floats("t", {1}, {1}).Build(),
         "multiple of 8"},
        {"HugeAlignment", GgufBuilder().Int("general.alignment", 1U << 31).Floats("t", {1}, {1}).Build(),
         "multiple of 8"},
        {"AlignmentIsText", GgufBuilder().String("general.alignment", "32").Floats("t", {1}, {1}).Build(),
         "not an integer"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(DequantizeTest, PlainTypesKeepTheirValues) {
  std::vector<float> out(3);
  ASSERT_TRUE(Dequantize(0, RawAll<float>({1.5F, -2, 0}), absl::MakeSpan(out)).ok());
  EXPECT_THAT(out, ElementsAre(1.5F, -2.0F, 0.0F));
  ASSERT_TRUE(Dequantize(30, RawAll<uint16_t>({0x3FC0, 0xC000, 0x7F80}), absl::MakeSpan(out)).ok());
  EXPECT_THAT(out, ElementsAre(1.5F, -2.0F, std::numeric_limits<float>::infinity()));
}

TEST(DequantizeTest, HalvesOfEveryKind) {
  std::vector<float> out(9);
  ASSERT_TRUE(
      Dequantize(1,
                 RawAll<uint16_t>({0x3C00, 0xC000, 0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00}),
                 absl::MakeSpan(out))
          .ok());
  EXPECT_EQ(out[0], 1.0F);
  EXPECT_EQ(out[1], -2.0F);
  EXPECT_EQ(out[2], 0.0F);
  EXPECT_TRUE(std::signbit(out[3]) && out[3] == 0);
  EXPECT_EQ(out[4], 0x1p-24F);
  EXPECT_EQ(out[5], -1023 * 0x1p-24F);
  EXPECT_EQ(out[6], 65504.0F);
  EXPECT_EQ(out[7], std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[8], -std::numeric_limits<float>::infinity());
  ASSERT_TRUE(Dequantize(1, RawAll<uint16_t>({0x7E00}), absl::MakeSpan(out).subspan(0, 1)).ok());
  EXPECT_TRUE(std::isnan(out[0]));
}

TEST(DequantizeTest, OtherTypesAreRefusedByName) {
  std::vector<float> out(256);
  for (const auto& [type, name] :
       {std::pair(9U, "Q8_1"), std::pair(15U, "Q8_K"), std::pair(16U, "IQ2_XXS"), std::pair(20U, "IQ4_NL"),
        std::pair(34U, "TQ1_0"), std::pair(39U, "MXFP4")}) {
    const absl::Status status = Dequantize(type, std::string(400, 'x'), absl::MakeSpan(out));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(
        status.message(),
        HasSubstr(absl::StrCat(name, " is not supported; supported: F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, ",
                               "Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, BF16")));
  }
  EXPECT_THAT(Dequantize(999, "", {}).message(), HasSubstr("number 999"));
}

TEST(DequantizeTest, CountsMustFit) {
  std::vector<float> out(33);
  EXPECT_THAT(Dequantize(8, std::string(68, 'x'), absl::MakeSpan(out)).message(), HasSubstr("whole blocks"));
  EXPECT_THAT(Dequantize(8, std::string(33, 'x'), absl::MakeSpan(out).subspan(0, 32)).message(),
              HasSubstr("need 34 bytes, got 33"));
  EXPECT_TRUE(Dequantize(8, "", {}).ok());
}

TEST(QuantizeTest, WhatIsWrittenIsReadBack) {
  std::vector<float> values(64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 31.5F;
  for (const uint32_t type : {0U, 1U, 8U}) {
    std::string bytes;
    ASSERT_TRUE(Quantize(type, values, &bytes).ok());
    std::vector<float> back(values.size());
    ASSERT_TRUE(Dequantize(type, bytes, absl::MakeSpan(back)).ok());
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(back[i], values[i], type == 8 ? 0.13 : 0) << i;
  }
}

TEST(QuantizeTest, WhatATypeCannotHoldIsRefused) {
  std::string bytes;
  EXPECT_THAT(Quantize(12, {}, &bytes).message(),
              HasSubstr("Q4_K is not written; written are: F32, F16, Q8_0"));
  EXPECT_THAT(Quantize(8, std::vector<float>(33), &bytes).message(), HasSubstr("whole blocks"));
  EXPECT_THAT(Quantize(1, {1.0F, 70000.0F}, &bytes).message(),
              HasSubstr("value 1 is 70000, which F16 cannot hold"));
  std::vector<float> values(32, 1.0F);
  values[5] = std::numeric_limits<float>::quiet_NaN();
  for (const uint32_t type : {0U, 1U, 8U}) {
    EXPECT_THAT(Quantize(type, values, &bytes).message(), HasSubstr("value 5 is nan")) << type;
  }
  EXPECT_TRUE(bytes.empty());
}

}  // namespace
}  // namespace vernier::storage
