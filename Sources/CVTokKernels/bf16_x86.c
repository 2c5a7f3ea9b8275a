// The blocks of bfloat16 products on x86-64: AMX tiles, AVX-512 with dot instructions, AVX-512 and AVX2 that widen.
#include "bf16.h"
#include "tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define PANEL VTOK_BF16_PANEL

// Rows and vectors of a block as constants, so that the sums stay in registers.
#define ARGUMENTS vtok_bf16_rows x, size_t depth, const uint16_t *panel, size_t columns, int fresh, float *out, size_t ldo
#define FOR_ROWS(body, vectors)                                                                        \
  switch (x.rows) {                                                                                    \
    case 1: return body(1, vectors, x, depth, panel, columns, fresh, out, ldo);                        \
    case 2: return body(2, vectors, x, depth, panel, columns, fresh, out, ldo);                        \
    case 3: return body(3, vectors, x, depth, panel, columns, fresh, out, ldo);                        \
    case 4: return body(4, vectors, x, depth, panel, columns, fresh, out, ldo);                        \
    case 5: return body(5, vectors, x, depth, panel, columns, fresh, out, ldo);                        \
    default: return body(6, vectors, x, depth, panel, columns, fresh, out, ldo);                       \
  }
#define FOR_VECTORS(body)                                                                              \
  switch ((columns + 15) / 16) {                                                                       \
    case 1: FOR_ROWS(body, 1)                                                                          \
    case 2: FOR_ROWS(body, 2)                                                                          \
    case 3: FOR_ROWS(body, 3)                                                                          \
    default: FOR_ROWS(body, 4)                                                                         \
  }
#define INLINE static inline __attribute__((always_inline))

static inline int pair_of(const uint16_t *p) {
  int pair;
  memcpy(&pair, p, 4);
  return pair;
}

// MARK: AVX-512 BF16

#define DOT __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"), min_vector_width(512)))

DOT INLINE void dot_rows(int rows, int vectors, ARGUMENTS) {
  (void)columns;
  __m512 s[6][4];
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++) s[r][v] = fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(out + (size_t)r * ldo + v * 16);
  for (size_t k = 0; k < depth; k += 2) {
    __m512i w[4];
    for (int v = 0; v < vectors; v++) w[v] = _mm512_loadu_si512(panel + k * PANEL + v * 32);
    for (int r = 0; r < rows; r++) {
      __m512bh value = (__m512bh)_mm512_set1_epi32(pair_of(x.p + (size_t)r * x.ldp + k));
      for (int v = 0; v < vectors; v++) s[r][v] = _mm512_dpbf16_ps(s[r][v], value, (__m512bh)w[v]);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++) _mm512_storeu_ps(out + (size_t)r * ldo + v * 16, s[r][v]);
}

DOT static void dot_block(ARGUMENTS) { FOR_VECTORS(dot_rows) }

// MARK: AVX-512 and AVX2 without them: elements at even and at odd places are widened and multiplied apart

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), min_vector_width(512)))

WIDE INLINE void wide_rows(int rows, int vectors, ARGUMENTS) {
  (void)columns;
  const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
  __m512 s[6][4];
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++) s[r][v] = fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(out + (size_t)r * ldo + v * 16);
  for (size_t k = 0; k < depth; k += 2)
    for (int odd = 0; odd < 2; odd++) {
      __m512 w[4];
      for (int v = 0; v < vectors; v++) {
        __m512i both = _mm512_loadu_si512(panel + k * PANEL + v * 32);
        w[v] = _mm512_castsi512_ps(odd ? _mm512_and_si512(both, upper) : _mm512_slli_epi32(both, 16));
      }
      for (int r = 0; r < rows; r++) {
        __m512 value = _mm512_castsi512_ps(_mm512_set1_epi32((int)((uint32_t)x.p[(size_t)r * x.ldp + k + (size_t)odd] << 16)));
        for (int v = 0; v < vectors; v++) s[r][v] = _mm512_fmadd_ps(value, w[v], s[r][v]);
      }
    }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < vectors; v++) _mm512_storeu_ps(out + (size_t)r * ldo + v * 16, s[r][v]);
}

WIDE static void wide_block(ARGUMENTS) { FOR_VECTORS(wide_rows) }

// A quarter of the columns at a time: 2 * rows of 16 registers hold sums.
#define AVX2 __attribute__((target("avx2,fma")))

AVX2 INLINE void avx2_rows(int rows, int vectors, ARGUMENTS) {
  const __m256i upper = _mm256_set1_epi32((int)0xffff0000);
  for (size_t quarter = 0; quarter < columns; quarter += 16) {
    __m256 s[6][2];
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < vectors; v++) s[r][v] = fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(out + (size_t)r * ldo + quarter + (size_t)v * 8);
    for (size_t k = 0; k < depth; k += 2) {
      __m256i both[2];
      for (int v = 0; v < vectors; v++) both[v] = _mm256_loadu_si256((const __m256i *)(panel + k * PANEL + (quarter + (size_t)v * 8) * 2));
      for (int odd = 0; odd < 2; odd++) {
        __m256 w[2];
        for (int v = 0; v < vectors; v++) w[v] = _mm256_castsi256_ps(odd ? _mm256_and_si256(both[v], upper) : _mm256_slli_epi32(both[v], 16));
        for (int r = 0; r < rows; r++) {
          __m256 value = _mm256_castsi256_ps(_mm256_set1_epi32((int)((uint32_t)x.p[(size_t)r * x.ldp + k + (size_t)odd] << 16)));
          for (int v = 0; v < vectors; v++) s[r][v] = _mm256_fmadd_ps(value, w[v], s[r][v]);
        }
      }
    }
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < vectors; v++) _mm256_storeu_ps(out + (size_t)r * ldo + quarter + (size_t)v * 8, s[r][v]);
  }
}

AVX2 static void avx2_block(ARGUMENTS) { FOR_ROWS(avx2_rows, 2) }

// MARK: AMX

#define AMX __attribute__((target("amx-tile,amx-bf16,avx512f")))

// 32 rows at most: half of the columns at a time. Few rows have kernels with dots that waste nothing.
AMX static void amx_block(ARGUMENTS) {
  if (x.rows <= 6) return dot_block(x, depth, panel, columns, fresh, out, ldo);
  size_t upper = x.rows < 16 ? x.rows : 16, lower = x.rows - upper;
  vtok_tile_shapes shapes = vtok_tiles(upper, lower);
  _tile_loadconfig(&shapes);
  const size_t line = PANEL * 4, from = x.ldp * 2, to = ldo * 4;  // bytes: a pair along the depth of all columns, rows of p and of out
  for (size_t half = 0; half < columns; half += 32) {
    float *first = out + half, *second = first + 16 * ldo;
    if (fresh) {
      _tile_zero(0);
      _tile_zero(1);
    } else {
      _tile_loadd(0, first, to);
      _tile_loadd(1, first + 16, to);
    }
    if (lower && fresh) {
      _tile_zero(2);
      _tile_zero(3);
    } else if (lower) {
      _tile_loadd(2, second, to);
      _tile_loadd(3, second + 16, to);
    }
    for (size_t k = 0; k < depth; k += 32) {
      const uint16_t *w = panel + k * PANEL + half * 2;
      _tile_loadd(4, x.p + k, from);
      _tile_loadd(6, w, line);
      _tile_loadd(7, w + 32, line);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if (lower) {
        _tile_loadd(5, x.p + 16 * x.ldp + k, from);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, first, to);
    _tile_stored(1, first + 16, to);
    if (lower) {
      _tile_stored(2, second, to);
      _tile_stored(3, second + 16, to);
    }
  }
  _tile_release();
}

static int has_amx(void) { return vtok_has_avx512_bf16() && vtok_has_tiles(VTOK_AMX_BF16); }

const vtok_bf16_level vtok_bf16_levels[] = {
    {{"amx", has_amx}, amx_block, 32, VTOK_BF16_STEP},
    {{"avx512-bf16", vtok_has_avx512_bf16}, dot_block, 6, 2},
    {{"avx512", vtok_has_avx512}, wide_block, 6, 2},
    {{"avx2", vtok_has_avx2}, avx2_block, 6, 2},
    {{"plain", vtok_has_all}, vtok_bf16_plain_block, VTOK_BF16_ROWS, 2},
};
const size_t vtok_bf16_level_count = 5;
#endif
