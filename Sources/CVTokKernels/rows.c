// Softmax, norms and residual rows. Goal, in order: the textbook formula in float32 with sums in 16 lanes (error about
// 1e-7 times the square root of the length), then speed.
#include "softmax.h"

VTOK_INLINE void softmax_row(float *x, size_t n, const float *bias) {
  float scale = 1.0f / numerators(x, n, bias);
  for (size_t c = 0; c < n; c++) x[c] *= scale;
}

VTOK_CLONES void vtok_scale_rows(float *x, size_t rows, size_t columns, size_t stride, float factor) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * stride + c] *= factor;
}

VTOK_CLONES void vtok_softmax_rows(float *x, size_t rows, size_t columns, size_t stride, const float *key_bias) {
  if (!columns) return;
  for (size_t r = 0; r < rows; r++) softmax_row(x + r * stride, columns, key_bias);
}

VTOK_CLONES void vtok_softmax_rows_causal(float *x, size_t rows, size_t columns, size_t stride, size_t first) {
  if (!columns) return;
  for (size_t r = 0; r < rows; r++) {
    size_t seen = first + r + 1 < columns ? first + r + 1 : columns;
    softmax_row(x + r * stride, seen, 0);
    for (size_t c = seen; c < columns; c++) x[r * stride + c] = 0;
  }
}

VTOK_CLONES void vtok_layer_norm(const float *x, size_t rows, size_t columns, const float *weight, const float *bias, float eps, float *out) {
  size_t body = columns - columns % VTOK_LANES;
  for (size_t r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    float *o = out + r * columns;
    float lanes[VTOK_LANES] = {0};
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < VTOK_LANES; i++) lanes[i] += row[c + i];
    float sum = vtok_lane_sum(lanes);
    for (size_t c = body; c < columns; c++) sum += row[c];
    float mean = sum / (float)columns;
    for (int i = 0; i < VTOK_LANES; i++) lanes[i] = 0;
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < VTOK_LANES; i++) {
        float d = row[c + i] - mean;
        lanes[i] += d * d;
      }
    float square = vtok_lane_sum(lanes);
    for (size_t c = body; c < columns; c++) square += (row[c] - mean) * (row[c] - mean);
    float scale = 1.0f / sqrtf(square / (float)columns + eps);
    for (size_t c = 0; c < columns; c++) o[c] = (row[c] - mean) * scale * weight[c] + bias[c];
  }
}

VTOK_CLONES void vtok_rms_norm(const float *x, size_t rows, size_t columns, const float *weight, float eps, float *out) {
  size_t body = columns - columns % VTOK_LANES;
  for (size_t r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    float *o = out + r * columns;
    float lanes[VTOK_LANES] = {0};
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < VTOK_LANES; i++) lanes[i] += row[c + i] * row[c + i];
    float square = vtok_lane_sum(lanes);
    for (size_t c = body; c < columns; c++) square += row[c] * row[c];
    float scale = 1.0f / sqrtf(square / (float)columns + eps);
    for (size_t c = 0; c < columns; c++) o[c] = row[c] * scale * weight[c];
  }
}

VTOK_CLONES void vtok_add_bias(float *x, size_t rows, size_t columns, const float *bias) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * columns + c] += bias[c];
}

VTOK_CLONES void vtok_add_residual(float *x, const float *y, size_t rows, size_t columns, const float *bias, const float *gamma) {
  for (size_t r = 0; r < rows; r++) {
    float *a = x + r * columns;
    const float *b = y + r * columns;
    if (bias && gamma)
      for (size_t c = 0; c < columns; c++) a[c] += gamma[c] * (b[c] + bias[c]);
    else if (bias)
      for (size_t c = 0; c < columns; c++) a[c] += b[c] + bias[c];
    else if (gamma)
      for (size_t c = 0; c < columns; c++) a[c] += gamma[c] * b[c];
    else
      for (size_t c = 0; c < columns; c++) a[c] += b[c];
  }
}

VTOK_CLONES void vtok_rotate_halves(float *x, size_t rows, size_t heads, size_t head_dim, size_t rotated, const float *cosine, const float *sine, float scale) {
  size_t half = rotated / 2;
  for (size_t r = 0; r < rows; r++)
    for (size_t h = 0; h < heads; h++) {
      float *a = x + (r * heads + h) * head_dim, *b = a + half;
      const float *c = cosine + r * half, *s = sine + r * half;
      for (size_t i = 0; i < half; i++) {
        float p = a[i], q = b[i];
        a[i] = (p * c[i] - q * s[i]) * scale;
        b[i] = (q * c[i] + p * s[i]) * scale;
      }
      for (size_t i = rotated; i < head_dim; i++) a[i] *= scale;
    }
}
