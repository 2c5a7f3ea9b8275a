// Products of a few hundred tokens with the weights of a transformer, and with keys and values: out = x W^T, W as stored or
// packed once when a model loads. BLAS takes no packed operand, so it copies all weights anew for every image; at batch one
// that is a tenth of a ViT's time, and the larger part of it once most tokens are gone.
//
// Every element of the result is one chain of multiply-adds over the depth, in order, whatever the number of tokens, the
// place of a row, the number of threads and the way W is stored: a token in company equals the token alone, bit for bit,
// and AVX2, AVX-512 and NEON agree. (Baseline x86-64 has no fused multiply-add.)
#include "dispatch.h"
#include <string.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define LEVEL_NAME(name) JOIN(name, LEVEL)

// A panel holds WIDTH * VECTORS columns of the result; a tile is TILE tokens of it, kept in TILE * VECTORS registers.
#if defined(__x86_64__)
#define FUSED(a, b, c) __builtin_elementwise_fma(a, b, c)
#define HALVES
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"), min_vector_width(512))), apply_to = function)
#define LEVEL v4
#define WIDTH 16
#define VECTORS 4
#define TILE 6
#include "gemm_level.h"
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define LEVEL v3
#define WIDTH 8
#define VECTORS 2
#define TILE 6
#include "gemm_level.h"
#pragma clang attribute pop
#undef HALVES
#undef FUSED
#define FUSED(a, b, c) ((a) * (b) + (c))
#define LEVEL base
#define WIDTH 4
#define VECTORS 2
#define TILE 4
#include "gemm_level.h"
#define DISPATCH(call)                                  \
  if (__builtin_cpu_supports("x86-64-v4")) return v4_##call; \
  if (__builtin_cpu_supports("x86-64-v3")) return v3_##call; \
  return base_##call
#else
#define FUSED(a, b, c) __builtin_elementwise_fma(a, b, c)
#define LEVEL base
#define WIDTH 4
#define VECTORS 4
#define TILE 6
#include "gemm_level.h"
#define DISPATCH(call) return base_##call
#endif

size_t vtok_panel(void) { DISPATCH(panel()); }

void vtok_pack(vtok_matrix w, size_t first, size_t count, size_t from, size_t depth, float *packed) {
  DISPATCH(pack(w, first, count, from, depth, packed));
}

void vtok_product(const float *x, size_t n, size_t ldx, vtok_matrix w, size_t first, size_t count, int accumulate, float *out, size_t ldo, float *scratch) {
  DISPATCH(product(x, n, ldx, w, first, count, accumulate, out, ldo, scratch));
}

void vtok_dots(const float *x, size_t n, size_t ldx, vtok_matrix w, size_t first, size_t count, int accumulate, float *out, size_t ldo) {
  DISPATCH(dots(x, n, ldx, w, first, count, accumulate, out, ldo));
}
