#include <algorithm>
#include <memory>
#include <utility>

#include "adapters/lora.h"
#include "worker/models/torch.h"

namespace vernier::adapters {

std::unique_ptr<Lora> AtOneRank(const Lora& lora) {
  const at::NoGradGuard no_grad;
  Lora::Options options;
  int64_t rank = 0;
  for (const Lora::Shape& shape : lora.options().shapes) rank = std::max(rank, shape.rank);
  for (const Lora::Shape& shape : lora.options().shapes) {
    options.shapes.push_back(shape.rank > 0 ? Lora::Shape{rank, static_cast<double>(rank)} : Lora::Shape{});
  }
  auto same = std::make_unique<Lora>(lora.model(), std::move(options));
  for (const models::LinearSite& site : lora.model().linear_sites()) {
    const Lora::Factors& from = lora.factors(site);
    if (!from.a_RI.defined()) continue;
    at::Tensor a_RI = same->factors(site).a_RI, b_OR = same->factors(site).b_OR;
    const int64_t used = from.a_RI.size(0);
    a_RI.zero_().narrow(0, 0, used).copy_(from.a_RI);
    b_OR.zero_().narrow(1, 0, used).copy_(from.b_OR * from.scale);
  }
  return same;
}

}  // namespace vernier::adapters
