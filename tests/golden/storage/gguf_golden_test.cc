// GGUF files as the Python packages read them, bit by bit. Numbers: tests/golden/make/make_gguf_goldens.py.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "storage/folder_store.h"
#include "storage/gguf_dequant.h"
#include "storage/gguf_quantize.h"
#include "storage/layout.h"
#include "storage/memory_store.h"
#include "storage/model_import.h"
#include "storage/safetensors.h"
#include "tests/testing/cached_inputs.h"
#include "tests/testing/temp_folder.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

std::string Golden(absl::string_view name) {
  return absl::StrCat(VERNIER_SOURCE_DIR, "/tests/golden/storage/", name);
}

// These tests look at weights only.
ImportOptions WithoutTokenizer() {
  ImportOptions options;
  options.tokenizer_from_gguf = [](const Gguf&) -> absl::StatusOr<std::string> { return std::string("{}"); };
  return options;
}

class DequantizeGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(DequantizeGoldenTest, BlocksHaveTheValuesOfThePythonPackage) {
  const auto file = SafetensorsFile::Open(Golden("ggml_blocks.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto bytes = file->Find(absl::StrCat(GetParam(), "/bytes"));
  const auto values = file->Find(absl::StrCat(GetParam(), "/values"));
  ASSERT_TRUE(bytes.ok() && values.ok());
  uint32_t type = 0;
  while (FindGgmlType(type) == nullptr || FindGgmlType(type)->name != GetParam()) ASSERT_LT(++type, 100U);
  std::vector<float> got(values->NumElements());
  ASSERT_TRUE(Dequantize(type, bytes->bytes, absl::MakeSpan(got)).ok());
  std::vector<float> want(got.size());
  std::memcpy(want.data(), values->bytes.data(), values->bytes.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << "value " << i << ": " << got[i] << ", expected " << want[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DequantizeGoldenTest,
                         testing::Values("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K",
                                         "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
                         [](const auto& info) { return info.param; });

class QuantizeGoldenTest : public testing::TestWithParam<std::pair<const char*, uint32_t>> {};

TEST_P(QuantizeGoldenTest, BlocksAreThoseOfTheReferenceQuantiser) {
  const auto [name, type] = GetParam();
  const auto file = SafetensorsFile::Open(Golden("ggml_blocks.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto values = file->Find(absl::StrCat(name, "/from"));
  const auto want = file->Find(absl::StrCat(name, "/quantized"));
  ASSERT_TRUE(values.ok() && want.ok());
  std::vector<float> from(values->NumElements());
  std::memcpy(from.data(), values->bytes.data(), values->bytes.size());
  std::string got;
  const absl::Status status = Quantize(type, from, &got);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(got.size(), want->bytes.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], want->bytes[i]) << "byte " << i;
}

INSTANTIATE_TEST_SUITE_P(Types, QuantizeGoldenTest,
                         testing::Values(std::make_pair("F16", 1U), std::make_pair("Q8_0", 8U)),
                         [](const auto& info) { return std::string(info.param.first); });

class TinyGgufGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(TinyGgufGoldenTest, TheImportIsTheModelThatHuggingFaceSaved) {
  MemoryStore store;
  const auto model =
      ImportModel(Golden(absl::StrCat("tiny_", GetParam(), ".gguf")), store, "t", WithoutTokenizer());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->architecture, GetParam());
  const auto got = SafetensorsFile::Open(store, ModelFolder("t", model->digest) + "/model.safetensors");
  const auto want = SafetensorsFile::Open(Golden(absl::StrCat("tiny_", GetParam(), ".safetensors")));
  ASSERT_TRUE(got.ok() && want.ok()) << got.status() << want.status();
  EXPECT_EQ(got->tensors().size(), want->tensors().size());
  for (const TensorView& tensor : want->tensors()) {
    const auto ours = got->Find(tensor.name);
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_EQ(ours->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(ours->dtype, tensor.dtype) << tensor.name;
    EXPECT_TRUE(ours->bytes == tensor.bytes) << tensor.name << " has other values";
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, TinyGgufGoldenTest, testing::Values("llama", "gpt2"),
                         [](const auto& info) { return info.param; });

TEST(SmolLm2GoldenTest, ItsImportIsWhatTransformersLoads) {
  const std::string source = CachedInput(kSmolLm2Gguf);
  if (source.empty())
    GTEST_SKIP() << kSmolLm2Gguf << " is not in " << CacheFolder() << "; tools/setup fetches it";
  const Json golden = Json::parse(*ReadFile(Golden("smollm2.json")));
  TempFolder folder;
  const auto store = FolderStore::Open({.root = folder.path()});
  ASSERT_TRUE(store.ok()) << store.status();
  const auto model = ImportModel(source, **store, "t", WithoutTokenizer());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->num_parameters, golden["num_parameters"]);
  EXPECT_TRUE((*store)->Head(ModelSourceKey("t", golden["source_sha256"].get<std::string>())).ok())
      << "the cached file is another one than the numbers were made from";
  const std::string key = ModelFolder("t", model->digest);
  const Json config = Json::parse(*(*store)->Get(key + "/config.json"));
  for (const auto& [field, value] : golden["config"].items()) EXPECT_EQ(config[field], value) << field;
  const auto file = SafetensorsFile::Open(**store, key + "/model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 272);
  for (const auto& [name, want] : golden["tensors"].items()) {
    const auto tensor = file->Find(name);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(Json(tensor->shape), want["shape"]) << name;
    float first[3];
    std::memcpy(first, tensor->bytes.data(), sizeof(first));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(first[i], want["first"][i].get<float>()) << name << " " << i;
    EXPECT_EQ(Sha256Hex(tensor->bytes), want["sha256"]) << name;
  }
}

}  // namespace
}  // namespace vernier::storage
