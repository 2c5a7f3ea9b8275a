// Activations of the MLP. Goal, in order: absolute error below 1e-7 times |x| against the exact function (goldens ask
// 1e-4 after many blocks), then speed: all bodies are branch-free and become vector loops.
#include "dispatch.h"

VTOK_INLINE float gelu_exact(float x) { return 0.5f * x * (1.0f + vtok_erf_scaled(x)); }

VTOK_INLINE float sigmoid(float x) { return 1.0f / (1.0f + vtok_exp(-x)); }
VTOK_INLINE float silu(float x) { return x * sigmoid(x); }
VTOK_INLINE float quick_gelu(float x) { return x * sigmoid(1.702f * x); }
// 0.5 (1 + tanh u) = sigmoid(2u)
VTOK_INLINE float gelu_tanh(float x) { return x * sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x)); }

#define ACTIVATION(name, f)                                                                               \
  VTOK_CLONES static void name(float *x, size_t rows, size_t columns, const float *bias) {                \
    for (size_t r = 0; r < rows; r++) {                                                                   \
      float *row = x + r * columns;                                                                       \
      if (bias)                                                                                           \
        for (size_t c = 0; c < columns; c++) row[c] = f(row[c] + bias[c]);                                \
      else                                                                                                \
        for (size_t c = 0; c < columns; c++) row[c] = f(row[c]);                                          \
    }                                                                                                     \
  }
ACTIVATION(rows_gelu, gelu_exact)
ACTIVATION(rows_gelu_tanh, gelu_tanh)
ACTIVATION(rows_quick_gelu, quick_gelu)
ACTIVATION(rows_silu, silu)

void vtok_bias_activation(float *x, size_t rows, size_t columns, const float *bias, vtok_activation kind) {
  switch (kind) {
    case VTOK_GELU: rows_gelu(x, rows, columns, bias); break;
    case VTOK_GELU_TANH: rows_gelu_tanh(x, rows, columns, bias); break;
    case VTOK_QUICK_GELU: rows_quick_gelu(x, rows, columns, bias); break;
    case VTOK_SILU: rows_silu(x, rows, columns, bias); break;
  }
}

VTOK_CLONES void vtok_silu_product(float *a, const float *b, size_t count) {
  for (size_t i = 0; i < count; i++) a[i] = silu(a[i]) * b[i];
}

VTOK_CLONES void vtok_gelu_tanh_product(float *a, const float *b, size_t count) {
  for (size_t i = 0; i < count; i++) a[i] = gelu_tanh(a[i]) * b[i];
}

VTOK_CLONES void vtok_sigmoid_product(float *a, const float *b, size_t count) {
  for (size_t i = 0; i < count; i++) a[i] *= sigmoid(b[i]);
}

VTOK_CLONES void vtok_swiglu(const float *h, size_t rows, size_t width, const float *bias, float *out) {
  for (size_t r = 0; r < rows; r++) {
    const float *a = h + r * 2 * width, *b = a + width;
    float *o = out + r * width;
    if (bias)
      for (size_t c = 0; c < width; c++) o[c] = silu(a[c] + bias[c]) * (b[c] + bias[width + c]);
    else
      for (size_t c = 0; c < width; c++) o[c] = silu(a[c]) * b[c];
  }
}
