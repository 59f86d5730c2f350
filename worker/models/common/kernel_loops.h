// The loops of kernels.h, over tokens [begin, end), for one instruction set: kernels_<set>.cc names it by
// VN_INSTRUCTION_SET, is compiled for it and includes this. Nothing here may call a function of another
// header that is not a built-in: the linker would be free to take its copy that only newer processors run.
// Vectors are the compiler's: 16 numbers, in as many registers as the instruction set needs.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "worker/models/common/kernels.h"

namespace vernier::models::kernels {
namespace VN_INSTRUCTION_SET {
namespace {

using Floats = float __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(32)));
constexpr int64_t kLanes = 16;

#define VN_INLINE inline __attribute__((always_inline))

VN_INLINE Floats Load(const float* p) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

VN_INLINE Floats Load(const c10::BFloat16* p) {
  Halves halves;
  __builtin_memcpy(&halves, p, sizeof(halves));
  return reinterpret_cast<Floats>(__builtin_convertvector(halves, Words) << 16);
}

VN_INLINE void Store(float* p, Floats v) { __builtin_memcpy(p, &v, sizeof(v)); }

// To the nearest, ties to even; what is not a number stays one.
VN_INLINE void Store(c10::BFloat16* p, Floats v) {
  const Words bits = reinterpret_cast<Words>(v);
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words kept = v == v ? rounded : (bits >> 16) | 0x40;
  const Halves halves = __builtin_convertvector(kept, Halves);
  __builtin_memcpy(p, &halves, sizeof(halves));
}

VN_INLINE float Number(float x) { return x; }
VN_INLINE float Number(c10::BFloat16 x) { return __builtin_bit_cast(float, uint32_t{x.x} << 16); }

// The first `count` numbers, zeros behind them.
template <typename T>
VN_INLINE Floats LoadSome(const T* p, int64_t count) {
  Floats v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = Number(p[i]);
  return v;
}

template <typename T>
VN_INLINE void StoreSome(T* p, Floats v, int64_t count) {
  alignas(64) char bytes[kLanes * sizeof(T)];
  T* const padded = reinterpret_cast<T*>(bytes);
  Store(padded, v);
  __builtin_memcpy(p, padded, count * sizeof(T));
}

// The sum of the lanes, always in this order.
VN_INLINE float Sum(Floats v) {
  for (int64_t step = kLanes / 2; step > 0; step /= 2) {
    for (int64_t lane = 0; lane < step; ++lane) v[lane] += v[lane + step];
  }
  return v[0];
}

// Of `count` numbers; -infinity for none.
template <typename T>
VN_INLINE float Greatest(const T* p, int64_t count) {
  float greatest = -__builtin_inff();
  Floats best = Floats{} + greatest;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats v = Load(p + i);
    best = v > best ? v : best;
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) greatest = best[lane] > greatest ? best[lane] : greatest;
  for (; i < count; ++i) greatest = Number(p[i]) > greatest ? Number(p[i]) : greatest;
  return greatest;
}

// Calls body(load, store) for every 16 numbers of a row and for what is left over; load(p) and store(p, v)
// touch the numbers at p + i.
template <typename Body>
VN_INLINE void ForVectors(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    body(
        [i](const auto* p) __attribute__((always_inline)) { return Load(p + i); },
        [i](auto* p, Floats v) __attribute__((always_inline)) { Store(p + i, v); });
  }
  if (i == width) return;
  body(
      [=](const auto* p) __attribute__((always_inline)) { return LoadSome(p + i, width - i); }, [=
  ](auto* p, Floats v) __attribute__((always_inline)) { StoreSome(p + i, v, width - i); });
}

// e^x to two units in the last place, within the range of normal numbers; what is not a number stays none (it
// is neither greater nor less).
VN_INLINE Floats Exp(Floats x) {
  x = x > 88.0f ? Floats{} + 88.0f : x;
  x = x < -87.0f ? Floats{} - 87.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers
  const Floats n = (x * 1.44269504f + kRound) - kRound;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  using Ints = int32_t __attribute__((vector_size(64)));
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * reinterpret_cast<Floats>(exponent);
}

VN_INLINE Floats Sigmoid(Floats x) { return 1.0f / (1.0f + Exp(-x)); }

template <typename T>
void AddRmsNorm(const RmsNormShape& shape, const T* x_TD, const T* delta_TD, const float* weight_D, T* sum_TD,
                T* y_TD, float* rstd_T, int64_t begin, int64_t end) {
  const int64_t width = shape.width;
  for (int64_t t = begin; t < end; ++t) {
    const T* x = x_TD + t * width;
    Floats squares = {};
    if (delta_TD != nullptr) {
      const T* const delta = delta_TD + t * width;
      T* const sum = sum_TD + t * width;
      ForVectors(
          width, [&](const auto& load, const auto& store)
                     __attribute__((always_inline)) { store(sum, load(x) + load(delta)); });
      x = sum;
    }
    ForVectors(
        width, [&](const auto& load, const auto&) __attribute__((always_inline)) {
          const Floats v = load(x);
          squares += v * v;
        });
    const float rstd = 1.0f / __builtin_sqrtf(Sum(squares) / float(width) + float(shape.epsilon));
    T* const y = y_TD + t * width;
    ForVectors(
        width, [&](const auto& load, const auto& store)
                   __attribute__((always_inline)) { store(y, load(x) * rstd * load(weight_D)); });
    if (rstd_T != nullptr) rstd_T[t] = rstd;
  }
}

template <typename T>
void RmsNormBackwardInput(const RmsNormShape& shape, const T* grad_y_TD, const T* grad_sum_TD, const T* x_TD,
                          const float* weight_D, const float* rstd_T, T* grad_x_TD, int64_t begin,
                          int64_t end) {
  const int64_t width = shape.width;
  for (int64_t t = begin; t < end; ++t) {
    const T* const grad_y = grad_y_TD + t * width;
    const T* const x = x_TD + t * width;
    T* const grad_x = grad_x_TD + t * width;
    Floats dots = {};
    ForVectors(
        width, [&](const auto& load, const auto&)
                   __attribute__((always_inline)) { dots += load(grad_y) * load(weight_D) * load(x); });
    const float rstd = rstd_T[t];
    const float pull = Sum(dots) * rstd * rstd / float(width);
    if (grad_sum_TD == nullptr) {
      ForVectors(
          width, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
            store(grad_x, rstd * (load(grad_y) * load(weight_D) - load(x) * pull));
          });
      continue;
    }
    const T* const grad_sum = grad_sum_TD + t * width;
    ForVectors(
        width, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
          store(grad_x, load(grad_sum) + rstd * (load(grad_y) * load(weight_D) - load(x) * pull));
        });
  }
}

// Adds tokens [begin, end) to `sum_D`.
template <typename T>
void RmsNormBackwardWeight(int64_t width, const T* grad_y_TD, const T* x_TD, const float* rstd_T,
                           float* sum_D, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const T* const grad_y = grad_y_TD + t * width;
    const T* const x = x_TD + t * width;
    const float rstd = rstd_T[t];
    ForVectors(
        width, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
          store(sum_D, load(sum_D) + load(grad_y) * load(x) * rstd);
        });
  }
}

template <typename T>
void Rotate(const RotateShape& shape, const T* x_THC, const float* cos_Th, const float* sin_Th, T* y_THC,
            int64_t begin, int64_t end) {
  const int64_t half = shape.half;
  for (int64_t t = begin; t < end; ++t) {
    const float* const cos = cos_Th + t * half;
    const float* const sin = sin_Th + t * half;
    for (int64_t head = 0; head < shape.num_heads; ++head) {
      const T* const x = x_THC + t * shape.token_stride + head * shape.head_stride;
      T* const y = y_THC + (t * shape.num_heads + head) * shape.head_dim;
      ForVectors(
          half, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
            const Floats a = load(x), b = load(x + half);
            const Floats c = load(cos), turn = shape.direction * load(sin);
            store(y, a * c - b * turn);
            store(y + half, b * c + a * turn);
          });
      for (int64_t i = 2 * half; i < shape.head_dim; ++i) y[i] = x[i];
    }
  }
}

template <typename T>
void SiluGate(const GateShape& shape, const T* gate_TF, const T* up_TF, T* y_TF, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const T* const gate = gate_TF + t * shape.gate_stride;
    const T* const up = up_TF + t * shape.up_stride;
    T* const y = y_TF + t * shape.width;
    ForVectors(
        shape.width, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
          const Floats g = load(gate);
          store(y, g * Sigmoid(g) * load(up));
        });
  }
}

template <typename T>
void SiluGateBackward(const GateShape& shape, const T* grad_y_TF, const T* gate_TF, const T* up_TF,
                      T* grad_gate_TF, T* grad_up_TF, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const T* const grad_y = grad_y_TF + t * shape.width;
    const T* const gate = gate_TF + t * shape.gate_stride;
    const T* const up = up_TF + t * shape.up_stride;
    T* const grad_gate = grad_gate_TF + t * shape.width;
    T* const grad_up = grad_up_TF + t * shape.width;
    ForVectors(
        shape.width, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
          const Floats g = load(gate), grad = load(grad_y);
          const Floats s = Sigmoid(g);
          store(grad_up, grad * g * s);
          store(grad_gate, grad * load(up) * s * (1.0f + g * (1.0f - s)));
        });
  }
}

// By a polynomial near 0, where the quotient would lose digits.
VN_INLINE Floats Tanh(Floats x) {
  const Floats square = x * x;
  Floats p = square * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  const Floats near = p * square * x + x;
  const Floats far = 1.0f - 2.0f / (Exp(x * 2.0f) + 1.0f);
  return square < 0.390625f ? near : far;
}

// Of logit l: its capped value and, in `slope`, d capped / d l.
VN_INLINE Floats Capped(Floats l, float cap, Floats& slope) {
  const Floats tanh = Tanh(l * (1.0f / cap));
  slope = 1.0f - tanh * tanh;
  return cap * tanh;
}

template <typename T>
void CrossEntropy(const CrossEntropyShape& shape, T* logits_NV, const int64_t* targets_N,
                  const float* weights_N, float* nll_N, bool* correct_N, int64_t begin, int64_t end) {
  const int64_t size = shape.vocabulary;
  const float cap = shape.cap;
  for (int64_t n = begin; n < end; ++n) {
    T* const logits = logits_NV + n * size;
    const float raw_target = Number(logits[targets_N[n]]);
    // Capping keeps their order: the greatest is found before it.
    const float greatest = Greatest(logits, size);
    // Ties go to the lower id.
    bool correct = raw_target == greatest;
    for (int64_t v = 0; correct && v < targets_N[n]; ++v) correct = Number(logits[v]) != greatest;
    correct_N[n] = correct;

    Floats slope = {};
    const auto capped = [&](Floats l) __attribute__((always_inline)) {
      return cap > 0.0f ? Capped(l, cap, slope) : l;
    };
    const float top = capped(Floats{} + greatest)[0];
    // In blocks, so that no sum of small numbers meets a large one in fp32.
    double total = 0.0;
    constexpr int64_t kBlock = 64 * kLanes;
    for (int64_t at = 0; at < size; at += kBlock) {
      Floats sums = {};
      const int64_t stop = at + kBlock < size ? at + kBlock : size;
      int64_t i = at;
      for (; i + kLanes <= stop; i += kLanes) sums += Exp(capped(Load(logits + i)) - top);
      total += Sum(sums);
      if (i < stop) {
        const Floats rest = Exp(capped(LoadSome(logits + i, stop - i)) - top);
        for (int64_t lane = 0; lane < stop - i; ++lane) total += rest[lane];
      }
    }
    const float log_total = float(__builtin_log(total));
    nll_N[n] = log_total + (top - capped(Floats{} + raw_target)[0]);
    if (!shape.want_gradient) continue;
    const float log_sum = top + log_total;
    const float weight = weights_N[n];
    ForVectors(
        size, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
          Floats gradient = weight * Exp(capped(load(logits)) - log_sum);
          if (cap > 0.0f) gradient *= slope;
          store(logits, gradient);
        });
    Floats target_slope = Floats{} + 1.0f;
    const Floats target =
        cap > 0.0f ? Capped(Floats{} + raw_target, cap, target_slope) : Floats{} + raw_target;
    StoreSome(logits + targets_N[n], weight * (Exp(target - log_sum) - 1.0f) * target_slope, 1);
  }
}

// Keys [first, end) that a row's query sees.
struct Seen {
  int64_t first, end;
};
VN_INLINE Seen SeenBy(const ScoreShape& shape, int64_t row) {
  const int64_t last = row % shape.queries + shape.diagonal;
  const int64_t end = last + 1 < shape.num_keys ? last + 1 : shape.num_keys;
  const int64_t first = shape.window == 0 || last < shape.window ? 0 : last - shape.window + 1;
  return {first, end};
}

template <typename T>
VN_INLINE void ZeroOutside(const Seen& seen, int64_t size, T* row) {
  __builtin_memset(row, 0, seen.first * sizeof(T));
  __builtin_memset(row + seen.end, 0, (size - seen.end) * sizeof(T));
}

template <typename T>
void AttentionWeights(const ScoreShape& shape, const float* scores_MK, T* p_MK, float* log_sum_M,
                      int64_t begin, int64_t end) {
  const float scale = shape.scale, cap = shape.cap;
  Floats slope = {};
  for (int64_t m = begin; m < end; ++m) {
    const Seen seen = SeenBy(shape, m);
    const int64_t count = seen.end - seen.first;
    const float* const scores = scores_MK + m * shape.num_keys + seen.first;
    T* const p = p_MK + m * shape.num_keys + seen.first;
    ZeroOutside(seen, shape.num_keys, p_MK + m * shape.num_keys);
    const float greatest = Greatest(scores, count);
    const auto score = [&](Floats raw) __attribute__((always_inline)) {
      return cap > 0.0f ? Capped(raw * scale, cap, slope) : raw * scale;
    };
    const float top = score(Floats{} + greatest)[0];
    Floats sums = {};
    int64_t j = 0;
    for (; j + kLanes <= count; j += kLanes) sums += Exp(score(Load(scores + j)) - top);
    float total = Sum(sums);
    if (j < count) {
      const Floats rest = Exp(score(LoadSome(scores + j, count - j)) - top);
      for (int64_t lane = 0; lane < count - j; ++lane) total += rest[lane];
    }
    const float log_sum = top + __builtin_logf(total);
    log_sum_M[m] = log_sum;
    ForVectors(
        count, [&](const auto& load, const auto& store)
                   __attribute__((always_inline)) { store(p, Exp(score(load(scores)) - log_sum)); });
  }
}

template <typename T>
void AttentionGradients(const ScoreShape& shape, const float* scores_MK, const float* grad_p_MK,
                        const T* out_MC, const T* grad_out_MC, const float* log_sum_M, T* p_MK,
                        T* grad_scores_MK, int64_t begin, int64_t end) {
  const float scale = shape.scale, cap = shape.cap;
  for (int64_t m = begin; m < end; ++m) {
    const T* const out = out_MC + m * shape.head_dim;
    const T* const grad_out = grad_out_MC + m * shape.head_dim;
    Floats dots = {};
    ForVectors(
        shape.head_dim, [&](const auto& load, const auto&)
                            __attribute__((always_inline)) { dots += load(out) * load(grad_out); });
    const float dot = Sum(dots);
    const float log_sum = log_sum_M[m];
    const Seen seen = SeenBy(shape, m);
    const int64_t row = m * shape.num_keys;
    ZeroOutside(seen, shape.num_keys, p_MK + row);
    ZeroOutside(seen, shape.num_keys, grad_scores_MK + row);
    const float* const scores = scores_MK + row + seen.first;
    const float* const grad_p = grad_p_MK + row + seen.first;
    T* const p = p_MK + row + seen.first;
    T* const grad_scores = grad_scores_MK + row + seen.first;
    ForVectors(
        seen.end - seen.first, [&](const auto& load, const auto& store) __attribute__((always_inline)) {
          Floats slope = Floats{} + 1.0f;
          const Floats scaled = load(scores) * scale;
          const Floats weight = Exp((cap > 0.0f ? Capped(scaled, cap, slope) : scaled) - log_sum);
          store(p, weight);
          store(grad_scores, weight * (load(grad_p) - dot) * slope * scale);
        });
  }
}

#undef VN_INLINE

}  // namespace

template <typename T>
Loops<T> MakeLoops() {
  return {AddRmsNorm<T>,        RmsNormBackwardInput<T>, RmsNormBackwardWeight<T>, Rotate<T>,
          SiluGate<T>,          SiluGateBackward<T>,     CrossEntropy<T>,          AttentionWeights<T>,
          AttentionGradients<T>};
}

}  // namespace VN_INSTRUCTION_SET
}  // namespace vernier::models::kernels
