// Products of weights as they lie in a GGUF file with rounded activations: sums of whole numbers within a block, which are exact,
// then one product of scales and one multiply-add a block. The order of the blocks is free, so levels differ in the last bits; a
// row of activations alone has the bits that it has in company.
#include "gguf_unpack.h"

// MARK: The plain path

VTOK_INLINE int dot(const int8_t *a, const int8_t *b, size_t n) {
  int sum = 0;
  for (size_t k = 0; k < n; k++) sum += a[k] * b[k];
  return sum;
}

VTOK_INLINE void add_32(const vtok_gguf_block *w, int has_minimum, const vtok_gguf_rows *x, size_t block, float *sum) {
  *sum += w->d * x->scales[block] * (float)dot(w->q, x->quants + block * 32, 32);
  if (has_minimum) *sum += w->m * x->sums[block];
}

VTOK_INLINE void add_256(const vtok_gguf_block *w, int has_minimum, const vtok_gguf_rows *x, size_t block, float *sum) {
  const int8_t *q = x->quants + block * 256;
  int total = 0, minima = 0;
  for (size_t g = 0; g < 16; g++) {
    total += w->scales[g] * dot(w->q + 16 * g, q + 16 * g, 16);
    if (has_minimum) minima += w->minima[g] * x->groups[block * 16 + g];
  }
  *sum += w->d * x->scales[block] * (float)total;
  if (has_minimum) *sum -= w->m * x->scales[block] * (float)minima;
}

#define PLAIN(name, elements, size, has_minimum)                                                                       \
  VTOK_CLONES static void plain_##name(const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *out) { \
    float sums[VTOK_GGUF_ROWS] = {0};                                                                                  \
    for (size_t b = 0; b < blocks; b++) {                                                                              \
      vtok_gguf_block block;                                                                                           \
      unpack_##name(w + b * size, &block);                                                                             \
      for (size_t i = 0; i < n; i++) add_##elements(&block, has_minimum, x, (first + i) * blocks + b, sums + i);       \
    }                                                                                                                  \
    memcpy(out, sums, n * sizeof *sums);                                                                               \
  }
PLAIN(q4_0, 32, 18, 0)
PLAIN(q4_1, 32, 20, 1)
PLAIN(q5_0, 32, 22, 0)
PLAIN(q5_1, 32, 24, 1)
PLAIN(q8_0, 32, 34, 0)
PLAIN(iq4_nl, 32, 18, 0)
PLAIN(q2_k, 256, 84, 1)
PLAIN(q3_k, 256, 110, 0)
PLAIN(q4_k, 256, 144, 1)
PLAIN(q5_k, 256, 176, 1)
PLAIN(q6_k, 256, 210, 0)
PLAIN(iq4_xs, 256, 136, 0)

vtok_gguf_dot *vtok_gguf_plain_dot(uint32_t type) {
  switch (type) {
  case Q4_0: return plain_q4_0;
  case Q4_1: return plain_q4_1;
  case Q5_0: return plain_q5_0;
  case Q5_1: return plain_q5_1;
  case Q8_0: return plain_q8_0;
  case IQ4_NL: return plain_iq4_nl;
  case Q2_K: return plain_q2_k;
  case Q3_K: return plain_q3_k;
  case Q4_K: return plain_q4_k;
  case Q5_K: return plain_q5_k;
  case Q6_K: return plain_q6_k;
  case IQ4_XS: return plain_iq4_xs;
  default: return NULL;
  }
}

#if !defined(__x86_64__)
const vtok_gguf_level vtok_gguf_levels[] = {{{"plain", vtok_has_all}, vtok_gguf_plain_dot}};
const size_t vtok_gguf_level_count = 1;
#endif

// MARK: Products

void vtok_gguf_product(size_t level, uint32_t type, const void *w, size_t first, size_t count, const vtok_gguf_rows *x, size_t n, float *out, size_t ldo) {
  enum { TOGETHER = 16 };  // rows of W that stay in the cache while all rows of x pass
  vtok_gguf_dot *dot = vtok_gguf_levels[level].dot(type);
  if (!dot) dot = vtok_gguf_plain_dot(type);
  size_t blocks = x->columns / vtok_gguf_elements(type), stride = blocks * vtok_gguf_bytes(type);
  for (size_t from = 0; from < count; from += TOGETHER) {
    size_t to = count - from < TOGETHER ? count : from + TOGETHER;
    for (size_t i = 0; i < n; i += VTOK_GGUF_ROWS) {
      size_t rows = n - i < VTOK_GGUF_ROWS ? n - i : VTOK_GGUF_ROWS;
      for (size_t r = from; r < to; r++) {
        float sums[VTOK_GGUF_ROWS];
        dot((const uint8_t *)w + (first + r) * stride, blocks, x, i, rows, sums);
        for (size_t k = 0; k < rows; k++) out[(i + k) * ldo + r] = sums[k];
      }
    }
  }
}
