#include "adapters/thin_products.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "adapters/thin_products_amx.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

// Neither tokens nor ranks are whole tiles.
constexpr int64_t kTokens = 77;
constexpr int64_t kIn = 96, kOut = 160;
const std::vector<int64_t> kRanks = {8, 20};

at::Tensor Waves(std::vector<int64_t> shape, double step) {
  int64_t size = 1;
  for (const int64_t n : shape) size *= n;
  return at::arange(size, at::TensorOptions().dtype(at::kFloat)).mul(step).sin().view(shape);
}

class ThinProductsTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  // Values that the dtype holds exactly, so that only sums are rounded.
  at::Tensor Make(std::vector<int64_t> shape, double step) const {
    return Waves(std::move(shape), step).to(GetParam());
  }
  at::Tensor Master(std::vector<int64_t> shape, double step) const {
    return Make(std::move(shape), step).to(at::kFloat);
  }
  void ExpectNear(const at::Tensor& got, const at::Tensor& want) const {
    const double tolerance = GetParam() == at::kFloat ? 1e-5 : 0.01;
    EXPECT_LT((got.to(at::kFloat) - want).abs().max().item<double>(),
              tolerance * (1.0 + want.abs().max().item<double>()));
  }

  const at::Tensor x_ = Make({kTokens, kIn}, 0.7), y_ = Make({kTokens, kOut}, 1.1);
  const std::vector<at::Tensor> a_ = {Master({8, kIn}, 1.3), Master({20, kIn}, 0.9)};
  const at::Tensor b_ = Master({kOut, 20}, 0.3);
  const ThinProducts products_{GetParam(), kRanks, {kIn, kOut}};
};

TEST_P(ThinProductsTest, AgreeWithPlainProducts) {
  at::Tensor h = products_.Empty(kTokens);
  products_.ProjectAll(x_, {{a_[0], 2.0}, {a_[1], 0.5}}, h);
  const at::Tensor x = x_.to(at::kFloat), y = y_.to(at::kFloat);
  const at::Tensor want = at::mm(x, a_[1].t()) * 0.5;
  const int64_t first = h.size(1) > 28 ? 16 : 8;  // of the second term, after whole tiles or none
  ExpectNear(h.narrow(1, 0, 8), at::mm(x, a_[0].t()) * 2.0);
  ExpectNear(h.narrow(1, first, 20), want);

  const at::Tensor h1 = h.narrow(1, first, 20).to(at::kFloat), h0 = h.narrow(1, 0, 8).to(at::kFloat);
  at::Tensor sum = y_.clone();
  products_.AddTurned(1, h, b_, sum);
  ExpectNear(sum, y + at::mm(h1, b_.t()));
  sum = x_.clone();
  products_.AddAll(h, a_, sum);
  ExpectNear(sum, x + at::mm(h0, a_[0]) + at::mm(h1, a_[1]));
  const std::vector<at::Tensor> gradients = products_.GradientsOfAll(h, x_);
  ExpectNear(gradients[0], at::mm(h0.t(), x));
  ExpectNear(gradients[1], at::mm(h1.t(), x));
  ExpectNear(products_.GradientOfTurned(1, h, y_), at::mm(y.t(), h1));
  products_.ProjectTurned(1, y_, {b_, 4.0}, h);
  ExpectNear(h.narrow(1, first, 20), at::mm(y, b_) * 4.0);
}

TEST_P(ThinProductsTest, TheNumberOfThreadsChangesNoBitOfTiles) {
  if (GetParam() != at::kBFloat16 || !amx::Available()) GTEST_SKIP() << "this processor has no AMX";
  const at::Tensor x = Make({500, kIn}, 0.7);
  std::vector<at::Tensor> projected, gradients;
  const int threads = at::get_num_threads();
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    at::Tensor h = products_.Empty(500);
    products_.ProjectAll(x, {{a_[0], 2.0}, {a_[1], 0.5}}, h);
    projected.push_back(h.contiguous());
    gradients.push_back(products_.GradientsOfAll(h, x)[1].contiguous());
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(projected[0], projected[1]));
  EXPECT_TRUE(at::equal(gradients[0], gradients[1]));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ThinProductsTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(info.index == 0 ? "Fp32" : "Bf16"); });

}  // namespace
}  // namespace vernier::adapters
