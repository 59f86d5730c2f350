// Models that the Python package `gguf` wrote (tests/golden/make/make_gguf_family_goldens.py) come out of
// import and export as they went in: the same tensors under the same names with the same values, and the same
// metadata.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "storage/gguf.h"
#include "storage/gguf_dequant.h"
#include "storage/gguf_export.h"
#include "storage/layout.h"
#include "storage/memory_store.h"
#include "storage/model_import.h"
#include "tests/testing/string_sink.h"
#include "worker/models/torch.h"
#include "worker/stages/export/gguf_facts.h"
#include "worker/stages/export/source.h"

namespace vernier::stages {
namespace {

std::vector<float> ValuesOf(const storage::GgufTensor& tensor) {
  std::vector<float> values(tensor.NumElements());
  EXPECT_TRUE(storage::Dequantize(tensor.type, tensor.bytes, absl::MakeSpan(values)).ok()) << tensor.name;
  return values;
}

class GgufExportGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GgufExportGoldenTest, WhatWasImportedIsExported) {
  const std::string path =
      absl::StrCat(VERNIER_SOURCE_DIR, "/tests/golden/worker_models/gguf_", GetParam(), "/model.gguf");
  storage::MemoryStore store;
  storage::ImportOptions options;
  // This test is about weights: what tokens mean is worker/data/text's business.
  options.tokenizer_from_gguf = [](const storage::Gguf&) { return std::string(R"({"version":"1.0"})"); };
  const auto imported = storage::ImportModel(path, store, "default", options);
  ASSERT_TRUE(imported.ok()) << imported.status();
  const auto base = LoadBaseModel(store, storage::ModelFolder("default", imported->digest), at::kFloat);
  ASSERT_TRUE(base.ok()) << base.status();
  const auto description = DescribeForGguf(*base);
  ASSERT_TRUE(description.ok()) << description.status();
  const auto tensors = MergedTensors::Open(*base, {});
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  StringSink sink;
  const absl::Status wrote = storage::WriteGgufModel(
      *description, {}, storage::GgufFloat::kF32,
      [&](const std::string& name, std::vector<float>& values) { return tensors->Values(name, values); },
      [](int64_t, int64_t) { return absl::OkStatus(); }, sink);
  ASSERT_TRUE(wrote.ok()) << wrote;

  const auto golden = storage::Gguf::Open(path);
  const auto written = storage::Gguf::Parse(sink.text, "written");
  ASSERT_TRUE(golden.ok() && written.ok()) << golden.status() << written.status();
  EXPECT_EQ(written->tensors().size(), golden->tensors().size());
  for (const storage::GgufTensor& want : golden->tensors()) {
    const storage::GgufTensor* got = written->FindTensor(want.name);
    ASSERT_NE(got, nullptr) << want.name;
    EXPECT_EQ(got->shape, want.shape) << want.name;
    // The norms of gemma lose a bit where 1 is taken off and added again, divisors of frequencies one to
    // pow().
    EXPECT_THAT(ValuesOf(*got), ::testing::Pointwise(::testing::FloatNear(1e-6F), ValuesOf(want)))
        << want.name;
  }
  const std::string architecture(golden->GetString("general.architecture").value());
  EXPECT_EQ(written->GetString("general.architecture").value(), architecture);
  for (const char* const field :
       {"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
        "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.layer_norm_rms_epsilon", "attention.sliding_window", "attn_logit_softcapping",
        "final_logit_softcapping", "rope.freq_base", "rope.freq_base_swa", "rope.dimension_count",
        "rope.scaling.factor", "rope.scaling.original_context_length"}) {
    const std::string key = absl::StrCat(architecture, ".", field);
    if (!golden->Has(key)) continue;
    ASSERT_TRUE(written->Has(key)) << key;
    EXPECT_EQ(written->GetDouble(key).value(), golden->GetDouble(key).value()) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GgufExportGoldenTest,
                         ::testing::Values("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::stages
