// Gated delta nets: a short causal convolution, heads of unit length, and the recurrence of a state.
#include "dispatch.h"
#include <math.h>

VTOK_CLONES void vtok_short_convolution(const float *x, const float *before, const float *kernel, size_t rows, size_t channels, size_t taps, float *out) {
  for (size_t r = 0; r < rows; r++) {
    float *o = out + r * channels;
    for (size_t c = 0; c < channels; c++) o[c] = 0;
    for (size_t j = 0; j < taps; j++) {
      size_t place = r + j;  // counted from the first row before
      const float *row = place < taps - 1 ? before + place * channels : x + (place - (taps - 1)) * channels;
      const float *w = kernel + j * channels;
      for (size_t c = 0; c < channels; c++) o[c] += w[c] * row[c];
    }
  }
}

VTOK_CLONES void vtok_unit_heads(float *x, size_t rows, size_t stride, size_t heads, size_t dim, float eps, float scale) {
  for (size_t r = 0; r < rows; r++)
    for (size_t h = 0; h < heads; h++) {
      float *head = x + r * stride + h * dim;
      float square = 0;
      for (size_t c = 0; c < dim; c++) square += head[c] * head[c];
      float factor = 1.0f / sqrtf(square + eps);
      for (size_t c = 0; c < dim; c++) head[c] = head[c] * factor * scale;
    }
}

VTOK_CLONES void vtok_delta_rule(vtok_delta_head head, size_t rows, size_t key_dim, size_t value_dim, float *state, float *scratch) {
  for (size_t r = 0; r < rows; r++) {
    const float *q = head.query + r * head.stride, *k = head.key + r * head.stride, *v = head.value + r * head.stride;
    float decay = head.decay[r * head.heads], rate = head.rate[r * head.heads];
    float *out = head.out + r * head.out_stride;
    for (size_t c = 0; c < value_dim; c++) scratch[c] = 0;
    for (size_t i = 0; i < key_dim; i++) {
      float *line = state + i * value_dim;
      float weight = k[i];
      for (size_t c = 0; c < value_dim; c++) {
        line[c] *= decay;
        scratch[c] += weight * line[c];
      }
    }
    for (size_t c = 0; c < value_dim; c++) {
      scratch[c] = rate * (v[c] - scratch[c]);
      out[c] = 0;
    }
    for (size_t i = 0; i < key_dim; i++) {
      float *line = state + i * value_dim;
      float weight = k[i], asked = q[i];
      for (size_t c = 0; c < value_dim; c++) {
        line[c] += weight * scratch[c];
        out[c] += asked * line[c];
      }
    }
  }
}
