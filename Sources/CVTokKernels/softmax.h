// A softmax but for its division: what rows of attention have in common, whatever their numerators become.
#pragma once
#include "dispatch.h"
#include <math.h>

// Adds the bias; returns the largest.
VTOK_INLINE float biased_top(float *x, size_t n, const float *bias) {
  if (bias)
    for (size_t c = 0; c < n; c++) x[c] += bias[c];
  float lanes[VTOK_LANES], top = x[0];
  size_t body = n - n % VTOK_LANES;
  for (int i = 0; i < VTOK_LANES; i++) lanes[i] = top;
  for (size_t c = 0; c < body; c += VTOK_LANES)
    for (int i = 0; i < VTOK_LANES; i++) lanes[i] = lanes[i] > x[c + i] ? lanes[i] : x[c + i];
  for (int half = VTOK_LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  top = lanes[0];
  for (size_t c = body; c < n; c++) top = top > x[c] ? top : x[c];
  return top;
}

// Numerators of a row, which become the logits too; returns their sum.
VTOK_INLINE float numerators(float *x, size_t n, const float *bias) {
  float top = biased_top(x, n, bias), lanes[VTOK_LANES] = {0};
  size_t body = n - n % VTOK_LANES;
  for (size_t c = 0; c < body; c += VTOK_LANES)
    for (int i = 0; i < VTOK_LANES; i++) {
      float e = vtok_exp(x[c + i] - top);
      x[c + i] = e;
      lanes[i] += e;
    }
  float sum = vtok_lane_sum(lanes);
  for (size_t c = body; c < n; c++) {
    x[c] = vtok_exp(x[c] - top);
    sum += x[c];
  }
  return sum;
}
