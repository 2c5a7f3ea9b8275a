#ifndef VTOK_GGUF_H
#define VTOK_GGUF_H
#include "dispatch.h"
#include "levels.h"
#include <string.h>

#define VTOK_GGUF_LARGEST 256  // elements of the largest block
#define VTOK_GGUF_GROUP 16     // elements of the smallest group with a scale of its own
#define VTOK_GGUF_ROWS 4       // most rows of activations that go with rows of weights as they lie
#define VTOK_GGUF_TOGETHER 640  // most rows of activations that pass one panel

// Numbers of tensor types that lie in blocks.
enum { Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q8_1 = 9, Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14, Q8_K = 15, IQ4_NL = 20, IQ4_XS = 23 };

// The products of one row of weights (`blocks` blocks) with n rows of activations from `first` on, n <= VTOK_GGUF_ROWS.
typedef void vtok_gguf_dot(const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *out);

extern const int8_t vtok_gguf_iq4[16];  // what the codes of IQ4_NL and IQ4_XS stand for

VTOK_INLINE uint16_t vtok_u16(const uint8_t *p) {
  uint16_t u;
  memcpy(&u, p, 2);
  return u;
}
VTOK_INLINE uint32_t vtok_u32(const uint8_t *p) {
  uint32_t u;
  memcpy(&u, p, 4);
  return u;
}
// A half as float32; 2^112 moves the bias of the exponent and normalises subnormals.
VTOK_INLINE float vtok_half(const uint8_t *p) {
  union { uint32_t u; float f; } rest, value;
  uint32_t h = vtok_u16(p);
  rest.u = (h & 0x7fffu) << 13;
  value.f = rest.f * 0x1p112f;
  if (rest.u >= 0x0f800000u) value.u = rest.u | 0x7f800000u;
  value.u |= (h & 0x8000u) << 16;
  return value.f;
}

// Q4_K and Q5_K: eight scales and eight minima of 6 bits each out of 12 bytes, as bytes.
VTOK_INLINE void vtok_gguf_scales_k(const uint8_t *p, uint64_t *scales, uint64_t *minima) {
  uint32_t a = vtok_u32(p), b = vtok_u32(p + 4), c = vtok_u32(p + 8);
  uint32_t high_scales = (c & 0x0f0f0f0fu) | ((a >> 6) & 0x03030303u) << 4;
  uint32_t high_minima = ((c >> 4) & 0x0f0f0f0fu) | ((b >> 6) & 0x03030303u) << 4;
  *scales = (a & 0x3f3f3f3fu) | (uint64_t)high_scales << 32;
  *minima = (b & 0x3f3f3f3fu) | (uint64_t)high_minima << 32;
}

// Q3_K: sixteen scales of 6 bits out of 12 bytes, 32 more than they stand for.
VTOK_INLINE void vtok_gguf_scales_q3(const uint8_t *p, uint32_t scales[4]) {
  uint32_t a = vtok_u32(p), b = vtok_u32(p + 4), c = vtok_u32(p + 8);
  scales[0] = (a & 0x0f0f0f0fu) | (c & 0x03030303u) << 4;
  scales[1] = (b & 0x0f0f0f0fu) | ((c >> 2) & 0x03030303u) << 4;
  scales[2] = ((a >> 4) & 0x0f0f0f0fu) | ((c >> 4) & 0x03030303u) << 4;
  scales[3] = ((b >> 4) & 0x0f0f0f0fu) | ((c >> 6) & 0x03030303u) << 4;
}

// A block taken apart, for the plain paths. Element e stands for d * q[e] + m in blocks of 32, and for
// d * scales[e / 16] * q[e] - m * minima[e / 16] in those of 256.
typedef struct {
  float d, m;
  int8_t q[VTOK_GGUF_LARGEST];
  int16_t scales[VTOK_GGUF_LARGEST / VTOK_GGUF_GROUP], minima[VTOK_GGUF_LARGEST / VTOK_GGUF_GROUP];
} vtok_gguf_block;
#endif
