#include "worker/trainer/torch_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

#include "worker/models/torch.h"

namespace vernier::trainer {
namespace {

using ::testing::HasSubstr;

TEST(TorchCallTest, PassesResultsThrough) {
  EXPECT_EQ(*TorchCall("sum", []() -> absl::StatusOr<int> { return 3; }), 3);
  EXPECT_EQ(TorchCall("sum", [] { return absl::NotFoundError("x"); }).code(), absl::StatusCode::kNotFound);
}

TEST(TorchCallTest, MemoryThatCannotBeHadIsResourceExhausted) {
  const absl::Status status = TorchCall("step", [] {
    const at::Tensor too_large = at::empty({int64_t{1} << 55});
    return absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("step: out of memory; lower micro_batch_tokens"));
  EXPECT_EQ(TorchCall("step", []() -> absl::Status { throw std::bad_alloc(); }).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(TorchCallTest, AnyOtherExceptionIsInternal) {
  const absl::Status torch_error = TorchCall("step", [] {
    at::ones({2, 3}).matmul(at::ones({2, 3}));
    return absl::OkStatus();
  });
  EXPECT_EQ(torch_error.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(torch_error.message()), ::testing::StartsWith("step: "));
  EXPECT_EQ(TorchCall("step", []() -> absl::Status { throw std::runtime_error("odd"); }).message(),
            "step: odd");
}

}  // namespace
}  // namespace vernier::trainer
