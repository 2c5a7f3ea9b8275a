// 8-bit products: out = (p q^T) * scales, with p the rows of x and q the weights rounded to 8 bits, and sums of 32 bits.
// Integer sums are associative and every float step has one form, so the result has the same bits at every level, with any
// number of threads, for a row alone and in company.
//
// Weights lie in panels of 64 columns, [depth / 4][64][4] bytes of q + 128: a group of four along the depth is what one lane of
// a dot instruction takes, and unsigned times signed is what all of them have. The 128 is taken off again by the sums of the
// rows of p, which come with rounding them.
#include "int8.h"
#include "int8_round.h"

#define PANEL VTOK_INT8_PANEL
#define STEP VTOK_INT8_STEP
#define ROWS VTOK_INT8_ROWS

// MARK: The plain path

void vtok_int8_plain_block(const int8_t *p, size_t rows, size_t depth, const uint8_t *panel, uint32_t *sums) {
  memset(sums, 0, rows * PANEL * sizeof *sums);
  for (size_t k = 0; k < depth; k += 4)
    for (size_t r = 0; r < rows; r++)
      for (size_t c = 0; c < PANEL; c++)
        for (size_t i = 0; i < 4; i++)
          sums[r * PANEL + c] += (uint32_t)(p[r * depth + k + i] * panel[k * PANEL + c * 4 + i]);
}

#if !defined(__x86_64__) && !defined(__aarch64__)
const vtok_int8_level vtok_int8_levels[] = {{{"plain", vtok_has_all}, vtok_int8_plain_block, ROWS, 0}};
const size_t vtok_int8_level_count = 1;
#endif

// MARK: Rounding

size_t vtok_int8_depth(size_t depth) { return (depth + STEP - 1) / STEP * STEP; }

VTOK_CLONES void vtok_int8_round(const float *x, size_t n, size_t depth, size_t ldx, int8_t *p, float *scales, int32_t *sums) {
  size_t stride = (depth + STEP - 1) / STEP * STEP;
  for (size_t r = 0; r < n; r++) {
    const float *row = x + r * ldx;
    int8_t *out = p + r * stride;
    float scale = row_scale(row, depth);
    scales[r] = scale;
    float divisor = scale == scale ? scale : 1.0f;
    int32_t sum = 0;
    for (size_t k = 0; k < depth; k++) {
      int value = rounded(row[k], divisor);
      out[k] = (int8_t)value;
      sum += value;
    }
    memset(out + depth, 0, stride - depth);
    sums[r] = sum;
  }
}

VTOK_CLONES void vtok_int8_pack(const float *w, size_t count, size_t depth, size_t ldw, uint8_t *panel, float *scales) {
  enum { CHUNK = 256 };
  memset(panel, 128, PANEL * ((depth + STEP - 1) / STEP * STEP));
  for (size_t c = 0; c < PANEL; c++) {
    scales[c] = 1.0f;
    if (c >= count) continue;
    const float *row = w + c * ldw;
    scales[c] = row_scale(row, depth);
    float divisor = scales[c] == scales[c] ? scales[c] : 1.0f;
    for (size_t from = 0; from < depth; from += CHUNK) {  // rounded side by side, then laid out in groups of four
      size_t length = depth - from < CHUNK ? depth - from : CHUNK;
      uint8_t bytes[CHUNK];
      memset(bytes + length / 4 * 4, 128, length < CHUNK ? 4 : 0);
      for (size_t k = 0; k < length; k++) bytes[k] = (uint8_t)(rounded(row[from + k], divisor) + 128);
      for (size_t k = 0; k < length; k += 4) memcpy(panel + (from + k) * PANEL + c * 4, bytes + k, 4);
    }
  }
}

// Rows of W that are neighbours, with the depth going downwards; `depth` of at least 1.
VTOK_CLONES void vtok_int8_pack_columns(const float *w, size_t count, size_t depth, size_t ldw, uint8_t *panel, float *scales, int32_t *sums) {
#pragma clang fp contract(off)
  uint32_t largest[PANEL] = {0};
  float divisors[PANEL];
  int32_t padded[PANEL];
  for (size_t k = 0; k < depth; k++)
    for (size_t c = 0; c < count; c++) {
      uint32_t bits = float_bits(w[k * ldw + c]) & 0x7fffffff;
      largest[c] = bits > largest[c] ? bits : largest[c];
    }
  for (size_t c = 0; c < PANEL; c++) {
    scales[c] = scale_of(largest[c]);
    divisors[c] = scales[c] == scales[c] ? scales[c] : 1.0f;
    sums[c] = 0;
  }
  for (size_t k = 0; k < (depth + STEP - 1) / STEP * STEP; k += 4) {
    for (size_t c = 0; c < PANEL; c++) padded[c] = (int32_t)0x80808080;
    for (size_t i = 0; i < 4 && k + i < depth; i++)
      for (size_t c = 0; c < count; c++) {
        int value = rounded(w[(k + i) * ldw + c], divisors[c]);
        padded[c] ^= (int32_t)((uint32_t)((value + 128) ^ 128) << (8 * i));
        sums[c] += value;
      }
    memcpy(panel + k * PANEL, padded, sizeof padded);
  }
}

int vtok_int8_weight(const uint8_t *panels, size_t depth, size_t row, size_t k) {
  size_t padded = vtok_int8_depth(depth);
  return panels[row / PANEL * PANEL * padded + k / 4 * 4 * PANEL + row % PANEL * 4 + k % 4] - 128;
}

// MARK: Products

VTOK_CLONES static void finish(const uint32_t *sums, size_t rows, size_t count, const vtok_int8_end *end, float *out, size_t ldo) {
#pragma clang fp contract(off)
  for (size_t r = 0; r < rows; r++) {
    const uint32_t *sum = sums + r * PANEL;
    uint32_t offset = (uint32_t)end->offsets[r] * 128u;
    float scale = end->scales[r];
    float line[PANEL], *y = out + r * ldo;
    if (end->shifts)
      for (size_t c = 0; c < count; c++) line[c] = (float)(int32_t)(sum[c] - offset + (uint32_t)end->shifts[c]) * (scale * end->columns[c]);
    else
      for (size_t c = 0; c < count; c++) line[c] = (float)(int32_t)(sum[c] - offset) * (scale * end->columns[c]);
    if (end->bias)
      for (size_t c = 0; c < count; c++) line[c] += end->bias[c];
    if (end->accumulate)
      for (size_t c = 0; c < count; c++) y[c] += line[c];
    else
      memcpy(y, line, count * sizeof *y);
  }
}

void vtok_int8_products(size_t index, const int8_t *p, size_t n, size_t depth, const uint8_t *panels, const vtok_int8_end *end, size_t first, size_t count, float *out, size_t ldo) {
  const vtok_int8_level *level = &vtok_int8_levels[index];
  size_t padded = vtok_int8_depth(depth), tiles = (n + level->rows - 1) / level->rows;
  _Alignas(64) uint32_t sums[ROWS * PANEL];
  for (size_t c = first; c < first + count; c += PANEL) {
    size_t width = first + count - c < PANEL ? first + count - c : PANEL;
    for (size_t t = 0; t < tiles; t++) {  // of nearly equal size: a block of few rows is all loads
      size_t r = t * n / tiles, rows = (t + 1) * n / tiles - r;
      vtok_int8_end own = {end->scales + r, end->offsets + r, end->columns + c, end->bias ? end->bias + c : 0, end->shifts ? end->shifts + c : 0, end->accumulate};
      float *target = out + r * ldo + (c - first);
      if (width == PANEL && level->whole) {
        level->whole(p + r * padded, rows, padded, panels + c * padded, &own, target, ldo);
      } else {
        level->block(p + r * padded, rows, padded, panels + c * padded, sums);
        finish(sums, rows, width, &own, target, ldo);
      }
    }
  }
}

void vtok_int8_product(size_t level, const int8_t *p, size_t n, size_t depth, const float *scales, const int32_t *offsets, const uint8_t *panels, const float *columns, const float *bias, size_t first, size_t count, int accumulate, float *out, size_t ldo) {
  vtok_int8_end end = {scales, offsets, columns, bias, 0, accumulate};
  vtok_int8_products(level, p, n, depth, panels, &end, first, count, out, ldo);
}
