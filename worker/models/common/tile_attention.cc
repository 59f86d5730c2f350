#include "worker/models/common/tile_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "worker/models/common/attention_amx.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

// Heads that share keys leave their gradients apart, in fp32, until they are added: so many bytes at a time.
constexpr int64_t kMaxPartBytes = int64_t{32} << 20;
constexpr int64_t kAlign = 64;

// The heads of a group over one row.
struct Part {
  int64_t begin = 0, length = 0, group = 0;
  int64_t offset = 0;  // of its first head in the buffers: [heads, length, C] each
};

int64_t OffsetOf(const at::Tensor& x, int64_t token, int64_t head) {
  return token * x.stride(0) + head * x.stride(1);
}
amx::HeadRows HeadOf(const at::Tensor& x, int64_t token, int64_t head) {
  const auto* const data = reinterpret_cast<const amx::Half*>(x.const_data_ptr<at::BFloat16>());
  return {data + OffsetOf(x, token, head), x.stride(0)};
}

// Calls body(i, thread) for every i below `count`; a thread that is done takes the next.
template <typename Body>
void ForEach(int64_t count, const Body& body) {
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread) {
      for (int64_t i = next++; i < count; i = next++) body(i, thread);
    }
  });
}

class Backward {
 public:
  Backward(const PackedRows& rows, const AttentionRule& rule)
      : rows_(rows),
        rule_(rule),
        num_groups_(rows.k_TGC.size(1)),
        heads_per_group_(rows.q_THC.size(1) / num_groups_),
        head_dim_(rows.q_THC.size(2)) {
    for (at::Tensor* grad : {&grads_.q_THC, &grads_.k_TGC, &grads_.v_TGC}) {
      const at::Tensor& like = grad == &grads_.q_THC ? rows.q_THC : rows.k_TGC;
      *grad = at::empty(like.sizes(), like.options());
    }
  }

  PackedGradients Run() {
    const int64_t max_numbers = kMaxPartBytes / static_cast<int64_t>(2 * sizeof(float));
    std::vector<Part> parts;
    int64_t numbers = 0;
    for (size_t row = 0; row + 1 < rows_.row_offsets.size(); ++row) {
      const int64_t begin = rows_.row_offsets[row], length = rows_.row_offsets[row + 1] - begin;
      for (int64_t group = 0; length > 0 && group < num_groups_; ++group) {
        const int64_t size = heads_per_group_ * length * head_dim_;
        if (!parts.empty() && numbers + size > max_numbers) {
          RunParts(parts, numbers);
          parts.clear();
          numbers = 0;
        }
        parts.push_back({begin, length, group, numbers});
        numbers += size;
      }
    }
    if (!parts.empty()) RunParts(parts, numbers);
    return grads_;
  }

 private:
  void RunParts(const std::vector<Part>& parts, int64_t numbers) {
    int64_t longest = 0;
    for (const Part& part : parts) longest = std::max(longest, part.length);
    const int64_t scratch_bytes =
        (amx::ScratchBytes(longest, head_dim_, rule_.window) + kAlign - 1) / kAlign * kAlign;
    const at::Tensor scratch =
        at::empty({at::get_num_threads() * scratch_bytes + kAlign}, at::TensorOptions().dtype(at::kByte));
    auto* memory = scratch.mutable_data_ptr<uint8_t>();
    memory += (kAlign - reinterpret_cast<uintptr_t>(memory) % kAlign) % kAlign;
    at::Tensor by_head = at::empty({2, numbers}, at::TensorOptions().dtype(at::kFloat));
    auto* const k_by_head = by_head.mutable_data_ptr<float>();
    float* const v_by_head = k_by_head + numbers;
    ForEach(static_cast<int64_t>(parts.size()) * heads_per_group_, [&](int64_t i, int64_t thread) {
      const Part& part = parts[i / heads_per_group_];
      const int64_t offset = part.offset + i % heads_per_group_ * part.length * head_dim_;
      RunHead(part, i % heads_per_group_, memory + thread * scratch_bytes, k_by_head + offset,
              v_by_head + offset);
    });
    ForEach(static_cast<int64_t>(parts.size()), [&](int64_t i, int64_t) {
      const Part& part = parts[i];
      AddHeads(part, k_by_head + part.offset, grads_.k_TGC);
      AddHeads(part, v_by_head + part.offset, grads_.v_TGC);
    });
  }

  void RunHead(const Part& part, int64_t head_of_group, void* scratch, float* grad_k, float* grad_v) {
    const int64_t head = part.group * heads_per_group_ + head_of_group;
    const amx::HeadAttention attention = {.q = HeadOf(rows_.q_THC, part.begin, head),
                                          .k = HeadOf(rows_.k_TGC, part.begin, part.group),
                                          .v = HeadOf(rows_.v_TGC, part.begin, part.group),
                                          .out = HeadOf(rows_.out_THC, part.begin, head),
                                          .grad = HeadOf(rows_.grad_THC, part.begin, head),
                                          .log_sum = rows_.log_sum_TH.const_data_ptr<float>() +
                                                     part.begin * rows_.log_sum_TH.stride(0) +
                                                     head * rows_.log_sum_TH.stride(1),
                                          .log_sum_stride = rows_.log_sum_TH.stride(0),
                                          .num_tokens = part.length,
                                          .head_dim = head_dim_,
                                          .window = rule_.window,
                                          .scale = static_cast<float>(rule_.scale)};
    auto* const grad_q = reinterpret_cast<amx::Half*>(grads_.q_THC.mutable_data_ptr<at::BFloat16>());
    amx::Backward(attention, scratch, grad_q + OffsetOf(grads_.q_THC, part.begin, head),
                  grads_.q_THC.stride(0), grad_k, grad_v);
  }

  // The group's heads added, always in their order, to `grad` [T, G, C].
  void AddHeads(const Part& part, float* by_head, at::Tensor& grad) const {
    const int64_t size = part.length * head_dim_;
    for (int64_t head = 1; head < heads_per_group_; ++head) {
      const float* const next = by_head + head * size;
      for (int64_t i = 0; i < size; ++i) by_head[i] += next[i];
    }
    at::BFloat16* const to = grad.mutable_data_ptr<at::BFloat16>() + part.group * grad.stride(1);
    for (int64_t t = 0; t < part.length; ++t) {
      for (int64_t i = 0; i < head_dim_; ++i) {
        to[(part.begin + t) * grad.stride(0) + i] = static_cast<at::BFloat16>(by_head[t * head_dim_ + i]);
      }
    }
  }

  const PackedRows& rows_;
  const AttentionRule& rule_;
  const int64_t num_groups_, heads_per_group_, head_dim_;
  PackedGradients grads_;
};

}  // namespace

bool TakesTiles(const at::Tensor& q_THC, const AttentionRule& rule) {
  return q_THC.scalar_type() == at::kBFloat16 && rule.cap == 0.0 && q_THC.size(2) % 32 == 0 &&
         amx::Available();
}

PackedGradients TileAttentionBackward(const PackedRows& rows, const AttentionRule& rule) {
  return Backward(rows, rule).Run();
}

}  // namespace vernier::models
