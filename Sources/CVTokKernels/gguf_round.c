// Rows of activations rounded to 8 bits as llama.cpp rounds them on x86-64: Q8_0 and Q8_1 in blocks of 32, Q8_K in blocks of 256; and
// weights to 4 bits.
#include "gguf.h"

VTOK_INLINE uint32_t magnitude(float x) {  // magnitudes of floats are ordered as their bits are
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits & 0x7fffffffu;
}

// Round half to even: adding 1.5 * 2^23 leaves no bits behind the point. What is no number must not trap.
VTOK_INLINE int rounded(float x, float factor) {
#pragma clang fp contract(off)
  float t = x * factor + 12582912.0f;
  int32_t bits;
  memcpy(&bits, &t, 4);
  int value = (int)((uint32_t)bits - 0x4b400000u);
  value = value > 127 ? 127 : value;
  return value < -127 ? -127 : value;
}

// q = x * factor rounded, and the sums of 16 neighbours.
VTOK_INLINE void round_block(const float *x, size_t n, float factor, int8_t *q, int16_t *sums) {
  for (size_t k = 0; k < n; k++) q[k] = (int8_t)rounded(x[k], factor);
  for (size_t g = 0; g < n / VTOK_GGUF_GROUP; g++) {
    int sum = 0;
    for (size_t k = 0; k < VTOK_GGUF_GROUP; k++) sum += q[g * VTOK_GGUF_GROUP + k];
    sums[g] = (int16_t)sum;
  }
}

#define TINY 4e-37f  // 127 divided by less is no float32
#define INFINITE 0x7f800000u  // magnitudes from here on are no finite numbers

// The scale of 32 elements before it is rounded to half, and what turns them into whole numbers.
VTOK_INLINE float round_32(const float *x, int8_t *q, int16_t *sums) {
  uint32_t largest = 0;
  for (size_t k = 0; k < 32; k++) {
    uint32_t m = magnitude(x[k]);
    largest = m > largest ? m : largest;
  }
  float a;
  memcpy(&a, &largest, 4);
  round_block(x, 32, a < TINY ? 0 : 127.0f / a, q, sums);
  return largest < INFINITE ? a / 127.0f : __builtin_nanf("");
}

VTOK_INLINE float round_256(const float *x, int8_t *q, int16_t *sums) {
  uint32_t largest = 0;
  for (size_t k = 0; k < 256; k++) {
    uint32_t m = magnitude(x[k]);
    largest = m > largest ? m : largest;
  }
  size_t first = 0;
  while (magnitude(x[first]) != largest) first++;
  float a;
  memcpy(&a, &largest, 4);
  float factor = a < TINY ? 0 : -127.0f / x[first];
  round_block(x, 256, factor, q, sums);
  if (largest >= INFINITE) return __builtin_nanf("");
  return factor == 0 ? 0 : 1 / factor;
}

VTOK_CLONES static void round_rows(uint32_t type, const float *x, size_t n, size_t ldx, vtok_gguf_rows *rows) {
  size_t columns = rows->columns, size = type == Q8_K ? 256 : 32, blocks = columns / size;
  for (size_t r = 0; r < n; r++)
    for (size_t b = 0; b < blocks; b++) {
      const float *from = x + r * ldx + b * size;
      size_t block = r * blocks + b;
      int8_t *q = rows->quants + block * size;
      int16_t *groups = rows->groups + block * size / VTOK_GGUF_GROUP;
      float d = type == Q8_K ? round_256(from, q, groups) : round_32(from, q, groups);
      rows->scales[block] = d;
      if (type == Q8_1) rows->sums[block] = d * (float)(groups[0] + groups[1]);
    }
}

static void to_halves(float *x, size_t n) {
  for (size_t i = 0; i < n; i += 256) {
    uint16_t part[256];
    size_t count = n - i < 256 ? n - i : 256;
    vtok_narrow_f16(x + i, count, part);
    vtok_widen_f16(part, count, x + i);
  }
}

void vtok_gguf_round(uint32_t type, const float *x, size_t n, size_t ldx, vtok_gguf_rows *rows) {
  round_rows(type, x, n, ldx, rows);
  if (type == Q8_K) return;
  to_halves(rows->scales, n * rows->columns / 32);
  if (type == Q8_1) to_halves(rows->sums, n * rows->columns / 32);
}

// MARK: Weights

// Floats as whole numbers in the same order, and back.
VTOK_INLINE int32_t ordered(float x) {
  int32_t bits;
  memcpy(&bits, &x, 4);
  return bits ^ (bits >> 31 & 0x7fffffff);
}
VTOK_INLINE float value_of(int32_t ordered) {
  int32_t bits = ordered ^ (ordered >> 31 & 0x7fffffff);
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

// Codes of 32 weights, and their scale.
VTOK_INLINE float round_weights(const float *w, uint8_t codes[32]) {
#pragma clang fp contract(off)
  int32_t lowest = ordered(w[0]), highest = lowest;
  for (size_t k = 0; k < 32; k++) {
    int32_t o = ordered(w[k]);
    lowest = o < lowest ? o : lowest;
    highest = o > highest ? o : highest;
  }
  float low = value_of(lowest), high = value_of(highest);
  if (magnitude(low) >= INFINITE || magnitude(high) >= INFINITE) {
    memset(codes, 8, 32);
    return __builtin_nanf("");
  }
  float scale = (-low >= high ? low : high) / -8.0f, inverse = scale != 0 ? 1.0f / scale : 0.0f;
  for (size_t k = 0; k < 32; k++) {
    int value = (int)(w[k] * inverse + 8.5f);
    value = value > 15 ? 15 : value;
    codes[k] = (uint8_t)(value < 0 ? 0 : value);
  }
  return scale;
}

VTOK_CLONES void vtok_gguf_round_q4_0(const float *w, size_t n, uint8_t *blocks) {
  for (size_t b = 0; b < n / 32; b++, w += 32, blocks += 18) {
    uint8_t codes[32];
    float scale = round_weights(w, codes);
    uint16_t half;
    vtok_narrow_f16(&scale, 1, &half);
    memcpy(blocks, &half, 2);
    for (size_t k = 0; k < 16; k++) blocks[2 + k] = (uint8_t)(codes[k] | codes[k + 16] << 4);
  }
}
