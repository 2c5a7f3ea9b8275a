// Activations of the MLP. Goal, in order: absolute error below 1e-7 times |x| against the exact function (goldens ask
// 1e-4 after many blocks), then speed: all bodies are branch-free and become vector loops.
#include "dispatch.h"

// erf for all x, absolute error 1.5e-7 at most: Abramowitz and Stegun 7.1.26 is not enough, so a rational minimax
// on |x| < 1 (Cephes ndtrf) and 1 - e^(-x^2) * q(1/(1 + x/2)) (Numerical Recipes erfcc, error 1.2e-7) beyond it.
VTOK_INLINE float gelu_exact(float x) {
  float z = x * 0.70710678118654752f;
  float a = z < 0 ? -z : z;
  float s = z * z;
  float small = 7.853861353153693e-5f;
  small = small * s - 8.010193625184903e-4f;
  small = small * s + 5.188327685732524e-3f;
  small = small * s - 2.685381193529856e-2f;
  small = small * s + 1.128358514861418e-1f;
  small = small * s - 3.761262582423300e-1f;
  small = small * s + 1.128379165726710e0f;
  small = small * z;
  float t = 1.0f / (1.0f + 0.5f * a);
  float q = 0.17087277f;
  q = q * t - 0.82215223f;
  q = q * t + 1.48851587f;
  q = q * t - 1.13520398f;
  q = q * t + 0.27886807f;
  q = q * t - 0.18628806f;
  q = q * t + 0.09678418f;
  q = q * t + 0.37409196f;
  q = q * t + 1.00002368f;
  q = q * t - 1.26551223f;
  float complement = t * vtok_exp(q - s);
  float large = 1.0f - complement;
  large = z < 0 ? -large : large;
  float erf = a < 1.0f ? small : large;
  return 0.5f * x * (1.0f + erf);
}

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
