// How a block of every type is laid out: from its bytes to the numbers in it. Included by what dequantises and by the plain
// products, so that both read the same.
#include "gguf.h"

// MARK: Blocks of 32: element j has the low half of byte j, element j + 16 the high half

VTOK_INLINE void nibbles(const uint8_t *codes, int8_t *q, int offset) {
  for (int j = 0; j < 16; j++) {
    q[j] = (int8_t)((codes[j] & 15) - offset);
    q[j + 16] = (int8_t)((codes[j] >> 4) - offset);
  }
}

VTOK_INLINE void five_bits(const uint8_t *high, const uint8_t *codes, int8_t *q, int offset) {
  uint32_t bits = vtok_u32(high);
  for (int j = 0; j < 16; j++) {
    q[j] = (int8_t)(((codes[j] & 15) | (int)(bits >> j & 1) << 4) - offset);
    q[j + 16] = (int8_t)(((codes[j] >> 4) | (int)(bits >> (j + 16) & 1) << 4) - offset);
  }
}

VTOK_INLINE void looked_up(const uint8_t *codes, int8_t *q) {
  for (int j = 0; j < 16; j++) {
    q[j] = vtok_gguf_iq4[codes[j] & 15];
    q[j + 16] = vtok_gguf_iq4[codes[j] >> 4];
  }
}

VTOK_INLINE void unpack_q4_0(const uint8_t *w, vtok_gguf_block *b) {
  b->d = vtok_half(w);
  nibbles(w + 2, b->q, 8);
}
VTOK_INLINE void unpack_q4_1(const uint8_t *w, vtok_gguf_block *b) {
  b->d = vtok_half(w);
  b->m = vtok_half(w + 2);
  nibbles(w + 4, b->q, 0);
}
VTOK_INLINE void unpack_q5_0(const uint8_t *w, vtok_gguf_block *b) {
  b->d = vtok_half(w);
  five_bits(w + 2, w + 6, b->q, 16);
}
VTOK_INLINE void unpack_q5_1(const uint8_t *w, vtok_gguf_block *b) {
  b->d = vtok_half(w);
  b->m = vtok_half(w + 2);
  five_bits(w + 4, w + 8, b->q, 0);
}
VTOK_INLINE void unpack_q8_0(const uint8_t *w, vtok_gguf_block *b) {
  b->d = vtok_half(w);
  memcpy(b->q, w + 2, 32);
}
VTOK_INLINE void unpack_iq4_nl(const uint8_t *w, vtok_gguf_block *b) {
  b->d = vtok_half(w);
  looked_up(w + 2, b->q);
}

// MARK: Blocks of 256

VTOK_INLINE void unpack_q2_k(const uint8_t *w, vtok_gguf_block *b) {
  for (int g = 0; g < 16; g++) {
    b->scales[g] = w[g] & 15;
    b->minima[g] = w[g] >> 4;
  }
  for (int j = 0; j < 8; j++)
    for (int l = 0; l < 32; l++) b->q[32 * j + l] = (int8_t)(w[16 + 32 * (j / 4) + l] >> 2 * (j % 4) & 3);
  b->d = vtok_half(w + 80);
  b->m = vtok_half(w + 82);
}

VTOK_INLINE void unpack_q3_k(const uint8_t *w, vtok_gguf_block *b) {
  uint32_t scales[4];
  vtok_gguf_scales_q3(w + 96, scales);
  for (int g = 0; g < 16; g++) b->scales[g] = (int16_t)((int)(scales[g / 4] >> 8 * (g % 4) & 63) - 32);
  for (int j = 0; j < 8; j++)
    for (int l = 0; l < 32; l++)  // a bit that is set takes nothing off
      b->q[32 * j + l] = (int8_t)((w[32 + 32 * (j / 4) + l] >> 2 * (j % 4) & 3) + (w[l] >> j & 1) * 4 - 4);
  b->d = vtok_half(w + 108);
}

VTOK_INLINE void scales_and_minima(const uint8_t *w, vtok_gguf_block *b) {
  uint64_t scales, minima;
  vtok_gguf_scales_k(w + 4, &scales, &minima);
  for (int g = 0; g < 16; g++) {
    b->scales[g] = (int16_t)(scales >> 8 * (g / 2) & 255);
    b->minima[g] = (int16_t)(minima >> 8 * (g / 2) & 255);
  }
  b->d = vtok_half(w);
  b->m = vtok_half(w + 2);
}

VTOK_INLINE void unpack_q4_k(const uint8_t *w, vtok_gguf_block *b) {
  scales_and_minima(w, b);
  for (int j = 0; j < 8; j++)
    for (int l = 0; l < 32; l++) b->q[32 * j + l] = (int8_t)(w[16 + 32 * (j / 2) + l] >> 4 * (j % 2) & 15);
}

VTOK_INLINE void unpack_q5_k(const uint8_t *w, vtok_gguf_block *b) {
  scales_and_minima(w, b);
  for (int j = 0; j < 8; j++)
    for (int l = 0; l < 32; l++)
      b->q[32 * j + l] = (int8_t)((w[48 + 32 * (j / 2) + l] >> 4 * (j % 2) & 15) | (w[16 + l] >> j & 1) << 4);
}

VTOK_INLINE void unpack_q6_k(const uint8_t *w, vtok_gguf_block *b) {
  for (int g = 0; g < 16; g++) b->scales[g] = (int8_t)w[192 + g];
  for (int j = 0; j < 8; j++) {
    int half = j / 4, k = j % 4;
    for (int l = 0; l < 32; l++) {
      int low = w[64 * half + 32 * (k % 2) + l] >> 4 * (k / 2) & 15;
      b->q[32 * j + l] = (int8_t)((low | (w[128 + 32 * half + l] >> 2 * k & 3) << 4) - 32);
    }
  }
  b->d = vtok_half(w + 208);
}

VTOK_INLINE void unpack_iq4_xs(const uint8_t *w, vtok_gguf_block *b) {
  uint32_t high = vtok_u16(w + 2);
  for (int j = 0; j < 8; j++) {
    int scale = (w[4 + j / 2] >> 4 * (j % 2) & 15) | (int)(high >> 2 * j & 3) << 4;
    b->scales[2 * j] = b->scales[2 * j + 1] = (int16_t)(scale - 32);
    looked_up(w + 8 + 16 * j, b->q + 32 * j);
  }
  b->d = vtok_half(w);
}
