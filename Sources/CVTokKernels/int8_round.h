// Rounding of a row to 8 bits: one rule for products and for caches.
#pragma once
#include "dispatch.h"
#include <math.h>
#include <string.h>

// The scale of a row: its largest magnitude / 127, 1 for zeros, NaN where it holds something that is no number.
VTOK_INLINE float scale_of(uint32_t largest) {
  float value;
  memcpy(&value, &largest, 4);
  float scale = value / 127.0f;
  scale = scale > 0 ? scale : 1.0f;
  return largest >= 0x7f800000 ? NAN : scale;
}

VTOK_INLINE uint32_t float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

VTOK_INLINE float row_scale(const float *x, size_t n) {
  uint32_t largest = 0;  // magnitudes of floats are ordered as their bits are
  for (size_t k = 0; k < n; k++) {
    uint32_t bits = float_bits(x[k]) & 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return scale_of(largest);
}

// Round half to even: adding 1.5 * 2^23 leaves no bits behind the point.
VTOK_INLINE int rounded(float x, float scale) {
#pragma clang fp contract(off)
  float t = x / scale + 12582912.0f;
  int32_t bits;
  memcpy(&bits, &t, 4);
  int value = bits - 0x4b400000;
  value = value > 127 ? 127 : value;
  return value < -127 ? -127 : value;
}
