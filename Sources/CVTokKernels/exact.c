// Sums that decide which tokens stay. Goal, in order: the same bits on every CPU, then speed. Lane i holds the terms
// i, i + 16, i + 32, ...; the lanes are added in a fixed tree; multiply and add are rounded apart (no contraction), so
// SSE, AVX2, AVX-512 and NEON agree bit for bit.
#include "dispatch.h"
#include <math.h>
#pragma STDC FP_CONTRACT OFF

VTOK_INLINE float tree_sum(float *s) {
  for (int half = VTOK_LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) s[i] = s[i] + s[i + half];
  return s[0];
}

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
  return tree_sum(lanes);
}

VTOK_CLONES float vtok_exact_dot(const float *a, const float *b, size_t n) { return dot(a, b, n); }

// Four rows of b at a time keep the load of a shared; each result is still its own lane sum.
VTOK_CLONES void vtok_exact_products(const float *a, size_t m, size_t a_stride, const float *b, size_t k, size_t b_stride, size_t n, float *out) {
  size_t body = n - n % VTOK_LANES;
  for (size_t i = 0; i < m; i++) {
    const float *x = a + i * a_stride;
    size_t j = 0;
    for (; j + 4 <= k; j += 4) {
      const float *y0 = b + j * b_stride, *y1 = y0 + b_stride, *y2 = y1 + b_stride, *y3 = y2 + b_stride;
      float s0[VTOK_LANES] = {0}, s1[VTOK_LANES] = {0}, s2[VTOK_LANES] = {0}, s3[VTOK_LANES] = {0};
      for (size_t c = 0; c < body; c += VTOK_LANES)
        for (int l = 0; l < VTOK_LANES; l++) {
          float p0 = x[c + l] * y0[c + l], p1 = x[c + l] * y1[c + l];
          float p2 = x[c + l] * y2[c + l], p3 = x[c + l] * y3[c + l];
          s0[l] = s0[l] + p0;
          s1[l] = s1[l] + p1;
          s2[l] = s2[l] + p2;
          s3[l] = s3[l] + p3;
        }
      for (size_t c = body; c < n; c++) {
        float p0 = x[c] * y0[c], p1 = x[c] * y1[c], p2 = x[c] * y2[c], p3 = x[c] * y3[c];
        s0[c - body] = s0[c - body] + p0;
        s1[c - body] = s1[c - body] + p1;
        s2[c - body] = s2[c - body] + p2;
        s3[c - body] = s3[c - body] + p3;
      }
      out[i * k + j] = tree_sum(s0);
      out[i * k + j + 1] = tree_sum(s1);
      out[i * k + j + 2] = tree_sum(s2);
      out[i * k + j + 3] = tree_sum(s3);
    }
    for (; j < k; j++) out[i * k + j] = dot(x, b + j * b_stride, n);
  }
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
VTOK_CLONES void vtok_exact_votes(const float *a, size_t rows, size_t columns, size_t stride, const float *weights, float *out) {
  for (size_t c = 0; c < columns; c++) out[c] = 0;
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
  return tree_sum(lanes);
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
