#include "common.h"

// One body, three instruction sets, the best chosen at load time (an ifunc, so x86-64 ELF only). Integer arithmetic:
// every one gives the same bytes.
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__x86_64__) && defined(__ELF__) && !__has_feature(thread_sanitizer)  // it would run before its runtime does
#define VTOK_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define VTOK_CLONES
#endif

#define BITS 22  // Pillow's PRECISION_BITS for 8-bit samples: 32 - 8 - 2

static inline __attribute__((always_inline)) uint8_t to_byte(int32_t sum) {
  int32_t value = sum >> BITS;  // arithmetic shift, as every compiler in use does it
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

VTOK_CLONES
void vtok_resize_row(
    const uint8_t *in, const int32_t *first, const int32_t *taps, const int32_t *weights, size_t stride,
    size_t first_out, size_t last_out, uint8_t *out) {
  for (size_t i = first_out; i < last_out; i++) {
    const uint8_t *p = in + (size_t)first[i] * 3;
    const int32_t *w = weights + i * stride;
    int32_t r = 1 << (BITS - 1), g = r, b = r;
    for (int32_t t = 0; t < taps[i]; t++, p += 3) {
      r += w[t] * p[0];
      g += w[t] * p[1];
      b += w[t] * p[2];
    }
    out[i * 3] = to_byte(r);
    out[i * 3 + 1] = to_byte(g);
    out[i * 3 + 2] = to_byte(b);
  }
}

#define CHUNK 256  // sums kept in the first-level cache

VTOK_CLONES
void vtok_resize_column(const uint8_t *rows, size_t count, const int32_t *weights, int32_t taps, uint8_t *out) {
  int32_t sums[CHUNK];
  for (size_t x = 0; x < count; x += CHUNK) {
    size_t n = count - x < CHUNK ? count - x : CHUNK;
    for (size_t i = 0; i < n; i++) sums[i] = 1 << (BITS - 1);
    for (int32_t t = 0; t < taps; t++) {
      const uint8_t *row = rows + (size_t)t * count + x;
      int32_t w = weights[t];
      for (size_t i = 0; i < n; i++) sums[i] += w * row[i];
    }
    for (size_t i = 0; i < n; i++) out[x + i] = to_byte(sums[i]);
  }
}
