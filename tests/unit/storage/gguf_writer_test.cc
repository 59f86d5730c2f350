#include "storage/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "storage/gguf.h"
#include "storage/gguf_dequant.h"
#include "storage/gguf_export.h"
#include "tests/testing/gguf_builder.h"
#include "tests/testing/string_sink.h"

namespace vernier::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(GgufWriterTest, WhatIsWrittenIsReadBack) {
  const GgufMetadata metadata = {{"u32", uint32_t{7}},
                                 {"i32", int32_t{-7}},
                                 {"f32", 0.5F},
                                 {"yes", true},
                                 {"text", std::string("a\nb")},
                                 {"texts", std::vector<std::string>{"", "x"}},
                                 {"ints", std::vector<int32_t>{-1, 2}},
                                 {"floats", std::vector<float>{0.25F}},
                                 {"bytes", std::vector<uint8_t>{0, 255}}};
  StringSink sink;
  // 3 floats are 12 bytes: the next tensor begins behind 20 of padding.
  auto writer = GgufWriter::Create(sink, metadata, {{"a", 0, {3}}, {"b", 0, {2, 4}}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<float> values(11);
  std::iota(values.begin(), values.end(), 1.0F);
  const std::string bytes = RawAll(values);
  // In pieces that end nowhere in particular.
  for (size_t at = 0; at < bytes.size(); at += 7) {
    ASSERT_TRUE(writer->Append(absl::string_view(bytes).substr(at, 7)).ok());
  }
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(sink.text.size() % 32, 0u);

  const auto gguf = Gguf::Parse(sink.text, "written");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->version(), 3u);
  EXPECT_EQ(gguf->GetInt("u32").value(), 7);
  EXPECT_EQ(gguf->GetInt("i32").value(), -7);
  EXPECT_EQ(gguf->GetDouble("f32").value(), 0.5);
  EXPECT_TRUE(gguf->GetBool("yes").value());
  EXPECT_EQ(gguf->GetString("text").value(), "a\nb");
  EXPECT_THAT(gguf->GetStrings("texts").value(), ElementsAre("", "x"));
  EXPECT_THAT(gguf->GetInts("ints").value(), ElementsAre(-1, 2));
  EXPECT_THAT(gguf->GetDoubles("floats").value(), ElementsAre(0.25));
  EXPECT_THAT(gguf->GetInts("bytes").value(), ElementsAre(0, 255));
  std::vector<float> a(3), b(8);
  ASSERT_TRUE(Dequantize(0, gguf->FindTensor("a")->bytes, absl::MakeSpan(a)).ok());
  ASSERT_TRUE(Dequantize(0, gguf->FindTensor("b")->bytes, absl::MakeSpan(b)).ok());
  EXPECT_THAT(a, ElementsAre(1, 2, 3));
  EXPECT_THAT(b, ElementsAre(4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(gguf->FindTensor("b")->shape, ElementsAre(2, 4));
}

TEST(GgufWriterTest, RefusesWhatReadersWouldRefuse) {
  struct Case {
    GgufMetadata metadata;
    std::vector<GgufTensorSpec> tensors;
    std::string want;
  };
  const Case cases[] = {
      {{{"k", true}, {"k", false}}, {}, "metadata \"k\" has no name, or stands there twice"},
      {{{"", true}}, {}, "has no name"},
      {{}, {{"t", 0, {1}}, {"t", 0, {1}}}, "tensor \"t\" has no name, or stands there twice"},
      {{}, {{"t", 99, {1}}}, "unknown type 99"},
      {{}, {{"t", 8, {2, 33}}}, "do not fill whole blocks of 32 of type Q8_0"},
      {{}, {{"t", 0, {}}}, "must have 1 to 4 dimensions"},
      {{}, {{"t", 0, {0}}}, "is empty or overflows"},
      {{}, {{"t", 0, {int64_t{1} << 40, int64_t{1} << 40}}}, "is empty or overflows"},
  };
  for (const Case& c : cases) {
    StringSink sink;
    const auto writer = GgufWriter::Create(sink, c.metadata, c.tensors);
    EXPECT_THAT(std::string(writer.status().message()), HasSubstr(c.want));
  }
}

TEST(GgufWriterTest, CountsTheBytes) {
  StringSink sink;
  auto writer = GgufWriter::Create(sink, {}, {{"first", 0, {2}}, {"second", 0, {2}}});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->Append(std::string(12, 'x')).ok());
  EXPECT_THAT(std::string(writer->Finish().message()), HasSubstr("tensor \"second\" has 4 of its 8 bytes"));
  EXPECT_THAT(std::string(writer->Append("12345").message()), HasSubstr("1 bytes more than the tensors"));
}

GgufDescription OneLayer() {
  GgufDescription base;
  base.architecture = "llama";
  base.rules = {{"blk.0.attn_q.weight", "q.weight", {8, 4}, GgufLayout::kSplitHalves, 2},
                {"blk.0.ffn_up.weight", "up.weight", {6, 4}}};
  return base;
}

TEST(GgufLoraTest, FactorsComeBackWithTheRowsOfRotaryHeadsInOrder) {
  LoraFactors q = {
      .weight = "q.weight", .rank = 2, .in_features = 4, .out_features = 8, .a = std::vector<float>(8)};
  std::iota(q.a.begin(), q.a.end(), 1.0F);
  q.b.resize(16);
  std::iota(q.b.begin(), q.b.end(), 100.0F);
  LoraFactors up = {.weight = "up.weight", .rank = 2, .in_features = 4, .out_features = 6};
  up.a.assign(8, 0.5F);
  up.b.assign(12, 0.25F);
  StringSink sink;
  ASSERT_TRUE(
      WriteGgufLora(OneLayer(), {{"general.name", std::string("n")}}, GgufFloat::kF32, 2, {q, up}, sink)
          .ok());
  const auto gguf = Gguf::Parse(sink.text, "adapter");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->GetString("general.type").value(), "adapter");
  EXPECT_EQ(gguf->GetString("adapter.type").value(), "lora");
  EXPECT_EQ(gguf->GetDouble("adapter.lora.alpha").value(), 2.0);
  std::vector<float> b(16);
  ASSERT_TRUE(Dequantize(0, gguf->FindTensor("blk.0.attn_q.weight.lora_b")->bytes, absl::MakeSpan(b)).ok());
  // Heads of 4 rows: 0 2 1 3 of each, as llama.cpp interleaves the two halves.
  EXPECT_THAT(b, ElementsAre(100, 101, 104, 105, 102, 103, 106, 107, 108, 109, 112, 113, 110, 111, 114, 115));
  const auto back = ReadGgufLora(*gguf, OneLayer());
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[0].weight, "q.weight");
  EXPECT_EQ((*back)[0].a, q.a);
  EXPECT_EQ((*back)[0].b, q.b);
  EXPECT_EQ((*back)[1].b, up.b);
}

TEST(GgufLoraTest, RefusesALayerWithoutAName) {
  StringSink sink;
  const LoraFactors other = {
      .weight = "gate.weight", .rank = 1, .in_features = 1, .out_features = 1, .a = {1}, .b = {1}};
  EXPECT_THAT(std::string(WriteGgufLora(OneLayer(), {}, GgufFloat::kF32, 1, {other}, sink).message()),
              HasSubstr("the adapted layer \"gate.weight\" has no name in GGUF files of llama models"));
}

TEST(GgufLoraTest, RefusesFilesThatAreNoAdapterOfThisBase) {
  const auto with = [](const std::string& architecture, const std::string& tensor) {
    GgufBuilder b;
    b.String("general.type", "adapter")
        .String("general.architecture", architecture)
        .String("adapter.type", "lora");
    b.Float("adapter.lora.alpha", 2).Floats(tensor, {2, 4}, std::vector<float>(8));
    return b.Build();
  };
  const auto error = [](const std::string& file) {
    const auto gguf = Gguf::Parse(file, "f");
    EXPECT_TRUE(gguf.ok()) << gguf.status();
    return std::string(ReadGgufLora(*gguf, OneLayer()).status().message());
  };
  EXPECT_THAT(error(with("qwen2", "blk.0.ffn_up.weight.lora_a")), HasSubstr("is \"qwen2\", not \"llama\""));
  EXPECT_THAT(error(with("llama", "blk.7.ffn_up.weight.lora_a")), HasSubstr("fits no layer of the base"));
  EXPECT_THAT(error(with("llama", "blk.0.ffn_up.weight.lora_a")),
              HasSubstr("has no tensor \"blk.0.ffn_up.weight.lora_b\""));
  EXPECT_THAT(error(with("llama", "blk.0.ffn_up.weight")), HasSubstr("no factors of an adapter"));
}

}  // namespace
}  // namespace vernier::storage
