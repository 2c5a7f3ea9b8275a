// Products with 4-bit weights: groups of 32 along the depth share a scale, as in ggml's Q4_0, and rows of x are rounded to 8 bits in
// groups of 32, as in its Q8_0. Sums of a group are whole numbers; groups are added in float32, in order.
//
// A panel of 64 columns is a list of groups: 1024 bytes of codes, 64 half-precision scales. Byte [j][c][i] of the codes, j and i below 4,
// has weight 4 j + i of column c in its low half and weight 16 + 4 j + i in its high half: both halves are what dot
// instructions take.
#include "int4.h"
#include "dispatch.h"
#include <math.h>
#include <string.h>

#define PANEL VTOK_INT4_PANEL
#define GROUP VTOK_INT4_GROUP
#define BYTES VTOK_INT4_BYTES
#define ROWS VTOK_INT4_ROWS

VTOK_INLINE float half(const uint8_t *at) {
  _Float16 h;
  memcpy(&h, at, 2);
  return (float)h;
}

// MARK: The plain path

void vtok_int4_plain_block(const int8_t *p, const float *scales, const int32_t *totals, size_t rows, size_t groups, const uint8_t *panel, float *sums) {
  memset(sums, 0, rows * PANEL * sizeof *sums);
  for (size_t g = 0; g < groups; g++) {
    const uint8_t *codes = panel + g * BYTES;
    for (size_t r = 0; r < rows; r++) {
      const int8_t *x = p + (r * groups + g) * GROUP;
      for (size_t c = 0; c < PANEL; c++) {
        int32_t sum = -8 * totals[r * groups + g];
        for (size_t j = 0; j < 4; j++)
          for (size_t i = 0; i < 4; i++) {
            uint8_t both = codes[j * 256 + c * 4 + i];
            sum += (both & 15) * x[4 * j + i] + (both >> 4) * x[16 + 4 * j + i];
          }
        sums[r * PANEL + c] += (float)sum * (half(codes + 1024 + 2 * c) * scales[r * groups + g]);
      }
    }
  }
}

#if !defined(__x86_64__)
const vtok_int4_level vtok_int4_levels[] = {{{"plain", vtok_has_all}, vtok_int4_plain_block, ROWS}};
const size_t vtok_int4_level_count = 1;
#endif

// MARK: Rounding

VTOK_CLONES void vtok_q8_round(const float *x, size_t n, size_t depth, size_t ldx, int8_t *p, float *scales, int32_t *totals) {
  size_t groups = depth / GROUP;
  for (size_t r = 0; r < n; r++)
    for (size_t g = 0; g < groups; g++) {
      const float *row = x + r * ldx + g * GROUP;
      int8_t *out = p + (r * groups + g) * GROUP;
      float largest = 0, nothing = 0;
      for (size_t k = 0; k < GROUP; k++) {
        float a = fabsf(row[k]);
        largest = a > largest ? a : largest;
        nothing += row[k] * 0.0f;  // NaN where a number is not finite
      }
      float scale = largest / 127.0f + nothing, inverse = largest < 4e-37f ? 0.0f : 127.0f / largest;
      int32_t total = 0;
      for (size_t k = 0; k < GROUP; k++) {
        float t = row[k] * inverse + 12582912.0f;  // leaves no bits behind the point: rounds half to even
        int32_t bits;
        memcpy(&bits, &t, 4);
        int value = bits - 0x4b400000;
        value = value > 127 ? 127 : value;
        value = value < -127 ? -127 : value;
        out[k] = (int8_t)value;
        total += value;
      }
      scales[r * groups + g] = (float)(_Float16)scale;
      totals[r * groups + g] = total;
    }
}

VTOK_CLONES void vtok_int4_pack(const float *w, size_t count, size_t depth, size_t ldw, uint8_t *panel) {
  size_t groups = depth / GROUP;
  for (size_t g = 0; g < groups; g++)
    for (size_t c = 0; c < PANEL; c++) {
      uint8_t *codes = panel + g * BYTES, q[GROUP];
      _Float16 stored = 0;
      memset(q, 8, GROUP);
      if (c < count) {
        const float *row = w + c * ldw + g * GROUP;
        float low = row[0], high = row[0], nothing = 0;
        for (size_t k = 0; k < GROUP; k++) {
          low = row[k] < low ? row[k] : low;
          high = row[k] > high ? row[k] : high;
          nothing += row[k] * 0.0f;  // NaN where a number is not finite
        }
        float scale = (-low >= high ? low : high) / -8.0f, inverse = scale != 0 ? 1.0f / scale : 0.0f;
        stored = (_Float16)(scale + nothing);
        for (size_t k = 0; k < GROUP && nothing == 0; k++) {
          int value = (int)(row[k] * inverse + 8.5f);
          q[k] = (uint8_t)(value > 15 ? 15 : value);
        }
      }
      for (size_t j = 0; j < 4; j++)
        for (size_t i = 0; i < 4; i++) codes[j * 256 + c * 4 + i] = (uint8_t)(q[4 * j + i] | q[16 + 4 * j + i] << 4);
      memcpy(codes + 1024 + 2 * c, &stored, 2);
    }
}

void vtok_int4_widen(const uint8_t *panels, size_t depth, size_t row, float *out) {
  size_t groups = depth / GROUP, c = row % PANEL;
  for (size_t g = 0; g < groups; g++) {
    const uint8_t *codes = panels + (row / PANEL * groups + g) * BYTES;
    float scale = half(codes + 1024 + 2 * c);
    for (size_t k = 0; k < 16; k++) {
      uint8_t both = codes[k / 4 * 256 + c * 4 + k % 4];
      out[g * GROUP + k] = scale * (float)((both & 15) - 8);
      out[g * GROUP + 16 + k] = scale * (float)((both >> 4) - 8);
    }
  }
}

size_t vtok_int4_group_bytes(void) { return BYTES; }

// MARK: Products

void vtok_int4_product(size_t index, const int8_t *p, size_t n, size_t depth, const float *scales, const int32_t *totals, const uint8_t *panels, size_t first, size_t count, int accumulate, float *out, size_t ldo) {
  const vtok_int4_level *level = &vtok_int4_levels[index];
  size_t groups = depth / GROUP;
  _Alignas(64) float sums[ROWS * PANEL];
  for (size_t c = first; c < first + count; c += PANEL) {
    size_t width = first + count - c < PANEL ? first + count - c : PANEL;
    for (size_t r = 0; r < n;) {
      size_t left = n - r, rows = left < level->rows ? left : level->rows;
      level->block(p + r * depth, scales + r * groups, totals + r * groups, rows, groups, panels + c / PANEL * groups * BYTES, sums);
      for (size_t i = 0; i < rows; i++) {
        float *y = out + (r + i) * ldo + (c - first);
        if (accumulate)
          for (size_t k = 0; k < width; k++) y[k] += sums[i * PANEL + k];
        else
          memcpy(y, sums + i * PANEL, width * sizeof *y);
      }
      r += rows;
    }
  }
}
