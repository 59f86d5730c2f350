#include "worker/trainer/numeric_class.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::trainer {
namespace {

using ::testing::HasSubstr;

TEST(NumericClassTest, NamesEverythingThatDecidesTheBits) {
  const std::string text = CurrentNumericClass(at::kBFloat16, 2).ToString();
  for (const char* part : {"precision=bf16 ", "threads=2 ", "isa=", "device=cpu:", "torch=2.", "binary="}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(text, CurrentNumericClass(at::kBFloat16, 2).ToString());
}

TEST(NumericClassTest, DiffersByPrecisionAndThreads) {
  const std::string text = CurrentNumericClass(at::kFloat, 2).ToString();
  EXPECT_NE(text, CurrentNumericClass(at::kBFloat16, 2).ToString());
  EXPECT_NE(text, CurrentNumericClass(at::kFloat, 1).ToString());
}

TEST(ChoosePrecisionTest, AsksAreObeyedAndTheChoiceIsSaid) {
  EXPECT_EQ(ChoosePrecision(v1::PRECISION_FP32).dtype, at::kFloat);
  EXPECT_EQ(ChoosePrecision(v1::PRECISION_BF16).dtype, at::kBFloat16);
  for (const v1::Precision precision : {v1::PRECISION_UNSPECIFIED, v1::PRECISION_AUTO}) {
    const PrecisionChoice choice = ChoosePrecision(precision);
    EXPECT_EQ(choice.dtype, CpuComputesBf16() ? at::kBFloat16 : at::kFloat);
    EXPECT_THAT(choice.note, HasSubstr(CpuComputesBf16() ? "bf16 chosen" : "fp32 chosen"));
  }
}

}  // namespace
}  // namespace vernier::trainer
