// Sums that decide which tokens stay. Goal, in order: the same bits on every CPU, then speed. Lane i holds the terms
// i, i + 16, i + 32, ...; the lanes are added in a fixed tree; multiply and add are rounded apart (no contraction), so
// SSE, AVX2, AVX-512 and NEON agree bit for bit.
#include "dispatch.h"
#include <math.h>
#include <string.h>
#pragma STDC FP_CONTRACT OFF

VTOK_INLINE float dot(const float *a, const float *b, size_t n) {
  float lanes[VTOK_LANES] = {0};
  size_t body = n - n % VTOK_LANES;
  for (size_t c = 0; c < body; c += VTOK_LANES)
    for (int i = 0; i < VTOK_LANES; i++) {
      float p = a[c + i] * b[c + i];
      lanes[i] = lanes[i] + p;
    }
  for (size_t c = body; c < n; c++) {
    float p = a[c] * b[c];
    lanes[c - body] = lanes[c - body] + p;
  }
  return vtok_lane_sum(lanes);
}

VTOK_CLONES float vtok_exact_dot(const float *a, const float *b, size_t n) { return dot(a, b, n); }

// vtok_lane_sum of four at once, the same tree.
VTOK_INLINE void lane_sums(const vtok_lanes16 *s, float *out) {
#define PAIR(a, b) (__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) \
  + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
  vtok_lanes16 first = PAIR(s[0], s[1]), second = PAIR(s[2], s[3]);
#undef PAIR
  vtok_lanes16 v = __builtin_shufflevector(first, second, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
    + __builtin_shufflevector(first, second, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  for (int i = 0; i < 4; i++) out[i] = (v[4 * i] + v[4 * i + 2]) + (v[4 * i + 1] + v[4 * i + 3]);
}

// `rows` rows of a with four of b at a time share their loads; each result is still its own lane sum.
VTOK_INLINE void products(int rows, const float *a, size_t a_stride, const float *b, size_t k, size_t b_stride, size_t n, float *out, size_t ldo) {
  size_t body = n - n % VTOK_LANES, j = 0;
  for (; j + 4 <= k; j += 4) {
    const float *y = b + j * b_stride;
    vtok_lanes16 sum[2][4] = {0};
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < rows; i++)
        for (size_t l = 0; l < 4; l++) {
          vtok_lanes16 p = *(const vtok_lanes16 *)(a + (size_t)i * a_stride + c) * *(const vtok_lanes16 *)(y + l * b_stride + c);
          sum[i][l] = sum[i][l] + p;
        }
    if (body < n)
      for (int i = 0; i < rows; i++)
        for (size_t l = 0; l < 4; l++) {
          float lanes[VTOK_LANES];
          memcpy(lanes, &sum[i][l], sizeof lanes);
          for (size_t c = body; c < n; c++) {
            float p = a[(size_t)i * a_stride + c] * y[l * b_stride + c];
            lanes[c - body] = lanes[c - body] + p;
          }
          memcpy(&sum[i][l], lanes, sizeof lanes);
        }
    for (int i = 0; i < rows; i++) lane_sums(sum[i], out + (size_t)i * ldo + j);
  }
  for (; j < k; j++)
    for (int i = 0; i < rows; i++) out[(size_t)i * ldo + j] = dot(a + (size_t)i * a_stride, b + j * b_stride, n);
}

VTOK_CLONES void vtok_exact_products(const float *a, size_t m, size_t a_stride, const float *b, size_t k, size_t b_stride, size_t n, float *out) {
  size_t i = 0;
  for (; i + 2 <= m; i += 2) products(2, a + i * a_stride, a_stride, b, k, b_stride, n, out + i * k, k);
  if (i < m) products(1, a + i * a_stride, a_stride, b, k, b_stride, n, out + i * k, k);
}

// a[i] . a[j] is a[j] . a[i] to the bit, so the lower half is a copy.
VTOK_CLONES void vtok_exact_squares(const float *a, size_t m, size_t n, float *out) {
  for (size_t i = 0; i < m; i += 2) {
    const float *x = a + i * n;
    if (i + 1 < m) products(2, x, n, x, m - i, n, n, out + i * m + i, m);
    else products(1, x, n, x, m - i, n, n, out + i * m + i, m);
  }
  for (size_t i = 0; i < m; i += 16)
    for (size_t j = 0; j < m; j++)
      for (size_t r = i; r < i + 16 && r < m && r < j; r++) out[j * m + r] = out[r * m + j];
}

VTOK_CLONES size_t vtok_exact_normalise(const float *x, size_t rows, size_t columns, float *out) {
  size_t zero = 0;
  for (size_t r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    float length = sqrtf(dot(row, row, columns));
    if (length == 0) zero++;
    float divisor = length == 0 ? 1 : length;
    for (size_t c = 0; c < columns; c++) out[r * columns + c] = row[c] / divisor;
  }
  return zero;
}

// Columns are independent, so vector width changes nothing; eight rows at a time keep the running sum in a register.
VTOK_CLONES void vtok_exact_more_votes(const float *a, size_t rows, size_t columns, size_t stride, const float *weights, float *out) {
  size_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    const float *x = a + r * stride, *w = weights + r;
    for (size_t c = 0; c < columns; c++) {
      float s = out[c];
      for (int i = 0; i < 8; i++) {
        float p = w[i] * x[(size_t)i * stride + c];
        s = s + p;
      }
      out[c] = s;
    }
  }
  for (; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      float p = weights[r] * a[r * stride + c];
      out[c] = out[c] + p;
    }
}

void vtok_exact_votes(const float *a, size_t rows, size_t columns, size_t stride, const float *weights, float *out) {
  for (size_t c = 0; c < columns; c++) out[c] = 0;
  vtok_exact_more_votes(a, rows, columns, stride, weights, out);
}

VTOK_CLONES void vtok_gather(const float *x, const int32_t *columns, size_t n, float *out) {
  for (size_t c = 0; c < n; c++) out[c] = x[columns[c]];
}

VTOK_INLINE float power_of(float d, int power) {
  float p = d;
  for (int k = 1; k < power; k++) p = p * d;
  return p;
}

VTOK_INLINE float power_sum(const float *a, const float *b, size_t n, int power) {
  float lanes[VTOK_LANES] = {0};
  size_t body = n - n % VTOK_LANES;
  for (size_t c = 0; c < body; c += VTOK_LANES)
    for (int i = 0; i < VTOK_LANES; i++) {
      float p = power_of(fabsf(a[c + i] - b[c + i]), power);
      lanes[i] = lanes[i] + p;
    }
  for (size_t c = body; c < n; c++) {
    float p = power_of(fabsf(a[c] - b[c]), power);
    lanes[c - body] = lanes[c - body] + p;
  }
  return vtok_lane_sum(lanes);
}

VTOK_INLINE float largest_difference(const float *a, const float *b, size_t n) {
  float top = 0;
  for (size_t c = 0; c < n; c++) {
    float d = fabsf(a[c] - b[c]);
    top = d > top ? d : top;
  }
  return top;
}

VTOK_CLONES void vtok_exact_distances(const float *a, size_t m, const float *b, size_t k, size_t n, int power, float *out) {
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < k; j++) {
      const float *x = a + i * n, *y = b + j * n;
      float *o = out + i * k + j;
      switch (power) {  // a constant power unrolls
        case 0: *o = largest_difference(x, y, n); break;
        case 1: *o = power_sum(x, y, n, 1); break;
        case 2: *o = power_sum(x, y, n, 2); break;
        case 3: *o = power_sum(x, y, n, 3); break;
        case 4: *o = power_sum(x, y, n, 4); break;
        default: *o = power_sum(x, y, n, power); break;
      }
    }
}

VTOK_CLONES void vtok_accumulate(float *out, const float *x, size_t columns, float weight) {
  for (size_t c = 0; c < columns; c++) {
    float p = weight * x[c];
    out[c] = out[c] + p;
  }
}

VTOK_CLONES void vtok_divide(float *x, size_t columns, float divisor) {
  for (size_t c = 0; c < columns; c++) x[c] = x[c] / divisor;
}
