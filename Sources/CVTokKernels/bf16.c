// Products of bfloat16: out = p q^T with p the rows of x and q the weights, both rounded to bfloat16, and sums in float32. Levels
// round their sums in ways of their own (the dot instructions flush what is denormal), so they agree within a tolerance; at one
// level a row has the same bits in any company and on any number of threads, but for AMX, which takes more than six rows.
//
// Weights lie in panels of 64 columns, [depth / 2][64][2]: a pair along the depth is what one lane of a dot instruction takes.
#include "bf16.h"
#include "dispatch.h"
#include <string.h>

#define PANEL VTOK_BF16_PANEL
#define STEP VTOK_BF16_STEP
#define ROWS VTOK_BF16_ROWS

// MARK: The plain path

VTOK_INLINE float widened(uint32_t bits) {
  float value;
  bits <<= 16;
  memcpy(&value, &bits, 4);
  return value;
}

// Written so that it becomes vector code on every processor.
VTOK_CLONES void vtok_bf16_plain_block(vtok_bf16_rows x, size_t depth, const uint16_t *panel, size_t columns, int fresh, float *out, size_t ldo) {
  (void)columns;
  for (size_t r = 0; r < x.rows; r++) {
    const uint16_t *p = x.p + r * x.ldp;
    float sums[PANEL];
    for (size_t c = 0; c < PANEL; c++) sums[c] = fresh ? 0 : out[r * ldo + c];
    for (size_t k = 0; k < depth; k += 2) {
      float even = widened(p[k]), odd = widened(p[k + 1]);
      for (size_t c = 0; c < PANEL; c++) {
        sums[c] += even * widened(panel[k * PANEL + 2 * c]);
        sums[c] += odd * widened(panel[k * PANEL + 2 * c + 1]);
      }
    }
    memcpy(out + r * ldo, sums, sizeof sums);
  }
}

#if !defined(__x86_64__)
const vtok_bf16_level vtok_bf16_levels[] = {{{"plain", vtok_has_all}, vtok_bf16_plain_block, ROWS, 2}};
const size_t vtok_bf16_level_count = 1;
#endif

// MARK: Rounding

size_t vtok_bf16_depth(size_t depth) { return (depth + STEP - 1) / STEP * STEP; }

VTOK_CLONES void vtok_bf16_round(const float *x, size_t n, size_t depth, size_t ldx, uint16_t *p) {
  size_t stride = (depth + STEP - 1) / STEP * STEP;
  for (size_t r = 0; r < n; r++) {
    const float *row = x + r * ldx;
    uint16_t *out = p + r * stride;
    for (size_t k = 0; k < depth; k++) out[k] = vtok_bf16_narrowed(row[k]);
    memset(out + depth, 0, (stride - depth) * sizeof *out);
  }
}

// Up to 64 rows of W, neighbours along the depth: rounded side by side, then laid out in pairs.
VTOK_CLONES static void pack_rows(const float *w, size_t count, size_t depth, size_t ldw, uint16_t *panel) {
  enum { CHUNK = 64 };
  uint32_t pairs[PANEL][CHUNK / 2], *out = (uint32_t *)(void *)panel;
  for (size_t from = 0; from < depth; from += CHUNK) {
    size_t length = depth - from < CHUNK ? depth - from : CHUNK;
    memset(pairs, 0, sizeof pairs);
    for (size_t c = 0; c < count; c++) {
      uint16_t *row = (uint16_t *)(void *)pairs[c];
      const float *x = w + c * ldw + from;
      if (length == CHUNK)
        for (size_t k = 0; k < CHUNK; k++) row[k] = vtok_bf16_narrowed(x[k]);
      else
        for (size_t k = 0; k < length; k++) row[k] = vtok_bf16_narrowed(x[k]);
    }
    for (size_t k = 0; k < (length + 1) / 2; k++)
      for (size_t c = 0; c < PANEL; c++) out[(from / 2 + k) * PANEL + c] = pairs[c][k];
  }
}

// The same where rows of W are neighbours and the depth goes downwards.
VTOK_CLONES static void pack_columns(const float *w, size_t count, size_t depth, size_t ldw, uint16_t *panel) {
  static const float zeros[PANEL];
  for (size_t k = 0; k < depth; k += 2) {
    const float *upper = w + k * ldw, *lower = k + 1 < depth ? upper + ldw : zeros;
    uint16_t *out = panel + k * PANEL;
    if (count == PANEL)
      for (size_t c = 0; c < PANEL; c++) {
        out[2 * c] = vtok_bf16_narrowed(upper[c]);
        out[2 * c + 1] = vtok_bf16_narrowed(lower[c]);
      }
    else
      for (size_t c = 0; c < count; c++) {
        out[2 * c] = vtok_bf16_narrowed(upper[c]);
        out[2 * c + 1] = vtok_bf16_narrowed(lower[c]);
      }
  }
}

void vtok_bf16_pack(const float *w, int transposed, size_t count, size_t depth, size_t ldw, uint16_t *panels) {
  size_t size = PANEL * vtok_bf16_depth(depth), tail = PANEL * ((depth + 1) / 2 * 2);
  for (size_t c = 0; c < count; c += PANEL, panels += size) {
    size_t columns = count - c < PANEL ? count - c : PANEL;
    if (columns < PANEL) memset(panels, 0, size * sizeof *panels);
    else memset(panels + tail, 0, (size - tail) * sizeof *panels);
    if (transposed) pack_columns(w + c, columns, depth, ldw, panels);
    else pack_rows(w + c * ldw, columns, depth, ldw, panels);
  }
}

void vtok_bf16_widen(const uint16_t *panels, size_t depth, size_t row, float *out) {
  const uint16_t *panel = panels + row / PANEL * PANEL * vtok_bf16_depth(depth) + row % PANEL * 2;
  for (size_t k = 0; k < depth; k++) out[k] = widened(panel[k / 2 * 2 * PANEL + k % 2]);
}

// MARK: Products

void vtok_bf16_product(size_t index, const uint16_t *p, size_t n, size_t depth, const uint16_t *panels, size_t first, size_t count, int accumulate, float *out, size_t ldo) {
  const vtok_bf16_level *level = &vtok_bf16_levels[index];
  size_t padded = vtok_bf16_depth(depth), used = (depth + level->step - 1) / level->step * level->step;
  size_t tiles = (n + level->rows - 1) / level->rows;
  float edge[ROWS * PANEL];
  for (size_t c = first; c < first + count; c += PANEL) {
    size_t width = first + count - c < PANEL ? first + count - c : PANEL;
    for (size_t t = 0; t < tiles; t++) {  // of nearly equal size: a block of few rows is all loads
      size_t r = t * n / tiles;
      vtok_bf16_rows rows = {p + r * padded, (t + 1) * n / tiles - r, padded};
      float *target = out + r * ldo + (c - first);
      if (width == PANEL) {
        level->block(rows, used, panels + c * padded, PANEL, !accumulate, target, ldo);
        continue;
      }
      level->block(rows, used, panels + c * padded, width, 1, edge, PANEL);
      for (size_t i = 0; i < rows.rows; i++)
        for (size_t j = 0; j < width; j++) target[i * ldo + j] = edge[i * PANEL + j] + (accumulate ? target[i * ldo + j] : 0);
    }
  }
}
