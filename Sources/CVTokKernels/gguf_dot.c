// Products of weights as they lie in a GGUF file with rounded activations: sums of whole numbers within a block, which are exact,
// then one product of scales and one fused multiply-add a block, in the order of the blocks, and another one for a minimum. Blocks of
// 32 are added like that in eights, and eights one after the other: an eight does not wait for the one before it. So every level
// gives the same bits, for a row of activations alone and in company.
#include "gguf_panel.h"
#include "gguf_unpack.h"

// MARK: The plain path

VTOK_INLINE int dot(const int8_t *a, const int8_t *b, size_t n) {
  int sum = 0;
  for (size_t k = 0; k < n; k++) sum += a[k] * b[k];
  return sum;
}

VTOK_INLINE void add_32(const vtok_gguf_block *w, int has_minimum, const vtok_gguf_rows *x, size_t block, float *sum) {
  *sum = __builtin_fmaf(w->d * x->scales[block], (float)dot(w->q, x->quants + block * 32, 32), *sum);
  if (has_minimum) *sum = __builtin_fmaf(w->m, x->sums[block], *sum);
}

VTOK_INLINE void add_256(const vtok_gguf_block *w, int has_minimum, const vtok_gguf_rows *x, size_t block, float *sum) {
  const int8_t *q = x->quants + block * 256;
  int total = 0, minima = 0;
  for (size_t g = 0; g < 16; g++) {
    total += w->scales[g] * dot(w->q + 16 * g, q + 16 * g, 16);
    if (has_minimum) minima += w->minima[g] * x->groups[block * 16 + g];
  }
  *sum = __builtin_fmaf(w->d * x->scales[block], (float)total, *sum);
  if (has_minimum) *sum = __builtin_fmaf(w->m * -x->scales[block], (float)minima, *sum);
}

// `together` blocks are added up, then joined to those before.
#define PLAIN(name, elements, size, has_minimum)                                                                       \
  VTOK_CLONES static void plain_##name(const uint8_t *w, size_t blocks, const vtok_gguf_rows *x, size_t first, size_t n, float *out) { \
    size_t together = VTOK_PANEL_DEPTH / elements;                                                                     \
    float part[VTOK_GGUF_ROWS] = {0};                                                                                  \
    memset(out, 0, n * sizeof *out);                                                                                   \
    for (size_t b = 0; b < blocks; b++) {                                                                              \
      vtok_gguf_block block;                                                                                           \
      unpack_##name(w + b * size, &block);                                                                             \
      int is_last = (b + 1) % together == 0 || b + 1 == blocks;                                                        \
      for (size_t i = 0; i < n; i++) {                                                                                 \
        add_##elements(&block, has_minimum, x, (first + i) * blocks + b, elements == 32 ? part + i : out + i);         \
        if (elements == 32 && is_last) {                                                                               \
          out[i] += part[i];                                                                                           \
          part[i] = 0;                                                                                                 \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
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
const vtok_gguf_level vtok_gguf_levels[] = {{{"plain", vtok_has_all}, vtok_gguf_plain_dot, NULL, vtok_gguf_plain_pack, vtok_gguf_plain_rows}};
const size_t vtok_gguf_level_count = 1;
#endif

// MARK: Products

// `count` rows of W as they lie, with at most VTOK_GGUF_ROWS rows of x.
static void by_rows(const vtok_gguf_level *level, uint32_t type, const uint8_t *w, size_t blocks, size_t stride, size_t count, const vtok_gguf_rows *x, size_t first, size_t n, float *out, size_t ldo) {
  vtok_gguf_dot *dot = level->dot(type), *sixteen = level->sixteen ? level->sixteen(type) : NULL;
  float sums[16 * VTOK_GGUF_ROWS];
  for (size_t r = 0, together; r < count; r += together) {
    together = sixteen && count - r >= 16 ? 16 : 1;
    (together == 16 ? sixteen : dot)(w + r * stride, blocks, x, first, n, sums);
    for (size_t i = 0; i < n; i++) memcpy(out + i * ldo + r, sums + i * together, together * sizeof *sums);
  }
}

// The same through panels. Few rows wait for memory: what is needed next is asked for in the order in which it lies.
static void by_panels(const vtok_gguf_level *level, uint32_t type, const uint8_t *w, size_t blocks, size_t stride, size_t count, const vtok_gguf_rows *x, size_t first, size_t n, float *out, size_t ldo) {
  vtok_gguf_form form = vtok_gguf_form_of(type);
  size_t bytes = vtok_gguf_bytes(type), most = VTOK_PANEL_DEPTH / (size_t)form.elements;
  size_t steps = (blocks + most - 1) / most;
  vtok_gguf_panel panel;
  float sums[VTOK_GGUF_TOGETHER * VTOK_PANEL];
  for (size_t c = 0; c < count; c += VTOK_PANEL) {
    size_t columns = count - c < VTOK_PANEL ? count - c : VTOK_PANEL;
    const uint8_t *own = w + c * stride, *next = own + VTOK_PANEL * stride;
    memset(sums, 0, n * VTOK_PANEL * sizeof *sums);
    for (size_t s = 0; s < steps; s++) {
      size_t block = s * most, part = blocks - block < most ? blocks - block : most;
      if (c + VTOK_PANEL < count)
        for (size_t at = s * VTOK_PANEL * stride / steps; at < (s + 1) * VTOK_PANEL * stride / steps; at += 64) __builtin_prefetch(next + at, 0, 2);
      level->pack(type, own + block * bytes, stride, columns, part, &panel);
      level->rows(form, &panel, block, part, x, first, n, sums);
    }
    for (size_t i = 0; i < n; i++) memcpy(out + i * ldo + c, sums + i * VTOK_PANEL, columns * sizeof *sums);
  }
}

void vtok_gguf_product(size_t index, uint32_t type, const void *w, size_t first, size_t count, const vtok_gguf_rows *x, size_t n, float *out, size_t ldo) {
  const vtok_gguf_level *level = &vtok_gguf_levels[index];
  size_t blocks = x->columns / vtok_gguf_elements(type), stride = blocks * vtok_gguf_bytes(type);
  const uint8_t *from = (const uint8_t *)w + first * stride;
  size_t passes = (n + VTOK_GGUF_TOGETHER - 1) / VTOK_GGUF_TOGETHER;
  for (size_t p = 0; p < passes; p++) {
    size_t row = p * n / passes, rows = (p + 1) * n / passes - row;
    if (n <= VTOK_GGUF_ROWS) by_rows(level, type, from, blocks, stride, count, x, row, rows, out + row * ldo, ldo);
    else by_panels(level, type, from, blocks, stride, count, x, row, rows, out + row * ldo, ldo);
  }
}
