// Half and bfloat16. Integer arithmetic only, so that no CPU needs conversion instructions and every loop becomes
// vector code; exact for all values, subnormals, infinities and NaN included.
#include "dispatch.h"

VTOK_INLINE float bits_to_float(uint32_t u) {
  union { uint32_t u; float f; } v;
  v.u = u;
  return v.f;
}
VTOK_INLINE uint32_t float_to_bits(float f) {
  union { float f; uint32_t u; } v;
  v.f = f;
  return v.u;
}

VTOK_CLONES void vtok_widen_f16(const uint16_t *x, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    uint32_t h = x[i];
    uint32_t sign = (h & 0x8000u) << 16, rest = (h & 0x7fffu) << 13;
    // 2^112 moves the exponent bias from 15 to 127 and normalises subnormals on the way.
    uint32_t value = float_to_bits(bits_to_float(rest) * 0x1p112f);
    value = rest >= 0x0f800000u ? (rest | 0x7f800000u) : value;  // infinity and NaN
    out[i] = bits_to_float(value | sign);
  }
}

VTOK_CLONES void vtok_widen_bf16(const uint16_t *x, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) out[i] = bits_to_float((uint32_t)x[i] << 16);
}

VTOK_CLONES void vtok_narrow_f16(const float *x, size_t n, uint16_t *out) {
  for (size_t i = 0; i < n; i++) {
    uint32_t u = float_to_bits(x[i]);
    uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    // Adding 0.5 * 2^-1 aligns a subnormal result with the end of the mantissa; the hardware rounds to even.
    uint32_t tiny = float_to_bits(bits_to_float(a) + 0.5f) - 0x3f000000u;
    uint32_t normal = (a + 0xc8000fffu + ((a >> 13) & 1u)) >> 13;
    uint32_t h = a < 0x38800000u ? tiny : normal;
    h = a >= 0x47800000u ? 0x7c00u : h;
    h = a > 0x7f800000u ? 0x7e00u : h;
    out[i] = (uint16_t)(h | sign);
  }
}
