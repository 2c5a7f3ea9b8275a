// Gradients of rows. Goal, in order: the derivative of what the forward kernel computes, in float32 with sums in 16 lanes
// (tests ask 2e-6 plus 0.1 % of finite differences in double), then speed.
#include "dispatch.h"
#include <math.h>

VTOK_INLINE float lane_sum(const float *s) {
  float t = 0;
  for (int i = 0; i < VTOK_LANES; i++) t += s[i];
  return t;
}

// sum of a[c] * b[c]
VTOK_INLINE float row_product(const float *a, const float *b, size_t n) {
  size_t body = n - n % VTOK_LANES;
  float lanes[VTOK_LANES] = {0};
  for (size_t c = 0; c < body; c += VTOK_LANES)
    for (int i = 0; i < VTOK_LANES; i++) lanes[i] += a[c + i] * b[c + i];
  float sum = lane_sum(lanes);
  for (size_t c = body; c < n; c++) sum += a[c] * b[c];
  return sum;
}

VTOK_CLONES void vtok_policy_softmax(float *x, size_t rows, size_t columns, size_t first, const float *key_bias, const float *mask, float eps, float *denominators, float *probabilities) {
  for (size_t r = 0; r < rows; r++) {
    float *e = x + r * columns, *p = probabilities + r * columns;
    size_t own = first + r;
    if (key_bias)
      for (size_t c = 0; c < columns; c++) e[c] += key_bias[c];
    float lanes[VTOK_LANES];
    size_t body = columns - columns % VTOK_LANES;
    float top = e[0];
    if (body) {
      for (int i = 0; i < VTOK_LANES; i++) lanes[i] = e[i];
      for (size_t c = VTOK_LANES; c < body; c += VTOK_LANES)
        for (int i = 0; i < VTOK_LANES; i++) lanes[i] = lanes[i] > e[c + i] ? lanes[i] : e[c + i];
      for (int i = 0; i < VTOK_LANES; i++) top = top > lanes[i] ? top : lanes[i];
    }
    for (size_t c = body; c < columns; c++) top = top > e[c] ? top : e[c];
    for (size_t c = 0; c < columns; c++) e[c] = vtok_exp(e[c] - top);
    float sum = row_product(e, mask, columns) + e[own] * (1.0f - mask[own]) + eps;
    float scale = 1.0f / sum, floor = eps / (float)columns;
    for (size_t c = 0; c < columns; c++) p[c] = (e[c] * mask[c] + floor) * scale;
    p[own] = (e[own] + floor) * scale;
    denominators[r] = sum;
  }
}

VTOK_CLONES void vtok_policy_softmax_backward(const float *x, const float *denominators, size_t rows, size_t columns, size_t first, const float *mask, float eps, float *g, float *probabilities, float *mask_gradient) {
  float floor = eps / (float)columns;
  for (size_t r = 0; r < rows; r++) {
    const float *e = x + r * columns;
    float *p = probabilities + r * columns, *d = g + r * columns;
    size_t own = first + r;
    float scale = 1.0f / denominators[r];
    for (size_t c = 0; c < columns; c++) p[c] = (e[c] * mask[c] + floor) * scale;
    p[own] = (e[own] + floor) * scale;
    float mean = row_product(d, p, columns);
    float kept = e[own] * (d[own] - mean) * scale;  // the diagonal of the policy is 1 whatever the mask
    float before = mask_gradient[own];
    for (size_t c = 0; c < columns; c++) {
      float policy = e[c] * (d[c] - mean) * scale;
      mask_gradient[c] += policy;
      d[c] = policy * mask[c];
    }
    d[own] = kept;
    mask_gradient[own] = before;
  }
}

VTOK_CLONES void vtok_layer_norm_backward(const float *x, size_t rows, size_t columns, const float *weight, float eps, const float *g, float *dx) {
  size_t body = columns - columns % VTOK_LANES;
  for (size_t r = 0; r < rows; r++) {
    const float *row = x + r * columns, *up = g + r * columns;
    float *down = dx + r * columns;
    float lanes[VTOK_LANES] = {0}, other[VTOK_LANES] = {0};
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < VTOK_LANES; i++) lanes[i] += row[c + i];
    float sum = lane_sum(lanes);
    for (size_t c = body; c < columns; c++) sum += row[c];
    float mean = sum / (float)columns;
    for (int i = 0; i < VTOK_LANES; i++) lanes[i] = 0;
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < VTOK_LANES; i++) lanes[i] += (row[c + i] - mean) * (row[c + i] - mean);
    float square = lane_sum(lanes);
    for (size_t c = body; c < columns; c++) square += (row[c] - mean) * (row[c] - mean);
    float scale = 1.0f / sqrtf(square / (float)columns + eps);
    // With h = (x - mean) * scale and u = weight * g: dx = scale * (u - mean(u) - h * mean(u * h)).
    for (int i = 0; i < VTOK_LANES; i++) lanes[i] = 0;
    for (size_t c = 0; c < body; c += VTOK_LANES)
      for (int i = 0; i < VTOK_LANES; i++) {
        float u = weight[c + i] * up[c + i];
        lanes[i] += u;
        other[i] += u * (row[c + i] - mean);
      }
    float total = lane_sum(lanes), along = lane_sum(other);
    for (size_t c = body; c < columns; c++) {
      total += weight[c] * up[c];
      along += weight[c] * up[c] * (row[c] - mean);
    }
    total /= (float)columns;
    along *= scale * scale / (float)columns;
    for (size_t c = 0; c < columns; c++) down[c] += scale * (weight[c] * up[c] - total - (row[c] - mean) * along);
  }
}

VTOK_INLINE float sigmoid(float x) { return 1.0f / (1.0f + vtok_exp(-x)); }

// (x Phi(x))' = Phi(x) + x phi(x)
VTOK_INLINE float gelu_slope(float x) {
  return 0.5f * (1.0f + vtok_erf_scaled(x)) + x * 0.3989422804014327f * vtok_exp(-0.5f * x * x);
}
VTOK_INLINE float gelu_tanh_slope(float x) {
  float s = sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
  return s + x * s * (1.0f - s) * 1.5957691216057308f * (1.0f + 0.134145f * x * x);
}
VTOK_INLINE float quick_gelu_slope(float x) {
  float s = sigmoid(1.702f * x);
  return s + 1.702f * x * s * (1.0f - s);
}
VTOK_INLINE float silu_slope(float x) {
  float s = sigmoid(x);
  return s + x * s * (1.0f - s);
}

#define SLOPE(name, f)                                                          \
  VTOK_CLONES static void name(const float *x, size_t count, float *g) {        \
    for (size_t i = 0; i < count; i++) g[i] *= f(x[i]);                         \
  }
SLOPE(rows_gelu_slope, gelu_slope)
SLOPE(rows_gelu_tanh_slope, gelu_tanh_slope)
SLOPE(rows_quick_gelu_slope, quick_gelu_slope)
SLOPE(rows_silu_slope, silu_slope)

void vtok_activation_backward(const float *x, size_t count, vtok_activation kind, float *g) {
  switch (kind) {
    case VTOK_GELU: rows_gelu_slope(x, count, g); break;
    case VTOK_GELU_TANH: rows_gelu_tanh_slope(x, count, g); break;
    case VTOK_QUICK_GELU: rows_quick_gelu_slope(x, count, g); break;
    case VTOK_SILU: rows_silu_slope(x, count, g); break;
  }
}

VTOK_CLONES void vtok_scale_columns(const float *x, size_t rows, size_t columns, const float *gamma, float *out) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) out[r * columns + c] = gamma[c] * x[r * columns + c];
}
