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
  const auto too_large = [] {
    const at::Tensor tensor = at::empty({int64_t{1} << 55});
    return absl::OkStatus();
  };
  const absl::Status status = TorchCall("step", too_large, kLowerMicroBatches);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(HasSubstr("step: out of memory, 131072.0 TiB more were asked for; lower "
                                         "micro_batch_tokens or data.max_tokens"),
                               ::testing::Not(HasSubstr("alloc_cpu"))));
  // Elsewhere no setting of a training step helps.
  EXPECT_EQ(TorchCall("reloading", too_large).message(),
            "reloading: out of memory, 131072.0 TiB more were asked for; use a machine with more memory");
  EXPECT_EQ(TorchCall("step", []() -> absl::Status { throw std::bad_alloc(); }).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(TorchCallTest, OutOfMemoryIsOneSentenceWithoutTheAllocatorsWords) {
  const auto text = [](absl::string_view message) {
    return std::string(OutOfMemory("step", message, kLowerMicroBatches).message());
  };
  EXPECT_EQ(
      text("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
           "tried to allocate 4194304 bytes. Error code 12 (Cannot allocate memory)"),
      "step: out of memory, 4.0 MiB more were asked for; lower micro_batch_tokens or data.max_tokens");
  EXPECT_EQ(text("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB"),
            "step: out of memory, 2.5 GiB more were asked for; lower micro_batch_tokens or data.max_tokens");
  for (const char* const odd :
       {"", "out of memory", "tried to allocate", "tried to allocate much", "tried to allocate 3"})
    EXPECT_EQ(text(odd), "step: out of memory; lower micro_batch_tokens or data.max_tokens") << odd;
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
