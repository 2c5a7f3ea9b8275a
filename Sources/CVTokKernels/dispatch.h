#ifndef VTOK_DISPATCH_H
#define VTOK_DISPATCH_H
#include "CVTokKernels.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

// One body, three instruction sets, the best chosen at load time (an ifunc, so x86-64 ELF only). Not with the thread
// sanitizer: the choice runs before its runtime does, and clang lets it call that.
#if defined(__x86_64__) && defined(__ELF__) && !__has_feature(thread_sanitizer)
#define VTOK_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define VTOK_CLONES
#endif

#define VTOK_INLINE static inline __attribute__((always_inline))
#define VTOK_LANES 16  // one AVX-512 register, two AVX, four SSE or NEON: sums are kept in 16 lanes everywhere

typedef float vtok_lanes16 __attribute__((vector_size(64), aligned(4)));

// The sum of the lanes in a fixed tree: i and i + 8, then i and i + 4, ...
VTOK_INLINE float vtok_lane_sum(const float *s) {
  vtok_lanes16 v = *(const vtok_lanes16 *)s;
  v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  return (v[0] + v[2]) + (v[1] + v[3]);
}

// e^x for x in [-87, 88], relative error 2e-7: 2^n * p(r) with a degree-6 polynomial (Cephes expf). Branch-free, so
// that loops over it become vector code. Below -87 the result is e^-87, which no float32 sum of ours can feel.
VTOK_INLINE float vtok_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float t = x * 1.44269504088896341f + 12582912.0f;  // round to nearest integer by the 1.5 * 2^23 trick
  float n = t - 12582912.0f;
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  float y = p * (r * r) + r + 1.0f;
  union { float f; uint32_t u; } scale;
  scale.u = (uint32_t)((int32_t)n + 127) << 23;
  return y * scale.f;
}

// erf(x / sqrt(2)) as one odd rational function of z = x / sqrt(2) on [-4, 4], where erf has reached +-1 within float32:
// degree 13 over 8, one division, no branch (the minimax approximation that Eigen and XLA use; absolute error below 3e-7).
VTOK_INLINE float vtok_erf_scaled(float x) {
  float z = x * 0.70710678118654752f;
  z = z < -4.0f ? -4.0f : z;
  z = z > 4.0f ? 4.0f : z;
  float s = z * z;
  float p = -2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s + -2.10102402082508e-06f;
  p = p * s + -5.69250639462346e-05f;
  p = p * s + -7.34990630326855e-04f;
  p = p * s + -2.95459980854025e-03f;
  p = p * s + -1.60960333262415e-02f;
  float q = -1.45660718464996e-05f;
  q = q * s + -2.13374055278905e-04f;
  q = q * s + -1.68282697438203e-03f;
  q = q * s + -7.37332916720468e-03f;
  q = q * s + -1.42647390514189e-02f;
  return z * p / q;
}

#endif
